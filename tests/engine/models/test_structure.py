"""Families that nobody listed, found by what their tensors do."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, T5Config, T5ForConditionalGeneration

from loupe.engine.errors import UnsupportedModel
from loupe.engine.models.certify import certify, count_hooks
from loupe.engine.models.families import Tap
from loupe.engine.models.hooks import HookPoint, capture
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import wrap_model
from loupe.engine.models.structure import find_family, probe_ids
from tests.engine.models.zoo import IDS, LISTED, UNLISTED, build, lm_of


@pytest.mark.parametrize("name", UNLISTED)
def test_an_unlisted_family_is_found_and_certified(name: str) -> None:
    lm = lm_of(name)
    assert not lm.family.listed
    assert lm.family.name == build(name).config.model_type
    with torch.no_grad(), capture(lm, [HookPoint(0)]) as store:
        logits = lm.logits(IDS)
    own = lm.model(IDS, output_hidden_states=True, use_cache=False)
    assert torch.equal(store[HookPoint(0)], own.hidden_states[1])
    torch.testing.assert_close(logits, own.logits)


@pytest.mark.parametrize("name", LISTED)
def test_structure_agrees_with_the_table(name: str) -> None:
    listed, model = lm_of(name).family, build(name)
    found = find_family(model)
    assert (found.blocks, found.backbone, found.embedding) == (listed.blocks, listed.backbone, listed.embedding)
    assert (found.head, found.positions) == (listed.head, listed.positions)
    assert found.final_norm == (listed.final_norm or listed.project_out)  # whatever stands between blocks and head
    assert certify(LanguageModel(model, None, found, None, "fp32")).passed
    if not listed.layout.flat:
        assert found.layout.parallel == listed.layout.parallel
        assert (found.layout.attn_out, found.layout.mlp_out) == (listed.layout.attn_out, listed.layout.mlp_out)


def test_branches_that_are_scaled_before_they_are_added_are_no_sites() -> None:
    layout = lm_of("granite").family.layout
    assert (layout.attn_out, layout.resid_mid, layout.mlp_out) == (None, None, None)
    assert layout.mlp_in == Tap("mlp", "in")


def test_the_factor_between_head_and_logits_is_found() -> None:
    assert lm_of("cohere").family.logit_factor == 0.25
    assert lm_of("granite").family.logit_factor == 0.25
    assert lm_of("stablelm").family.logit_factor == 1.0


def test_finding_leaves_no_hook() -> None:
    model = build("olmo3")
    before = count_hooks(model)
    find_family(model)
    assert count_hooks(model) == before


def test_an_encoder_decoder_is_refused() -> None:
    config = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    with pytest.raises(UnsupportedModel, match="encoder-decoder"):
        wrap_model(T5ForConditionalGeneration(config), None)


def test_a_model_without_a_vocabulary_head_is_refused() -> None:
    config = BertConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(UnsupportedModel, match="vocabulary head"):
        wrap_model(BertModel(config), None)


def test_a_model_whose_blocks_are_no_list_of_the_announced_length_is_refused() -> None:
    model = lm_of("stablelm").model
    config = model.config
    try:
        config.num_hidden_layers = 7
        with pytest.raises(UnsupportedModel, match="no list of 7 blocks"):
            find_family(model)
    finally:
        config.num_hidden_layers = 3


def test_logits_that_nothing_explains_are_refused() -> None:
    model = build("olmo3")
    handle = model.register_forward_hook(lambda module, args, output: setattr(output, "logits", output.logits**3))
    try:
        with pytest.raises(UnsupportedModel, match="makes logits"):
            find_family(model)
    finally:
        handle.remove()


def test_blocks_outside_of_any_text_model_are_refused() -> None:
    class Bare(nn.Module):
        """A decoder that is no PreTrainedModel inside: embedding, blocks and head side by side."""

        def __init__(self) -> None:
            super().__init__()
            inner = build("olmo3")
            self.config, self.layers = inner.config, inner.model.layers
            self.embedding, self.head = inner.get_input_embeddings(), inner.get_output_embeddings()

        def get_input_embeddings(self) -> nn.Module:
            return self.embedding

        def get_output_embeddings(self) -> nn.Module:
            return self.head

    with pytest.raises(UnsupportedModel, match="outside of any text model"):
        find_family(Bare())


def test_probe_ids_avoid_the_special_ones() -> None:
    config = build("llama").config
    ids = probe_ids(config)
    assert ids.shape == (1, 6)
    assert len(set(ids[0].tolist())) == 6
    assert not {config.pad_token_id, config.bos_token_id, config.eos_token_id} & set(ids[0].tolist())
