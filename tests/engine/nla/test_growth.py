"""A verbalizer with wider MLPs says what it said, and can be saved and loaded as any Llama."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from loupe.engine.nla.training.growth import widen_mlps


@pytest.fixture
def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


IDS = torch.arange(12)[None]


@torch.no_grad()
def test_a_wider_model_computes_what_it_did(llama: LlamaForCausalLM, tmp_path: Path) -> None:
    before = llama(IDS).logits
    widen_mlps(llama, 40)
    assert torch.allclose(llama(IDS).logits, before, atol=1e-6)
    llama.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.config.intermediate_size == 40
    assert torch.equal(again(IDS).logits, llama(IDS).logits)


def test_every_new_unit_can_learn(llama: LlamaForCausalLM) -> None:
    widen_mlps(llama, 40)
    llama(IDS, labels=IDS).loss.backward()
    outputs = [p for name, p in llama.named_parameters() if "down_proj" in name]
    assert len(outputs) == 2
    for weight in outputs:
        assert weight.grad is not None and (weight.grad[:, 24:].norm(dim=0) > 0).all()


def test_a_model_is_never_made_narrower(llama: LlamaForCausalLM) -> None:
    with pytest.raises(ValueError, match="would lose some"):
        widen_mlps(llama, 8)
