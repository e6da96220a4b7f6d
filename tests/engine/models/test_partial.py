"""Running some blocks on a given residual stream: the same numbers as the whole forward."""

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from loupe.engine.errors import LayerOutOfRange
from loupe.engine.models.hooks import HookPoint, Site, capture, intervene
from loupe.engine.models.partial import run_blocks
from tests.engine.models.zoo import IDS, LISTED, lm_of

every_family = pytest.mark.parametrize("name", LISTED)


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.no_grad():
        yield


@every_family
@pytest.mark.parametrize(("start", "stop"), [(0, 3), (1, 3), (2, 3), (0, 1), (1, 2)])
def test_blocks_run_alone_give_what_they_give_in_the_whole(name: str, start: int, stop: int) -> None:
    lm = lm_of(name)
    with capture(lm, [HookPoint(start, Site.RESID_PRE), HookPoint(stop - 1)]) as store:
        lm.forward(IDS)
    ran = run_blocks(lm, store[HookPoint(start, Site.RESID_PRE)], start, stop)
    assert torch.equal(ran, store[HookPoint(stop - 1)])


@every_family
def test_the_last_blocks_and_the_head_make_the_models_logits(name: str) -> None:
    lm = lm_of(name)
    with capture(lm, [HookPoint(0)]) as store:
        logits = lm.logits(IDS)
    assert torch.equal(lm.unembed(run_blocks(lm, store[HookPoint(0)], 1)), logits)


def test_padding_is_masked_as_in_the_whole_forward() -> None:
    lm = lm_of("gpt2")
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    with capture(lm, [HookPoint(0), HookPoint(2)]) as store:
        lm.forward(IDS, attention_mask=mask)
    ran = run_blocks(lm, store[HookPoint(0)], 1, attention_mask=mask)
    assert torch.equal(ran, store[HookPoint(2)])


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama", "gemma2", "gemma3 wrapper", "gpt_oss", "phi", "opt"])
def test_one_pass_answers_what_each_position_would_have_said(name: str) -> None:
    """Every position's vector replaced alone, all in one run of the upper blocks on the base run's keys and values."""
    lm, ids, layer = lm_of(name), IDS[:1], 1
    seq = ids.shape[1]
    cache = DynamicCache()
    with capture(lm, [HookPoint(layer)]) as store:
        lm.forward(ids, use_cache=True, past_key_values=cache)
    replaced = store[HookPoint(layer)] + torch.linspace(-1, 1, lm.d_model)
    ran = run_blocks(
        lm,
        replaced,
        layer + 1,
        past_key_values=cache,
        attention_mask=_each_sees_the_base_before_itself(lm, seq),
        position_ids=torch.arange(seq)[None],
    )
    fast = lm.unembed(ran)[0]
    for position in range(seq):
        with intervene(lm, HookPoint(layer), lambda value, p=position: _with_row(value, p, replaced[:, p])):
            slow = lm.logits(ids)[0, position]
        torch.testing.assert_close(fast[position], slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 1), (0, 4)])
def test_blocks_that_do_not_exist_are_refused(start: int, stop: int) -> None:
    lm = lm_of("llama")
    with pytest.raises(LayerOutOfRange):
        run_blocks(lm, lm.embed(IDS), start, stop)


def test_no_block_at_all_returns_its_argument() -> None:
    lm = lm_of("llama")
    hidden = lm.embed(IDS)
    assert run_blocks(lm, hidden, 3) is hidden


def test_the_model_is_as_it_was_afterwards() -> None:
    lm = lm_of("gemma2")
    logits, modules = lm.logits(IDS), dict(lm.backbone._modules)
    run_blocks(lm, lm.embed(IDS), 1, 2)
    assert lm.backbone._modules == modules
    assert lm.n_layers == 3
    assert lm.config.num_hidden_layers == 3
    assert torch.equal(lm.logits(IDS), logits)


def _with_row(value: Tensor, position: int, row: Tensor) -> Tensor:
    changed = value.clone()
    changed[:, position] = row
    return changed


def _each_sees_the_base_before_itself(lm, seq: int) -> Tensor | dict[str, Tensor]:
    window = getattr(lm.config, "sliding_window", None)
    kinds = set(getattr(lm.config, "layer_types", None) or [])
    full = _mask(seq, None)
    return {kind: _mask(seq, window) if "sliding" in kind else full for kind in kinds} if len(kinds) > 1 else full


def _mask(seq: int, window: int | None) -> Tensor:
    query, key = torch.arange(seq)[:, None], torch.arange(seq)[None]
    base = (key < query) & (query - key < (window or seq + 1))
    seen = torch.cat([base, torch.eye(seq, dtype=torch.bool)], dim=1)
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]
