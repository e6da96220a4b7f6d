"""Rows join, decode, leave and are withdrawn; what a row says never depends on who is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from loupe.engine.errors import BadInput, BadOption, WidthMismatch
from loupe.engine.nla import batching
from loupe.engine.nla.batching import VerbalizerBatch
from loupe.engine.nla.sampling import Draw
from loupe.engine.nla.verbalizer import Sampling, parse_explanation
from tests.engine.nla.tiny_pairs import write_pair


@pytest.fixture
def verbalizer(loaded):
    return loaded[1].verbalizer


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))


def run(batch: VerbalizerBatch) -> None:
    while batch.advance():
        pass


def ids(ticket, index: int = 0) -> list[tuple[int, ...]]:
    return [rollout.ids for rollout in ticket.rollouts(index)]


def script(monkeypatch: pytest.MonkeyPatch, next_token: Callable[[int], int]) -> None:
    """Let the step-th draw of a batch be `next_token(step)` for all rows."""
    steps = iter(range(10_000))

    def scripted(logits, *rest):
        token = next_token(next(steps))
        return Draw(torch.full((len(logits),), token), torch.zeros(len(logits), dtype=torch.bool))

    monkeypatch.setattr(batching, "draw", scripted)


def test_a_rollout_is_the_same_alone_among_31_others_and_beside_another_users_job(verbalizer):
    sampling = Sampling(temperature=1.0, seed=5, max_new_tokens=12)
    many = vectors(32)
    alone = VerbalizerBatch(verbalizer)
    single = alone.submit(many[7:8], sampling, [7])
    run(alone)
    crowd = VerbalizerBatch(verbalizer)
    together = crowd.submit(many, sampling)
    run(crowd)
    shared = VerbalizerBatch(verbalizer)
    first = shared.submit(many[:8], sampling)
    for _ in range(5):
        shared.advance()
    other = shared.submit(vectors(5, seed=9), Sampling(temperature=0.7, seed=1, max_new_tokens=30, rollouts=2))
    run(shared)
    expected = single.rollouts(0)[0]
    assert not expected.ties, "this seed proves nothing: rounding decides a token"
    assert ids(together, 7) == ids(first, 7) == [expected.ids]
    assert len(ids(other)) == 2


def test_every_sampled_rollout_of_a_crowd_equals_the_one_alone_unless_rounding_decides(verbalizer):
    sampling = Sampling(temperature=1.0, seed=11, rollouts=2, max_new_tokens=8)
    many = vectors(16, seed=3)
    crowd = VerbalizerBatch(verbalizer)
    together = crowd.submit(many, sampling)
    run(crowd)
    for index in range(16):
        alone = verbalizer.verbalize(many[index : index + 1], sampling, position_keys=[index])[0]
        for mine, other in zip(alone, together.rollouts(index), strict=True):
            assert mine.ids == other.ids or mine.ties or other.ties


def test_rollouts_differ_by_number_seed_and_position(verbalizer):
    same = vectors(1).expand(2, -1)
    first, second = verbalizer.verbalize(same, Sampling(rollouts=2, max_new_tokens=8))
    reseeded = verbalizer.verbalize(same[:1], Sampling(rollouts=2, seed=1, max_new_tokens=8))[0]
    assert len({rollout.ids for rollout in (*first, *second, *reseeded)}) == 6


def test_the_limit_of_rows_changes_nothing_but_the_order_of_work(verbalizer):
    sampling = Sampling(rollouts=3, max_new_tokens=40)
    wide = verbalizer.verbalize(vectors(6), sampling)
    narrow = verbalizer.verbalize(vectors(6), sampling, max_rows=4)
    assert [[r.ids for r in rows] for rows in wide] == [[r.ids for r in rows] for rows in narrow]


def test_more_rollouts_than_rows_still_run(verbalizer):
    (rows,) = verbalizer.verbalize(vectors(1), Sampling(rollouts=5, max_new_tokens=3), max_rows=2)
    assert len(rows) == 5


def test_a_row_that_joins_late_shares_the_decode_steps_of_the_others(verbalizer):
    batch = VerbalizerBatch(verbalizer)
    early = batch.submit(vectors(1), Sampling(max_new_tokens=20, seed=4))
    for _ in range(6):
        batch.advance()
    late = batch.submit(vectors(1, seed=1), Sampling(max_new_tokens=4, seed=4))
    while not late.done:
        batch.advance()
    assert not early.done
    assert late.take_finished() == [0]
    run(batch)
    assert batch.decode_steps == 19


def test_a_small_request_does_not_wait_for_a_large_one(verbalizer):
    batch = VerbalizerBatch(verbalizer, max_rows=4)
    large = batch.submit(vectors(12), Sampling(max_new_tokens=6))
    batch.advance()
    small = batch.submit(vectors(1, seed=1), Sampling(max_new_tokens=2))
    while not small.done:
        batch.advance()
    assert not large.done
    assert len(large.waiting) >= 4


def test_withdrawn_rows_leave_at_once_and_disturb_nobody(verbalizer):
    sampling = Sampling(max_new_tokens=10, seed=2)
    expected = verbalizer.verbalize(vectors(3), sampling)
    batch = VerbalizerBatch(verbalizer)
    doomed = batch.submit(vectors(5, seed=1), Sampling(max_new_tokens=50))
    kept = batch.submit(vectors(3), sampling)
    for _ in range(4):
        batch.advance()
    doomed.close()
    assert batch.rows == 3
    doomed.close()
    run(batch)
    assert [ids(kept, index) for index in range(3)] == [[row[0].ids] for row in expected]
    assert not doomed.done


def test_an_idle_batch_has_nothing_to_do_and_holds_no_buffers(verbalizer):
    batch = VerbalizerBatch(verbalizer)
    batch.submit(vectors(2), Sampling(max_new_tokens=3))
    run(batch)
    assert batch.advance() is False
    assert batch.rows == 0
    assert batch._cache._buffers == []


def test_the_first_rollout_of_a_vector_is_reported_when_all_of_it_is_done(verbalizer):
    batch = VerbalizerBatch(verbalizer)
    ticket = batch.submit(vectors(2), Sampling(rollouts=2, max_new_tokens=3))
    seen = []
    while batch.advance():
        seen += ticket.take_finished()
    assert sorted(seen) == [0, 1]
    assert ticket.take_finished() == []


def test_an_end_token_ends_a_rollout_and_is_not_part_of_its_text(verbalizer, monkeypatch):
    script(monkeypatch, lambda step: 40 if step < 2 else 2)
    ((rollout,),) = verbalizer.verbalize(vectors(1), Sampling(max_new_tokens=9))
    assert rollout.ended == "end"
    assert rollout.ids == (40, 40, 2)
    assert rollout.text == verbalizer.tokenizer.decode([40, 40])


def test_a_closing_tag_ends_a_rollout(verbalizer, monkeypatch):
    told = verbalizer.tokenizer.encode("<explanation>\nA fox.\n</explanation> and more", add_special_tokens=False)
    script(monkeypatch, lambda step: told[step])
    ((rollout,),) = verbalizer.verbalize(vectors(1), Sampling(max_new_tokens=100))
    assert rollout.ended == "closed"
    assert rollout.text.endswith("</explanation>")
    assert parse_explanation(rollout.text) == "A fox."


def test_a_cut_off_rollout_says_so(verbalizer, monkeypatch):
    script(monkeypatch, lambda step: 40)
    ((rollout,),) = verbalizer.verbalize(vectors(1), Sampling(max_new_tokens=3))
    assert (rollout.ended, len(rollout.ids)) == ("length", 3)


def test_one_token_is_enough(verbalizer):
    ((rollout,),) = verbalizer.verbalize(vectors(1), Sampling(max_new_tokens=1))
    assert len(rollout.ids) == 1


def test_bad_vectors_are_refused_before_anything_runs(verbalizer):
    batch = VerbalizerBatch(verbalizer)
    with pytest.raises(WidthMismatch, match="d_model 32"):
        batch.submit(torch.zeros(1, 31), Sampling())
    with pytest.raises(BadInput, match="NaN"):
        batch.submit(torch.full((1, 32), torch.nan), Sampling())
    with pytest.raises(BadOption, match="2 position keys"):
        batch.submit(torch.zeros(1, 32), Sampling(), [1, 2])
    with pytest.raises(BadOption, match="max_rows"):
        VerbalizerBatch(verbalizer, max_rows=0)


def test_the_number_of_rows_follows_the_step_budget(verbalizer):
    """Each decode step is given a duration by the clock: 1 ms per row."""
    batch = VerbalizerBatch(verbalizer, max_rows=64, step_budget_s=0.02, clock=lambda: now[0])
    now = [0.0]
    decode = batch._decode

    def timed():
        now[0] += 0.001 * batch.rows
        return decode()

    batch._decode = timed  # type: ignore[method-assign]
    batch.submit(vectors(64), Sampling(max_new_tokens=12, temperature=0))
    most = 0
    while batch.advance():
        most = max(most, batch.rows)
    assert 10 <= most <= 32


def test_the_beginning_is_computed_once_and_again_after_a_weight_changed(tmp_path):
    _, pair = write_pair(tmp_path, "llama").load()
    verbalizer = pair.verbalizer
    greedy = Sampling(temperature=0, max_new_tokens=6)
    before = verbalizer.verbalize(vectors(2), greedy)
    kept = verbalizer.beginning()
    assert verbalizer.beginning() is kept
    with torch.no_grad():
        for weight in verbalizer.lm.model.parameters():
            weight.mul_(1.5)
    assert verbalizer.beginning() is not kept
    after = verbalizer.verbalize(vectors(2), greedy)
    assert [row[0].ids for row in before] != [row[0].ids for row in after]


def test_the_attention_setting_of_the_model_is_as_before(verbalizer):
    usual = verbalizer.lm.config._attn_implementation
    verbalizer.verbalize(vectors(1), Sampling(max_new_tokens=2))
    assert verbalizer.lm.config._attn_implementation == usual


def test_jobs_of_one_verbalizer_share_one_batch(verbalizer):
    assert verbalizer.batch is verbalizer.batch
