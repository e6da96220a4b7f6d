"""A certificate must be given to what is right, and refused to each thing that can be wrong."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from loupe.engine.errors import CertificationFailed
from loupe.engine.models.certify import available_sites, certify, count_hooks
from loupe.engine.models.families import BlockLayout, Tap
from loupe.engine.models.hooks import Site
from loupe.engine.models.language_model import LanguageModel
from tests.engine.models.zoo import IDS, LISTED, ZOO, lm_of, make


@pytest.mark.parametrize("name", ZOO)
def test_every_family_is_certified(name: str) -> None:
    lm = lm_of(name)
    certificate = certify(lm)
    assert certificate.passed
    assert certificate.listed == (name in LISTED)
    assert certificate.partial_forward == (name not in {"granite", "bloom"})
    assert set(certificate.sites) == set(Site) or name == "granite"
    assert certificate.injects == (name not in {"granite", "bloom", "opt post-norm"})


@pytest.mark.parametrize("name", ["llama", "gemma2", "mixtral", "opt", "falcon"])
def test_a_model_in_bfloat16_is_certified(name: str) -> None:
    certificate = certify(lm_of(f"{name} bf16"))
    exact = [check for check in certificate.checks if "identity" in check.name or "hidden_states" in check.name]
    assert exact
    assert all(check.difference == 0 for check in exact)


def test_certifying_leaves_no_hook_not_even_transformers_own() -> None:
    lm = fresh("llama")
    assert count_hooks(lm.model) == 0
    certify(lm)
    assert count_hooks(lm.model) == 0
    states = lm.model(IDS, output_hidden_states=True).hidden_states
    assert len(states) == lm.n_layers + 1  # and transformers can still record when asked


def test_hooks_that_were_there_before_are_left_alone() -> None:
    lm = fresh("llama")
    lm.model(IDS, output_hidden_states=True)
    handle = lm.blocks[0].register_forward_hook(lambda *_: None)
    before = count_hooks(lm.model)
    certify(lm)
    assert count_hooks(lm.model) == before
    handle.remove()
    assert len(lm.model(IDS, output_hidden_states=True).hidden_states) == lm.n_layers + 1


def test_a_branch_tapped_before_its_norm_is_found_out() -> None:
    lm = fresh("gemma2")
    layout = replace(lm.family.layout, attn_out=Tap("self_attn", "out"))
    lm.family = replace(lm.family, layout=layout)
    with pytest.raises(CertificationFailed, match=r"blocks\.0: pre \+ attention = mid"):
        certify(lm)


def test_a_sequential_family_taken_for_a_parallel_one_is_found_out() -> None:
    lm = fresh("llama")
    lm.family = replace(lm.family, layout=replace(lm.family.layout, mlp_out=Tap("self_attn", "out"), parallel=True))
    with pytest.raises(CertificationFailed, match="pre \\+ attention \\+ MLP = post"):
        certify(lm)


def test_a_missing_softcap_is_found_out() -> None:
    lm = fresh("gemma2")
    lm.family = replace(lm.family, softcap=None)
    with pytest.raises(CertificationFailed, match="logits are the model's own"):
        certify(lm)


def test_a_final_norm_left_out_is_found_out() -> None:
    lm = fresh("llama")
    lm.family = replace(lm.family, final_norm=None)
    with pytest.raises(CertificationFailed, match="final norm and head give the logits"):
        certify(lm)


def test_blocks_in_another_order_than_they_run_are_found_out() -> None:
    lm = fresh("llama")
    lm.model.model.reversed_layers = nn.ModuleList(reversed(list(lm.blocks)))
    lm.family = replace(lm.family, blocks="model.reversed_layers")
    with pytest.raises(CertificationFailed, match=r"hidden_states\[K\]"):
        certify(lm)


def test_an_embedding_without_its_scale_is_found_out() -> None:
    lm = fresh("gemma")
    lm.model.model.bare = nn.Embedding.from_pretrained(lm.embedding_table)
    lm.family = replace(lm.family, embedding="model.bare")
    with pytest.raises(CertificationFailed, match="inputs_embeds is what ids become"):
        certify(lm)


def test_a_model_that_looks_ahead_is_found_out() -> None:
    lm = fresh("llama")
    block = lm.blocks[1]
    handle = block.register_forward_hook(lambda module, args, output: output + output.mean(1, keepdim=True))
    with pytest.raises(CertificationFailed, match="is not seen before"):
        certify(lm)
    handle.remove()


def test_a_site_nobody_reads_from_is_found_out() -> None:
    lm = fresh("llama")
    block = lm.blocks[1]
    block.mlp.forward = lambda hidden: torch.zeros_like(hidden)
    with pytest.raises(CertificationFailed, match="a change at mlp_in is seen"):
        certify(lm)


def test_sites_that_are_missing_are_left_out_of_the_certificate() -> None:
    lm = fresh("llama")
    lm.family = replace(lm.family, layout=BlockLayout(None, None, None, None))
    assert available_sites(lm) == (Site.RESID_PRE, Site.RESID_POST)
    assert certify(lm).sites == (Site.RESID_PRE, Site.RESID_POST)


def test_a_model_of_one_block_is_certified() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    from loupe.engine.models.loading import wrap_model

    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    assert certify(wrap_model(LlamaForCausalLM(config), None)).passed


def fresh(name: str) -> LanguageModel:
    shared = lm_of(name)
    return LanguageModel(make(name), None, shared.family, None, "fp32")
