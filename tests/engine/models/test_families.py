"""Every listed family, on a tiny random model, against the model's own hidden states and logits."""

import pytest
import torch
from torch import Tensor
from transformers import Gemma3TextConfig, GemmaConfig, GemmaForCausalLM

from loupe.engine.errors import BadOption
from loupe.engine.models.families import FAMILIES, listed_family
from loupe.engine.models.hooks import HookPoint, Site, capture, intervene
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import wrap_model
from tests.engine.models.zoo import IDS, LISTED, lm_of

every_family = pytest.mark.parametrize("name", LISTED)


def read_all(lm: LanguageModel) -> tuple[dict[HookPoint, Tensor], Tensor]:
    points = [HookPoint(layer, site) for layer in range(lm.n_layers) for site in Site]
    with torch.no_grad(), capture(lm, points) as store:
        logits = lm.logits(IDS)
    return store, logits


@every_family
def test_block_outputs_are_the_models_own_hidden_states(name: str) -> None:
    lm = lm_of(name)
    store, logits = read_all(lm)
    own = lm.model(IDS, output_hidden_states=True)
    for layer in range(lm.n_layers):
        assert torch.equal(store[HookPoint(layer, Site.RESID_PRE)], own.hidden_states[layer])
        if layer + 1 < lm.n_layers:
            assert torch.equal(store[HookPoint(layer)], own.hidden_states[layer + 1])
    assert torch.equal(logits, own.logits)


@every_family
def test_the_last_block_is_read_before_the_final_norm(name: str) -> None:
    lm = lm_of(name)
    store, logits = read_all(lm)
    last, own = store[HookPoint(lm.n_layers - 1)], lm.forward(IDS).last_hidden_state
    assert torch.equal(lm.unembed(last), logits)
    assert torch.equal(lm.project_out(lm.final_norm(last)), own)
    if lm.family.final_norm:
        assert not torch.allclose(last, own)


@every_family
def test_the_branches_add_up_to_the_residual_stream(name: str) -> None:
    lm = lm_of(name)
    store, _ = read_all(lm)
    for layer in range(lm.n_layers):
        pre, mid, post, attn, _, mlp = (store[HookPoint(layer, site)] for site in Site)
        assert all(value.shape == (*IDS.shape, lm.d_model) for value in (pre, mid, post, attn, mlp))
        if lm.family.layout.parallel:
            assert torch.equal(mid, pre)
            torch.testing.assert_close(pre + attn + mlp, post)
        elif lm.family.layout.post_norm:
            block = lm.blocks[layer]
            torch.testing.assert_close(block.self_attn_layer_norm(pre + attn), mid)
            torch.testing.assert_close(block.final_layer_norm(mid + mlp), post)
        else:
            assert torch.equal(pre + attn, mid)
            assert torch.equal(mid + mlp, post)


@every_family
def test_what_the_mlp_receives_gives_what_it_adds(name: str) -> None:
    lm = lm_of(name)
    store, _ = read_all(lm)
    block, norm = lm.blocks[1], getattr(lm.blocks[1], "post_feedforward_layernorm", torch.nn.Identity())
    received, added = store[HookPoint(1, Site.MLP_IN)], store[HookPoint(1, Site.MLP_OUT)]
    made = block.fc2(block.activation_fn(block.fc1(received))) if name.startswith("opt") else block.mlp(received)
    torch.testing.assert_close(norm(made[0] if isinstance(made, tuple) else made), added)


@every_family
def test_an_identity_intervention_changes_no_bit(name: str) -> None:
    lm = lm_of(name)
    with torch.no_grad():
        logits = lm.logits(IDS)
        for layer in range(lm.n_layers):
            for site in Site:
                if site is Site.RESID_MID and lm.family.layout.parallel:
                    continue
                with intervene(lm, HookPoint(layer, site), torch.clone):
                    assert torch.equal(lm.logits(IDS), logits), f"{site} of block {layer}"


@every_family
@pytest.mark.parametrize("site", Site)
def test_a_real_intervention_changes_logits_at_and_after_its_position_only(name: str, site: Site) -> None:
    lm = lm_of(name)
    if site is Site.RESID_MID and lm.family.layout.parallel:
        pytest.skip("nothing to intervene on")
    with torch.no_grad():
        logits = lm.logits(IDS)
        with intervene(lm, HookPoint(1, site), at_position(3)):
            changed = lm.logits(IDS)
    torch.testing.assert_close(changed[:, :3], logits[:, :3])
    moved = (changed - logits).abs().amax(-1)
    assert (moved[:, 3] > 1e-3).all()
    assert (moved[:, 4:].amax(-1) > 1e-3).all()


@every_family
def test_a_change_between_attention_and_mlp_is_the_change_of_what_attention_adds(name: str) -> None:
    lm = lm_of(name)
    with torch.no_grad():
        if lm.family.layout.parallel:
            with pytest.raises(BadOption, match="parallel"), intervene(lm, HookPoint(1, Site.RESID_MID), torch.clone):
                lm.logits(IDS)
            return
        if lm.family.layout.post_norm:
            pytest.skip("a norm lies between the two")
        with intervene(lm, HookPoint(1, Site.RESID_MID), at_position(3)):
            by_mid = lm.logits(IDS)
        with intervene(lm, HookPoint(1, Site.ATTN_OUT), at_position(3)):
            by_attention = lm.logits(IDS)
    torch.testing.assert_close(by_mid, by_attention, rtol=1e-4, atol=1e-4)


@every_family
def test_inputs_embeds_are_raw_rows_times_the_scale(name: str) -> None:
    lm = lm_of(name)
    rows = lm.embed(IDS)
    assert torch.equal(lm.embedding_table[IDS] * lm.embed_scale, rows)
    assert torch.equal(lm.logits(embeds=rows), lm.logits(IDS))
    if lm.family.positions is None:
        store, _ = read_all(lm)
        assert torch.equal(rows, store[HookPoint(0, Site.RESID_PRE)])


@every_family
def test_an_injected_row_reaches_block_0_unscaled(name: str) -> None:
    lm = lm_of(name)
    rows = lm.embed(IDS)
    width = rows.shape[-1]
    rows[:, 2] = 5.0 * torch.ones(width)
    with torch.no_grad(), capture(lm, [HookPoint(0, Site.RESID_PRE)], stop=True) as store:
        lm.forward(embeds=rows)
    received = store[HookPoint(0, Site.RESID_PRE)][:, 2]
    if lm.family.positions is None:
        assert torch.equal(received, torch.full_like(received, 5.0))
    else:
        with torch.no_grad(), capture(lm, [HookPoint(0, Site.RESID_PRE)], stop=True) as zeroed:
            lm.forward(embeds=torch.zeros_like(rows))
        position = zeroed[HookPoint(0, Site.RESID_PRE)][:, 2]
        sent = rows if lm.family.project_in is None else lm.model.get_submodule(lm.family.project_in)(rows)
        assert torch.equal(received, sent[:, 2] + position)


@pytest.mark.parametrize("name", ["gemma", "gemma2", "gemma3", "gemma3 wrapper"])
def test_gemma_scales_its_embeddings_inside_the_embedding_module(name: str) -> None:
    lm = lm_of(name)
    assert lm.embed_scale == pytest.approx(lm.d_model**0.5)


def test_the_embedding_scale_is_rounded_to_the_dtype_of_the_table() -> None:
    config = GemmaConfig(
        vocab_size=8, hidden_size=3840, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=8, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    lm = wrap_model(GemmaForCausalLM(config).to(torch.bfloat16), None)
    ids = torch.arange(8)[None]
    assert lm.embed_scale == 62.0
    assert torch.equal(lm.embedding_table[ids] * lm.embed_scale, lm.embed(ids))


@pytest.mark.parametrize(("name", "softcap"), [("gemma2", 0.5), ("gemma3", 0.5), ("gemma3 wrapper", None)])
def test_the_final_softcap_is_the_models_own(name: str, softcap: float | None) -> None:
    lm = lm_of(name)
    assert lm.final_softcap == softcap
    assert (lm.logits(IDS).abs().max() <= 0.5) == (softcap is not None)


def test_the_wrappers_text_config_may_name_a_softcap_that_the_wrapper_does_not_apply() -> None:
    assert listed_family(Gemma3TextConfig()).softcap == "final_logit_softcapping"
    assert FAMILIES["gemma3"](None).softcap is None


def at_position(position: int):
    def change(value: Tensor) -> Tensor:
        changed = value.clone()
        changed[:, position] += 3.0 * torch.linspace(-1, 1, value.shape[-1])
        return changed

    return change
