"""The stream of activations: what is in it, what is not, and in which order."""

import json
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch

from loupe.engine.data.rows import TokenFlag, token_rows
from loupe.engine.errors import BadInput, BadOption
from loupe.engine.models.hooks import HookPoint, Site, capture
from loupe.engine.models.pieces import PiecewiseForward
from loupe.engine.sae import stream as stream_module
from loupe.engine.sae.stream import ActivationStream, Drop, MemoryRows
from tests.engine.models.zoo import ZOO, lm_of

KEEP_ALL = Drop(special=False, first=0, overlap=False, norm_factor=None)


def drain(steps: Generator[None, None, Any]) -> Any:
    """Run to the end, as a job without anybody else around."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def stories(count: int = 40, longest: int = 20, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return token_rows([rng.integers(3, 90, rng.integers(2, longest)).tolist() for _ in range(count)])


def test_every_token_of_an_epoch_comes_once_and_no_padding() -> None:
    lm, rows = lm_of("llama"), stories()
    point = HookPoint(1)
    stream = ActivationStream(lm, rows, [point], buffer_rows=10_000, forward_tokens=64, drop=KEEP_ALL)
    batch = drain(stream.next_batch(rows.n_tokens))
    wanted = []
    for row in range(len(rows)):
        with torch.no_grad(), capture(lm, [point], stop=True) as store:
            lm.forward(torch.from_numpy(rows.ids(row))[None])
        wanted.append(store[point][0])
    expected = torch.cat(wanted)
    distance = torch.cdist(expected, batch[point], compute_mode="donot_use_mm_for_euclid_dist")
    assert distance.min(1).values.max() < 1e-4 and distance.min(0).values.max() < 1e-4


@pytest.mark.parametrize("buffer_rows", [150, 10_000])
def test_an_epoch_has_every_token_once_in_blocks_or_kept_whole(buffer_rows: int) -> None:
    lm, rows, point = lm_of("llama"), stories(), HookPoint(0)
    stream = ActivationStream(lm, rows, [point], buffer_rows=buffer_rows, forward_tokens=64, drop=KEEP_ALL)
    first, second = (drain(stream.next_batch(rows.n_tokens))[point] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.allclose(first.double().sum(0), second.double().sum(0), atol=1e-4)
    assert stream.counts.seen == rows.n_tokens * (1 if buffer_rows == 10_000 else 2)


def test_text_kept_whole_resumes_in_a_later_epoch() -> None:
    lm, rows, point = lm_of("llama"), stories(), HookPoint(0)
    whole, resumed = (ActivationStream(lm, rows, [point], buffer_rows=10_000, forward_tokens=64) for _ in range(2))
    for _ in range(3):
        drain(whole.next_batch(300))
    resumed.restore(whole.state())
    for _ in range(3):
        assert torch.equal(drain(whole.next_batch(300))[point], drain(resumed.next_batch(300))[point])


def test_one_stream_serves_several_hook_points_with_the_same_tokens() -> None:
    lm, rows = lm_of("llama"), stories()
    points = [HookPoint(1), HookPoint(0, Site.MLP_IN), HookPoint(0, Site.MLP_OUT), HookPoint(1, Site.RESID_PRE)]
    stream = ActivationStream(lm, rows, points, buffer_rows=200, forward_tokens=64, drop=KEEP_ALL)
    batch = drain(stream.next_batch(50))
    alone = ActivationStream(lm, rows, points[:1], buffer_rows=200, forward_tokens=64, drop=KEEP_ALL)
    assert torch.equal(drain(alone.next_batch(50))[points[0]], batch[points[0]])
    with torch.no_grad():
        mlp_out = lm.blocks[0].mlp(batch[points[1]])
    assert torch.allclose(mlp_out, batch[points[2]], atol=1e-5)
    assert stream.forward.end == 2


def test_order_is_a_function_of_the_seed_and_two_seeds_differ() -> None:
    lm, rows = lm_of("llama"), stories()

    def first(seed: int) -> torch.Tensor:
        stream = ActivationStream(lm, rows, [HookPoint(0)], seed=seed, buffer_rows=100, forward_tokens=40)
        return drain(stream.next_batch(64))[HookPoint(0)]

    assert torch.equal(first(1), first(1)) and not torch.equal(first(1), first(2))


@pytest.mark.parametrize("before", [0, 1, 3, 7, 11])
def test_a_resumed_stream_goes_on_bit_by_bit(before: int) -> None:
    lm, rows, point = lm_of("gpt2"), stories(), HookPoint(1)

    def make() -> ActivationStream:
        return ActivationStream(lm, rows, [point], seed=5, buffer_rows=128, forward_tokens=40)

    whole, cut = make(), make()
    for _ in range(before):
        drain(whole.next_batch(48)), drain(cut.next_batch(48))
    state = json.loads(json.dumps(cut.state()))
    resumed = make()
    resumed.restore(state)
    assert resumed.state() == state
    for _ in range(6):
        assert torch.equal(drain(whole.next_batch(48))[point], drain(resumed.next_batch(48))[point])
    assert resumed.state() == whole.state() and resumed.counts == whole.counts


def test_a_state_of_other_text_or_other_options_is_refused() -> None:
    lm, point = lm_of("llama"), HookPoint(0)
    stream = ActivationStream(lm, stories(), [point], buffer_rows=100, forward_tokens=40)
    other = ActivationStream(lm, stories(seed=3), [point], buffer_rows=100, forward_tokens=40)
    with pytest.raises(BadOption, match="its rows is"):
        other.restore(stream.state())
    with pytest.raises(BadOption, match="its seed is 0, here it is 1"):
        MemoryRows(torch.ones(3, 2), seed=1).restore(MemoryRows(torch.ones(3, 2)).state())


def test_what_is_dropped_is_counted_by_its_reason() -> None:
    ids = [[5, 9, 3, 17, 40], [7, 8, 11, 60, 19]]
    flags = [[0, TokenFlag.SPECIAL, 0, 0, 0], [TokenFlag.SPECIAL, 0, TokenFlag.OVERLAP, TokenFlag.TEMPLATE, 0]]
    stream = ActivationStream(lm_of("llama"), token_rows(ids, flags), [HookPoint(0)], buffer_rows=10, forward_tokens=10)
    drain(stream.next_batch(1))
    assert (stream.counts.seen, stream.counts.kept, stream.counts.first, stream.counts.flagged) == (10, 6, 2, 2)


def test_a_norm_far_above_the_median_is_an_outlier_at_every_hook_point() -> None:
    lm, rows = lm_of("llama"), stories()
    points = [HookPoint(0), HookPoint(1)]
    tight = ActivationStream(lm, rows, points, buffer_rows=500, forward_tokens=500, drop=Drop(norm_factor=1.2))
    drain(tight.next_batch(10))
    assert 0 < tight.counts.outlier < tight.counts.seen
    batch = drain(tight.next_batch(tight.counts.kept - 10))
    assert len(batch[points[0]]) == len(batch[points[1]])
    norms = batch[points[0]].norm(dim=1)
    loose = ActivationStream(lm, rows, points, buffer_rows=500, forward_tokens=500, drop=Drop(norm_factor=None))
    everything = drain(loose.next_batch(loose.rows.n_tokens - len(rows)))[points[0]].norm(dim=1)
    assert norms.max() <= 1.2 * everything.median() < everything.max()


def test_text_of_which_nothing_is_left_is_an_error_and_not_an_endless_search() -> None:
    with pytest.raises(BadInput, match="1 were first"):
        stream = ActivationStream(lm_of("llama"), token_rows([[5]]), [HookPoint(0)], buffer_rows=4, forward_tokens=4)
        drain(stream.next_batch(1))


def test_activations_that_are_not_finite_are_refused_with_the_place() -> None:
    lm = lm_of("llama")
    stream = ActivationStream(lm, stories(), [HookPoint(1)], buffer_rows=100, forward_tokens=40)
    weight = lm.blocks[0].mlp.down_proj.weight
    before = weight.detach().clone()
    try:
        weight.data.fill_(float("nan"))
        with pytest.raises(BadInput, match=r"blocks\.1\.resid_post hold values that are not finite"):
            drain(stream.next_batch(10))
    finally:
        weight.data.copy_(before)


def test_rows_that_do_not_fit_the_model_or_the_buffer_are_refused() -> None:
    lm = lm_of("llama")
    with pytest.raises(BadInput, match="reads at most 64"):
        ActivationStream(lm, token_rows([[5] * 65]), [HookPoint(0)])
    with pytest.raises(BadInput, match="made with another tokenizer"):
        ActivationStream(lm, token_rows([[5, 96]]), [HookPoint(0)])
    with pytest.raises(BadOption, match="cannot hold one batch"):
        ActivationStream(lm, stories(), [HookPoint(0)], buffer_rows=10)


def test_memory_rows_come_each_once_an_epoch_and_resume() -> None:
    table = torch.arange(10.0)[:, None]
    stream = MemoryRows(table, seed=2)
    epoch = torch.cat([drain(stream.next_batch(5))[HookPoint(0)] for _ in range(2)])
    assert sorted(epoch.flatten().tolist()) == list(range(10))
    drain(stream.next_batch(7))
    again = MemoryRows(table, seed=2)
    again.restore(stream.state())
    assert torch.equal(drain(stream.next_batch(8))[HookPoint(0)], drain(again.next_batch(8))[HookPoint(0)])


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "opt", "gemma2", "gemma3", "falcon", "qwen3", "granite", "bloom"])
def test_a_forward_in_pieces_gives_the_bits_of_a_whole_one(name: str) -> None:
    lm = lm_of(name)
    assert name in ZOO
    ids = torch.randint(3, 90, (3, 12), generator=torch.Generator().manual_seed(1))
    points = [HookPoint(lm.n_layers - 1), HookPoint(0), HookPoint(1, Site.RESID_PRE)]
    clock = iter(range(10_000))
    cut = PiecewiseForward(lm, points, piece_s=0.5, clock=lambda: float(next(clock)))
    drain(cut.steps(ids))  # the first one learns how long a block takes
    steps = cut.steps(ids)
    pieces = 0
    while True:
        try:
            next(steps)
            pieces += 1
        except StopIteration as end:
            found = end.value
            break
    with torch.no_grad(), capture(lm, points, stop=True) as store:
        lm.forward(ids)
    assert all(torch.equal(found[point], store[point]) for point in points)
    assert pieces == (0 if name in ("granite", "bloom") else lm.n_layers - 1)  # these two cannot be cut, and say so


def test_a_forward_reads_as_many_tokens_as_one_block_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = lm_of("llama")
    per_block = sum(weight.numel() for weight in lm.model.parameters()) // lm.n_layers
    assert ActivationStream(lm, stories(), [HookPoint(0)]).forward_tokens == 2048
    monkeypatch.setattr(stream_module, "BLOCK_PRODUCTS", 100 * per_block)
    assert ActivationStream(lm, stories(), [HookPoint(0)]).forward_tokens == 100
