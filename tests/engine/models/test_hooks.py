"""Capture and intervention: what fires, what is refused, and that nothing stays behind."""

import pytest
import torch
from torch import Tensor

from loupe.engine.errors import BadOption, InterventionDidNotFire, LayerOutOfRange
from loupe.engine.models.certify import count_hooks
from loupe.engine.models.hooks import HookPoint, Site, capture, intervene
from tests.engine.models.zoo import IDS, LISTED, lm_of

FIRST, MIDDLE, LAST = HookPoint(0), HookPoint(1), HookPoint(2)


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


def double(value: Tensor) -> Tensor:
    return value * 2


def test_a_hook_point_reads_back_from_its_own_text() -> None:
    point = HookPoint(12, Site.MLP_OUT)
    assert str(point) == "blocks.12.mlp_out"
    assert HookPoint.parse(str(point)) == point
    assert HookPoint(3) == HookPoint(3, Site.RESID_POST)


@pytest.mark.parametrize("text", ["", "blocks.3", "blocks.x.resid_post", "blocks.-1.resid_post", "blocks.1.hidden"])
def test_text_that_is_no_hook_point_is_refused_with_the_sites_named(text: str) -> None:
    with pytest.raises(BadOption, match="resid_post"):
        HookPoint.parse(text)


@pytest.mark.parametrize("layer", [-1, 3, 100])
def test_a_layer_out_of_range_is_refused_before_anything_runs(layer: int) -> None:
    lm = lm_of("llama")
    with pytest.raises(LayerOutOfRange, match="0 to 2"), capture(lm, [HookPoint(layer)]):
        pytest.fail("the body must not run")
    with pytest.raises(LayerOutOfRange), intervene(lm, HookPoint(layer), double):
        pytest.fail("the body must not run")


def test_stopping_ends_the_forward_after_the_last_wanted_block() -> None:
    lm = lm_of("llama")
    ran: list[int] = []
    handles = [
        block.register_forward_pre_hook(lambda *_, k=layer: ran.append(k)) for layer, block in enumerate(lm.blocks)
    ]
    try:
        with capture(lm, [FIRST, MIDDLE], stop=True) as store:
            lm.forward(IDS)
            pytest.fail("the forward must have been ended")
    finally:
        for handle in handles:
            handle.remove()
    assert ran == [0, 1]
    assert torch.equal(store[MIDDLE], lm.model(IDS, output_hidden_states=True).hidden_states[2])


def test_a_stopped_capture_inside_another_ends_only_its_own_forward() -> None:
    lm = lm_of("llama")
    with capture(lm, [LAST], stop=True) as outer:
        with capture(lm, [FIRST], stop=True) as inner:
            lm.forward(IDS)
        assert set(inner) == {FIRST}
        assert set(outer) == set()
        lm.forward(IDS)
    assert set(outer) == {LAST}


def test_an_outer_stop_passes_through_an_inner_capture() -> None:
    lm = lm_of("llama")
    with capture(lm, [FIRST], stop=True) as outer, capture(lm, [LAST]):
        lm.forward(IDS)
    assert set(outer) == {FIRST}


def test_what_was_captured_is_a_copy_that_later_blocks_cannot_change() -> None:
    # Falcon adds the attention output into its MLP output in place.
    lm = lm_of("falcon")
    with capture(lm, [HookPoint(1, Site.MLP_IN), HookPoint(1, Site.MLP_OUT)]) as store:
        lm.forward(IDS)
    made = lm.blocks[1].mlp(store[HookPoint(1, Site.MLP_IN)])
    assert torch.equal(store[HookPoint(1, Site.MLP_OUT)], made)


def test_the_last_of_several_forwards_is_kept() -> None:
    lm = lm_of("llama")
    with capture(lm, [MIDDLE]) as store:
        lm.forward(IDS)
        lm.forward(IDS[:, :2])
    assert store[MIDDLE].shape == (2, 2, lm.d_model)


def test_a_capture_opened_inside_an_intervention_sees_the_changed_value() -> None:
    lm = lm_of("qwen2")
    with capture(lm, [MIDDLE]) as before, intervene(lm, MIDDLE, double), capture(lm, [MIDDLE]) as after:
        lm.forward(IDS)
    assert torch.equal(after[MIDDLE], before[MIDDLE] * 2)


def test_interventions_on_one_point_apply_in_the_order_they_were_opened() -> None:
    lm = lm_of("qwen2")
    with (
        capture(lm, [MIDDLE]) as clean,
        intervene(lm, MIDDLE, lambda value: value + 1),
        intervene(lm, MIDDLE, double),
        capture(lm, [MIDDLE]) as changed,
    ):
        lm.forward(IDS)
    assert torch.equal(changed[MIDDLE], (clean[MIDDLE] + 1) * 2)


@pytest.mark.parametrize("name", LISTED)
@pytest.mark.parametrize("site", Site)
def test_what_an_intervention_writes_is_what_is_there_afterwards(name: str, site: Site) -> None:
    lm = lm_of(name)
    if site is Site.RESID_MID and lm.family.layout.parallel:
        pytest.skip("nothing to intervene on")
    point, value = HookPoint(1, site), torch.linspace(-2, 2, lm.d_model).expand(*IDS.shape, -1)
    with intervene(lm, point, lambda _: value), capture(lm, [point]) as store:
        lm.forward(IDS)
    assert torch.equal(store[point], value)


def test_the_callers_tensor_is_never_written_into() -> None:
    lm = lm_of("falcon")
    mine = torch.ones(*IDS.shape, lm.d_model)
    with intervene(lm, HookPoint(1, Site.MLP_OUT), lambda _: mine):
        lm.forward(IDS)
    assert torch.equal(mine, torch.ones_like(mine))


def test_an_intervention_that_never_fires_is_an_error() -> None:
    lm = lm_of("llama")
    with pytest.raises(InterventionDidNotFire, match=r"blocks\.1\.resid_post"), intervene(lm, MIDDLE, double):
        lm.embed(IDS)


def test_an_intervention_behind_a_stop_is_an_error() -> None:
    lm = lm_of("llama")
    with (
        pytest.raises(InterventionDidNotFire, match=r"blocks\.2"),
        intervene(lm, LAST, double),
        capture(lm, [FIRST], stop=True),
    ):
        lm.forward(IDS)


def test_a_capture_that_no_forward_reached_is_an_error() -> None:
    lm = lm_of("llama")
    with pytest.raises(InterventionDidNotFire, match=r"blocks\.0\.resid_post, blocks\.2"), capture(lm, [LAST, FIRST]):
        pass


def test_an_exception_is_not_hidden_by_the_intervention_that_did_not_fire() -> None:
    lm = lm_of("llama")
    with pytest.raises(KeyError, match="mine"), intervene(lm, MIDDLE, double), capture(lm, [MIDDLE]):
        raise KeyError("mine")


def test_a_result_of_another_shape_is_refused() -> None:
    lm = lm_of("llama")
    refused = pytest.raises(BadOption, match=r"returned \[2, 24\] for \[2, 6, 24\]")
    with refused, intervene(lm, MIDDLE, lambda value: value[:, 0]):
        lm.forward(IDS)


def test_a_result_in_fp32_is_put_back_in_the_models_dtype() -> None:
    lm = lm_of("llama bf16")
    with intervene(lm, MIDDLE, lambda value: value.float() * 2), capture(lm, [MIDDLE]) as store:
        lm.forward(IDS)
    assert store[MIDDLE].dtype == torch.bfloat16


@pytest.mark.parametrize("name", LISTED)
def test_no_hook_remains_after_an_exception_at_any_site(name: str) -> None:
    lm = lm_of(name)
    before = count_hooks(lm.model)

    def fail(value: Tensor) -> Tensor:
        raise RuntimeError("in the middle of a forward")

    for site in Site:
        if site is Site.RESID_MID and lm.family.layout.parallel:
            continue
        with pytest.raises(RuntimeError, match="middle"), intervene(lm, HookPoint(1, site), fail):
            lm.forward(IDS)
        with pytest.raises(RuntimeError, match="body"), capture(lm, [HookPoint(1, site)]):
            assert count_hooks(lm.model) > before
            raise RuntimeError("in the body")
        assert count_hooks(lm.model) == before


def test_no_hook_remains_when_one_of_several_points_does_not_exist() -> None:
    lm = lm_of("opt")
    before = count_hooks(lm.model)
    with pytest.raises(LayerOutOfRange), capture(lm, [HookPoint(k, Site.MLP_IN) for k in range(4)]):
        pytest.fail("the body must not run")
    assert count_hooks(lm.model) == before


def test_an_intervention_holds_for_every_step_of_a_cached_generation() -> None:
    lm = lm_of("llama")
    seen: list[tuple[int, ...]] = []

    def note(value: Tensor) -> Tensor:
        seen.append(tuple(value.shape))
        return value * 1.5

    with intervene(lm, MIDDLE, note):
        whole = lm.logits(IDS)
        cache = lm.forward(IDS[:, :4], use_cache=True).past_key_values
        rest = lm.logits(IDS[:, 4:], past_key_values=cache)
    assert seen == [(2, 6, 24), (2, 4, 24), (2, 2, 24)]
    torch.testing.assert_close(rest, whole[:, 4:])


def test_opt_is_seen_in_batch_and_sequence_though_its_mlp_flattens_them() -> None:
    lm = lm_of("opt")
    shapes: list[torch.Size] = []
    with intervene(lm, HookPoint(1, Site.MLP_OUT), lambda value: shapes.append(value.shape) or value):
        lm.forward(IDS)
        lm.forward(IDS[:1, :3])
    assert shapes == [(2, 6, 24), (1, 3, 24)]


def test_a_block_that_is_called_by_keyword_is_read_and_changed_all_the_same() -> None:
    lm = lm_of("gpt2")
    point, hidden = HookPoint(1, Site.RESID_PRE), torch.ones(1, 4, 24)
    with intervene(lm, point, double), capture(lm, [point]) as store:
        changed = lm.blocks[1](hidden_states=hidden)
    assert torch.equal(store[point], hidden * 2)
    with intervene(lm, point, lambda value: value):
        assert torch.equal(lm.blocks[1](hidden_states=hidden * 2), changed)


def test_a_site_the_blocks_do_not_have_is_refused_by_name() -> None:
    lm = lm_of("granite")  # it multiplies its branches before adding them
    with pytest.raises(BadOption, match="granite have no attn_out"), capture(lm, [HookPoint(0, Site.ATTN_OUT)]):
        pytest.fail("the body must not run")


def test_transformers_own_record_is_of_the_block_before_the_intervention() -> None:
    lm = lm_of("llama")
    clean = lm.model(IDS, output_hidden_states=True).hidden_states
    with intervene(lm, MIDDLE, double):
        changed = lm.model(IDS, output_hidden_states=True).hidden_states
    assert torch.equal(changed[2], clean[2])
    assert not torch.equal(changed[3], clean[3])


def test_gradients_flow_through_what_was_captured() -> None:
    lm = lm_of("llama")
    with torch.enable_grad():
        rows = lm.embed(IDS).requires_grad_()
        with capture(lm, [MIDDLE], stop=True) as store:
            lm.forward(embeds=rows)
        store[MIDDLE][:, 2].sum().backward()
    assert rows.grad is not None
    assert rows.grad[:, :3].abs().sum() > 0
    assert rows.grad[:, 3:].abs().sum() == 0
