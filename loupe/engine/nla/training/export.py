"""Write a trained pair as public NLA checkpoints: Hugging Face folders with `nla_meta.yaml`, weights in fp16."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from loupe.engine.nla.training.reconstructor import Reconstruction


@dataclass(frozen=True, slots=True)
class PairFacts:
    """What both sidecars state. `layer` is K: the output of block K is explained."""

    layer: int
    d_model: int
    injection_char: str
    verbalizer_template: str
    reconstructor_template: str
    injection_scale: float
    fve_denominator: float
    min_position: int
    base_checkpoint: str
    trained_on: str


def prompt_ids(tokenizer: PreTrainedTokenizerBase, facts: PairFacts) -> list[int]:
    """The verbalizer's prompt through the chat template, ready for the response."""
    content = facts.verbalizer_template.replace("{injection_char}", facts.injection_char)
    ids: Any = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, add_generation_prompt=True, return_dict=False
    )
    return list(ids)


def save_verbalizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: PairFacts, folder: Path) -> None:
    """The whole fine-tuned model, its tokenizer and its sidecar."""
    save_model(model, tokenizer, folder)
    _write_sidecar(folder, "av", tokenizer, facts)


def save_reconstructor(
    model: Reconstruction, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: PairFacts, folder: Path
) -> None:
    """K+1 blocks under the base model's class, an unused final norm so that it loads silently, and the value head."""
    import copy

    from safetensors.torch import save_file

    config = copy.deepcopy(base.config)
    config.num_hidden_layers = facts.layer + 1
    config.tie_word_embeddings = True  # no vocabulary head is stored: none is ever run
    whole = type(base)(config)
    weights = {f"model.{name}": tensor for name, tensor in model.backbone.state_dict().items()}
    missing, unexpected = whole.load_state_dict(weights, strict=False)
    assert not unexpected and all("norm" in name or "lm_head" in name for name in missing), (missing, unexpected)
    whole.tie_weights()
    save_model(whole, tokenizer, folder)
    save_file({"weight": model.head.weight.detach().half().contiguous()}, str(folder / "value_head.safetensors"))
    _write_sidecar(folder, "ar", tokenizer, facts)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """A Hugging Face folder in fp16; the model in memory keeps its precision."""
    import copy

    folder.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(model).half()
    half.config.dtype = torch.float16
    half.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_sidecar(folder: Path, role: str, tokenizer: PreTrainedTokenizerBase, facts: PairFacts) -> None:
    ids = prompt_ids(tokenizer, facts)
    (sign,) = tokenizer.encode(facts.injection_char, add_special_tokens=False)
    slot = ids.index(sign)
    meta: dict[str, Any] = {
        "kind": "nla_model",
        "schema_version": 2,
        "role": role,
        "base_checkpoint": facts.base_checkpoint,
        "trained_on": facts.trained_on,
        "created_by": "loupe starter build",
        "d_model": facts.d_model,
        "extraction_layer_index": facts.layer,
        "extraction": {
            "injection_scale": facts.injection_scale if role == "av" else None,
            "mse_scale": facts.d_model**0.5 if role == "ar" else None,
            "fve_denominator": facts.fve_denominator,
            "min_position": facts.min_position,
        },
        "tokens": {
            "injection_char": facts.injection_char,
            "injection_token_id": sign,
            "injection_left_neighbor_id": ids[slot - 1],
            "injection_right_neighbor_id": ids[slot + 1],
        },
        "prompt_templates": {"av": facts.verbalizer_template, "ar": facts.reconstructor_template},
    }
    if role == "ar":
        meta["critic"] = {"extraction_layer_index": facts.layer}
    (folder / "nla_meta.yaml").write_text(yaml.safe_dump(meta, sort_keys=False, allow_unicode=True), encoding="utf-8")
