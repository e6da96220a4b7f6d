"""Where memory ends, a request that fits goes on, whoever asked for the step; only what cannot fit alone fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from loupe.engine.device import DeviceThread
from loupe.engine.errors import OutOfDeviceMemory
from loupe.engine.nla import batching
from loupe.engine.nla.analysis import AnalysisJob, AnalysisRequest
from loupe.engine.nla.batching import VerbalizerBatch
from loupe.engine.nla.ticket import Ticket
from loupe.engine.nla.verbalizer import Sampling, Verbalizer
from loupe.engine.task import run_here

SAMPLING = Sampling(temperature=1.0, seed=5, max_new_tokens=8)


@pytest.fixture
def verbalizer(loaded):
    return loaded[1].verbalizer


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))


def run(batch: VerbalizerBatch) -> None:
    while batch.advance():
        pass


def ids(ticket: Ticket) -> list[list[tuple[int, ...]]]:
    return [[rollout.ids for rollout in ticket.rollouts(index)] for index in range(len(ticket.vectors))]


def unhindered(verbalizer: Verbalizer, rows: torch.Tensor, sampling: Sampling) -> list[list[tuple[int, ...]]]:
    """What the vectors say where memory is plenty."""
    found = verbalizer.verbalize(rows, sampling)
    assert not any(one.ties for many in found for one in many), "this seed proves nothing: rounding decides a token"
    return [[rollout.ids for rollout in rollouts] for rollouts in found]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """`room(decode=4)`: forwards of more rows run out of memory, as torch says it; the sizes that were refused."""

    def small(*, decode: int = 10_000, prefill: int = 10_000) -> list[int]:
        real, refused = Verbalizer.run, []

        def scarce(self, embeds, *rest):
            if len(embeds) > (decode if embeds.shape[1] == 1 else prefill):
                refused.append(len(embeds))
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return real(self, embeds, *rest)

        monkeypatch.setattr(Verbalizer, "run", scarce)
        return refused

    return small


def test_a_step_that_does_not_fit_is_done_in_parts_and_everybody_says_the_same(verbalizer, room):
    expected = unhindered(verbalizer, vectors(7), SAMPLING), unhindered(verbalizer, vectors(1, seed=1), SAMPLING)
    refused = room(decode=3)
    batch = VerbalizerBatch(verbalizer)
    large = batch.submit(vectors(7), SAMPLING)
    batch.advance()
    small = batch.submit(vectors(1, seed=1), SAMPLING)
    run(batch)
    assert refused == [8, 4], "once halved, no more than that is tried again"
    assert (ids(large), ids(small)) == expected
    assert batch.nbytes == 0


def test_room_is_found_anew_when_the_batch_was_idle(verbalizer, room, monkeypatch):
    room(decode=2)
    batch = VerbalizerBatch(verbalizer)
    batch.submit(vectors(6), SAMPLING)
    run(batch)
    monkeypatch.undo()
    batch.submit(vectors(6), SAMPLING)
    batch.advance()
    assert batch.rows == 6


def test_the_memory_of_rows_that_wait_again_is_given_back(verbalizer, room):
    room(decode=4)
    batch = VerbalizerBatch(verbalizer)
    batch.submit(vectors(8), SAMPLING)
    batch.advance()
    whole = batch.nbytes
    batch.advance()
    assert batch.rows == 4
    assert batch.nbytes == whole // 2


def test_where_there_is_no_memory_even_for_smaller_buffers_the_larger_ones_stay(verbalizer, room, monkeypatch):
    expected = unhindered(verbalizer, vectors(4), SAMPLING)
    room(decode=2)
    batch = VerbalizerBatch(verbalizer)
    ticket = batch.submit(vectors(4), SAMPLING)
    batch.advance()
    whole = batch.nbytes
    allocations(monkeypatch, lambda number: number > 2)  # it ends between the first layer and the second
    batch.advance()
    assert batch.rows == 2
    assert batch.nbytes == whole - whole // 4 // 2  # one of four layers is half as large
    monkeypatch.undo()
    run(batch)
    assert ids(ticket) == expected


def test_an_error_of_a_step_that_is_no_matter_of_memory_is_told_as_it_is(verbalizer, monkeypatch):
    batch = VerbalizerBatch(verbalizer)
    batch.submit(vectors(2), SAMPLING)
    batch.advance()
    monkeypatch.setattr(Verbalizer, "run", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        batch.advance()
    assert batch.rows == 2


def test_a_rollout_that_was_finished_before_its_vector_waited_again_counts_once(verbalizer, room, monkeypatch):
    real, steps = batching.draw, iter(range(10_000))

    def ended_early(*arguments):
        drawn = real(*arguments)
        if next(steps) == 1:  # the second token of the last row is an end token
            drawn.tokens[-1] = 2
        return drawn

    monkeypatch.setattr(batching, "draw", ended_early)
    batch = VerbalizerBatch(verbalizer)
    ticket = batch.submit(vectors(3), Sampling(seed=5, max_new_tokens=6, rollouts=2))
    for _ in range(2):
        batch.advance()
    assert batch.rows == 5
    room(decode=4)
    seen: list[int] = []
    while batch.advance():
        seen += ticket.take_finished()
    assert sorted(seen) == [0, 1, 2]
    assert ticket.done
    assert ids(ticket) == unhindered(verbalizer, vectors(3), Sampling(seed=5, max_new_tokens=6, rollouts=2))


def test_only_the_vector_that_is_too_large_alone_fails_whoever_asks_for_the_step(
    loaded, room, device_thread: DeviceThread
):
    model, pair = loaded
    text = "The quick brown fox crossed the wide river."
    small = AnalysisRequest(text=text, positions=(4,), max_new_tokens=10, seed=2, kl=False)
    expected = run_here(AnalysisJob(model, pair, small))
    room(decode=4)
    batch = VerbalizerBatch(pair.verbalizer)
    large = AnalysisRequest(text=text, positions=(5,), max_new_tokens=40, best_of=8, kl=False)
    requests = (large, small, large, small)
    handles = [device_thread.submit(AnalysisJob(model, pair, request, batch=batch)) for request in requests]
    for handle in handles[1::2]:
        (row,) = handle.result(120).positions
        assert row.explanation == expected.positions[0].explanation
    for handle in handles[::2]:
        with pytest.raises(OutOfDeviceMemory, match="8 rollouts of 40 tokens ran out of memory on cpu") as caught:
            handle.result(120)
        assert "2.00 GiB" in str(caught.value)
        assert "Use fewer rollouts" in caught.value.advice
    assert batch.rows == 0
    assert batch.nbytes == 0


def test_vectors_that_cannot_be_prefilled_together_are_prefilled_apart(verbalizer, room):
    expected = unhindered(verbalizer, vectors(5), SAMPLING)
    refused = room(prefill=2)
    batch = VerbalizerBatch(verbalizer)
    ticket = batch.submit(vectors(5), SAMPLING)
    run(batch)
    assert ids(ticket) == expected
    assert min(refused) > 2


def test_a_vector_that_cannot_even_be_prefilled_alone_fails_its_own_ticket(verbalizer, monkeypatch):
    real = Verbalizer.prefill

    def scarce(self, rows):
        if float(rows[0, 0]) == 777.0:
            raise MemoryError("too much")
        return real(self, rows)

    monkeypatch.setattr(Verbalizer, "prefill", scarce)
    bad = vectors(1)
    bad[0, 0] = 777.0
    batch = VerbalizerBatch(verbalizer)
    fine = batch.submit(vectors(2), SAMPLING)
    batch.advance()
    broken = batch.submit(bad, SAMPLING)
    run(batch)
    assert fine.done
    fine.raise_if_failed()
    with pytest.raises(OutOfDeviceMemory, match=r"1 rollouts of 8 tokens ran out of memory on cpu.*too much"):
        broken.raise_if_failed()


def test_another_error_of_a_prefill_is_its_own_tickets_and_told_as_it_is(verbalizer, monkeypatch):
    def wrong(self, rows):
        raise ValueError("not a matter of memory")

    batch = VerbalizerBatch(verbalizer)
    fine = batch.submit(vectors(1), SAMPLING)
    batch.advance()
    monkeypatch.setattr(Verbalizer, "prefill", wrong)
    broken = batch.submit(vectors(2), SAMPLING)
    run(batch)
    assert fine.done
    with pytest.raises(ValueError, match="not a matter of memory"):
        broken.raise_if_failed()


def allocations(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> Iterator[int]:
    """The n-th buffer that is asked for from here on is refused when `fails(n)`."""
    real, count = torch.Tensor.new_zeros, iter(range(1, 10_000))

    def scarce(self, *shape, **options):
        if fails(next(count)):
            raise MemoryError("no room")
        return real(self, *shape, **options)

    monkeypatch.setattr(torch.Tensor, "new_zeros", scarce)
    return count


@pytest.mark.parametrize("refused", [{4, 8}, {13}])
def test_memory_that_ends_in_the_middle_of_the_layers_costs_nobody_a_word(verbalizer, monkeypatch, refused):
    sampling = Sampling(temperature=1.0, seed=5, max_new_tokens=34)  # longer than a buffer is made at first
    expected = unhindered(verbalizer, vectors(3), sampling)
    batch = VerbalizerBatch(verbalizer)
    first = batch.submit(vectors(3)[:1], sampling)
    batch.advance()
    allocations(monkeypatch, refused.__contains__)
    late = batch.submit(vectors(3)[1:], sampling, [1, 2])
    run(batch)
    assert ids(first) + ids(late) == expected


def test_memory_that_ends_while_a_token_is_drawn_is_no_token(verbalizer, monkeypatch):
    expected = unhindered(verbalizer, vectors(3), SAMPLING)
    real, calls = batching.draw, []

    def scarce(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*arguments)

    monkeypatch.setattr(batching, "draw", scarce)
    batch = VerbalizerBatch(verbalizer)
    ticket = batch.submit(vectors(3), SAMPLING)
    run(batch)
    assert ids(ticket) == expected


def test_rows_wait_for_memory_and_what_can_never_fit_is_refused_with_numbers(verbalizer):
    batch = VerbalizerBatch(verbalizer)
    sampling = Sampling(max_new_tokens=4, rollouts=2)
    per_row = verbalizer.bytes_per_token * (verbalizer.suffix_length + 4)
    assert verbalizer.bytes_per_token == 4 * 2 * 2 * 8 * 4  # layers, keys and values, kv heads, head_dim, fp32
    batch.admission.available_bytes = lambda: 2 * 5 * per_row
    ticket = batch.submit(vectors(7), sampling)
    batch.advance()
    assert batch.rows == 4
    assert batch.nbytes > 0
    batch.admission.available_bytes = lambda: 2 * per_row
    run(batch)
    assert ticket.done and batch.nbytes == 0
    small, large = batch.submit(vectors(1), Sampling(max_new_tokens=4)), batch.submit(vectors(1), sampling)
    batch.admission.available_bytes = lambda: 2 * per_row - 1
    run(batch)
    assert small.done
    with pytest.raises(OutOfDeviceMemory, match="2 rollouts of 4 tokens need") as caught:
        large.raise_if_failed()
    assert (caught.value.needed, caught.value.available) == (2 * per_row, 2 * per_row - 1)
