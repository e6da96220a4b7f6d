"""An analysis end to end on a tiny pair: its numbers by brute force, its stream, its neighbours and its end."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from loupe.engine.context import JobContext
from loupe.engine.device import DeviceThread
from loupe.engine.errors import BadInput, BadOption, BadPositions, EmptyText, LayerOutOfRange, TextTooLong
from loupe.engine.models.lens import TunedLens
from loupe.engine.models.loading import load_model, wrap_model
from loupe.engine.models.tokens import Vocabulary
from loupe.engine.nla.analysis import AnalysisJob, AnalysisRequest
from loupe.engine.nla.batching import VerbalizerBatch
from loupe.engine.nla.extraction import base_run_steps, extract
from loupe.engine.nla.metrics import Denominator, agreement, denominator_from, score
from loupe.engine.nla.pair import NLAPair
from loupe.engine.nla.replacement import kl_of_replacement
from loupe.engine.nla.results import AnalysisResult
from loupe.engine.nla.salience import Unit, without_each
from loupe.engine.task import run_here
from tests.engine.nla.tiny_pairs import GOLDEN, LAYER, tiny_model

TEXT = "The quick brown fox crossed the wide river at dawn."
SMALL = {"text": TEXT, "max_new_tokens": 10, "logit_lens_k": 3, "next_token_k": 2}


def job(loaded, batch: VerbalizerBatch | None = None, **options) -> AnalysisJob:
    model, pair = loaded
    return AnalysisJob(model, pair, AnalysisRequest(**{**SMALL, **options}), batch=batch)


def analyse(loaded, **options) -> AnalysisResult:
    return run_here(job(loaded, **options))


def assert_same(found: AnalysisResult, expected: AnalysisResult) -> None:
    """The same words, ids and flags; the same numbers up to rounding."""
    _assert_close([row.to_json() for row in found.positions], [row.to_json() for row in expected.positions])


def _assert_close(found, expected) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            _assert_close(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _assert_close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    else:
        assert found == expected


@pytest.fixture(scope="module")
def best_of_three(loaded) -> AnalysisResult:
    return analyse(loaded, best_of=3, salience="word", seed=3)


def test_every_position_of_the_text_is_explained_in_order(loaded, best_of_three):
    ids = loaded[0].tokenizer.encode(TEXT)
    assert [row.position for row in best_of_three.positions] == list(range(len(ids)))
    assert [row.token_id for row in best_of_three.positions] == ids
    assert "".join(row.token for row in best_of_three.positions[1:]) == TEXT


def test_the_best_rollout_is_the_argmin_and_all_are_kept(best_of_three):
    for row in best_of_three.positions:
        errors = [rollout.scores.mse_nrm for rollout in row.rollouts]
        assert len(errors) == 3
        assert row.best == errors.index(min(errors))
        assert row.mse_nrm == min(errors)
        assert row.explanation == row.rollouts[row.best].text


def test_scores_and_agreement_are_those_of_each_text_alone(loaded, best_of_three):
    model, pair = loaded
    activations = extract(model, [row.token_id for row in best_of_three.positions], LAYER)
    denominator = Denominator(**best_of_three.metadata["fve_denominator"])
    for row in best_of_three.positions[::4]:
        rebuilt = torch.cat([pair.reconstructor.reconstruct([rollout.text]) for rollout in row.rollouts])
        gold = activations[row.position].expand(3, -1)
        for found, rollout in zip(score(rebuilt, gold, denominator=denominator), row.rollouts, strict=True):
            assert rollout.scores.mse_nrm == pytest.approx(found.mse_nrm, abs=1e-5)
            assert rollout.scores.fve_nrm == pytest.approx(found.fve_nrm, abs=1e-4)
            assert rollout.scores.relative_rmse == pytest.approx(found.relative_rmse, abs=1e-5)
        assert row.agreement == pytest.approx(agreement(rebuilt), abs=1e-5)


def test_salience_is_leave_one_out_by_brute_force(loaded, best_of_three):
    model, pair = loaded
    activations = extract(model, [row.token_id for row in best_of_three.positions], LAYER)
    for row in best_of_three.positions[::4]:
        gold = activations[row.position][None]
        whole = pair.reconstructor.score([row.explanation], gold)[0].mse_nrm
        brute = [
            pair.reconstructor.score([text], gold)[0].mse_nrm - whole
            for text in without_each(row.explanation, Unit.WORD)
        ]
        assert row.salience is not None
        assert [unit.value for unit in row.salience] == pytest.approx(brute, abs=2e-5)
        assert [unit.unit for unit in row.salience] == row.explanation.split()


def test_kl_is_that_of_the_winning_reconstruction(loaded, best_of_three):
    model, pair = loaded
    ids = [row.token_id for row in best_of_three.positions]
    rebuilt = pair.reconstructor.reconstruct([row.explanation for row in best_of_three.positions])
    assert [row.kl for row in best_of_three.positions] == pytest.approx(
        kl_of_replacement(model, ids, LAYER, rebuilt), abs=1e-4
    )


def test_lenses_are_the_models_own_norm_head_and_probabilities(loaded, best_of_three):
    model, _ = loaded
    ids = torch.tensor([[row.token_id for row in best_of_three.positions]])
    with torch.no_grad():
        expected = model.logits(ids)[0].softmax(-1).topk(2)
        lens = model.unembed(extract(model, ids[0].tolist(), LAYER)).softmax(-1).topk(3)
    for row in best_of_three.positions:
        assert row.next_tokens is not None and row.logit_lens is not None
        assert [readout.token_id for readout in row.next_tokens] == expected.indices[row.position].tolist()
        assert [readout.probability for readout in row.next_tokens] == pytest.approx(
            expected.values[row.position].tolist(), abs=1e-5
        )
        assert [readout.token_id for readout in row.logit_lens] == lens.indices[row.position].tolist()
        assert row.tuned_lens is None


def test_a_tokenizer_is_asked_about_itself_once_however_many_positions_are_read_out(loaded, monkeypatch):
    real, asked = Vocabulary.of, []
    monkeypatch.setattr(Vocabulary, "of", lambda tokenizer: asked.append(1) or real(tokenizer))
    counts = []
    for positions in ((5,), (2, 3, 4, 5, 6)):
        asked.clear()
        analyse(loaded, positions=positions, max_new_tokens=2, kl=False, salience="none")
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_the_denominator_of_a_pair_without_one_is_this_text(loaded, best_of_three):
    model, pair = loaded
    activations = extract(model, [row.token_id for row in best_of_three.positions], LAYER)
    reliable = [row.position for row in best_of_three.positions if not row.flags]
    expected = denominator_from(activations[reliable], pair.reconstructor.mse_scale)
    found = best_of_three.metadata["fve_denominator"]
    assert found["source"] == f"this text, {len(reliable)} positions"
    assert expected is not None and found["value"] == pytest.approx(expected.value)


def test_flags_mark_the_first_tokens_and_the_special_ones(best_of_three):
    assert best_of_three.positions[0].flags[:3] == ("first_token", "early", "special")
    assert best_of_three.positions[9].flags == ("early",)
    assert best_of_three.positions[-1].flags == ()


def test_one_rollout_has_no_agreement_and_greedy_needs_no_seed(loaded):
    first, second = (analyse(loaded, temperature=0, seed=seed, kl=False, salience="none") for seed in (1, 2))
    assert all(row.agreement is None for row in first.positions)
    assert_same(first, second)


def test_what_was_not_asked_for_is_absent_from_json_and_nothing_is_nan(loaded):
    result = analyse(loaded, kl=False, salience="none", logit_lens_k=0, next_token_k=0, positions=(3,))
    (row,) = result.to_json()["data"]
    assert not {"kl", "salience", "logit_lens", "next_tokens", "tuned_lens", "agreement", "fve_nrm"} & set(row)
    assert "fve_denominator" not in result.to_json()["metadata"]
    text = json.dumps(result.to_json(), allow_nan=False)
    assert "null" not in text
    assert row["rollouts"][0]["scores"]["cosine"] == row["cosine"]


def test_json_and_table_hold_the_same_rows(best_of_three):
    data = json.loads(json.dumps(best_of_three.to_json(), allow_nan=False))["data"]
    table = best_of_three.to_dataframe()
    assert list(table["explanation"]) == [row["explanation"] for row in data]
    assert list(table.columns[:5]) == ["position", "token", "token_id", "flags", "explanation"]
    assert table["kl"].notna().all()
    assert data[-1]["salience"][0].keys() == {"unit", "value"}
    assert data[-1]["logit_lens"][0].keys() == {"token", "token_id", "probability"}


def test_the_metadata_repeats_the_analysis(loaded, best_of_three):
    request = dict(best_of_three.metadata["request"])
    again = run_here(AnalysisJob(*loaded, AnalysisRequest(**request)))
    assert_same(again, best_of_three)
    assert set(best_of_three.metadata["fingerprints"]) == {
        *("model", "verbalizer", "reconstructor", "reconstructor_head", "verbalizer_sidecar", "reconstructor_sidecar")
    }
    assert [token["token_id"] for token in best_of_three.metadata["tokens"]] == list(request["token_ids"])


def test_results_stream_position_by_position(loaded):
    seen = []
    result = None
    steps = job(loaded, best_of=2).run(JobContext())
    while True:
        try:
            event = next(steps)
        except StopIteration as finished:
            result = finished.value
            break
        if event.item is not None:
            seen.append(event.item)
            assert event.done == len(seen)
            assert event.total == len(result.positions if result else loaded[0].tokenizer.encode(TEXT))
    assert sorted(row.position for row in seen) == [row.position for row in result.positions]


def test_between_two_yields_at_most_one_decode_step_happens(loaded):
    batch = VerbalizerBatch(loaded[1].verbalizer)
    before = 0
    for _ in job(loaded, batch).run(JobContext()):
        assert batch.decode_steps - before <= 1
        before = batch.decode_steps


def test_a_cancelled_job_leaves_the_batch_at_once(loaded):
    batch = VerbalizerBatch(loaded[1].verbalizer)
    steps = job(loaded, batch, max_new_tokens=200).run(JobContext())
    while batch.decode_steps < 3:
        next(steps)
    assert batch.rows > 0
    steps.close()
    assert batch.rows == 0
    assert batch.advance() is False


def test_two_jobs_in_one_batch_find_what_each_finds_alone(loaded):
    alone = [analyse(loaded, seed=1), analyse(loaded, seed=2, best_of=2, text="A fox and the boats of the river.")]
    batch = VerbalizerBatch(loaded[1].verbalizer)
    jobs = [
        job(loaded, batch, seed=1).run(JobContext()),
        job(loaded, batch, seed=2, best_of=2, text="A fox and the boats of the river.").run(JobContext()),
    ]
    results: list[AnalysisResult | None] = [None, None]
    together = 0
    while any(result is None for result in results):
        for index, steps in enumerate(jobs):
            if results[index] is None:
                try:
                    next(steps)
                except StopIteration as finished:
                    results[index] = finished.value
        together = max(together, batch.rows)
    assert together > len(alone[0].positions)
    for found, expected in zip(results, alone, strict=True):
        assert found is not None
        assert_same(found, expected)


def test_the_device_thread_gives_what_driving_by_hand_gives(loaded, device_thread: DeviceThread):
    items = []
    handle = device_thread.submit(job(loaded, seed=4), on_event=lambda event: items.append(event.item))
    other = device_thread.submit(job(loaded, seed=5))
    result = handle.future.result(timeout=120)
    other.future.result(timeout=120)
    assert_same(result, analyse(loaded, seed=4))
    assert sum(item is not None for item in items) == len(result.positions)


def test_chosen_positions_are_the_same_as_among_all(loaded, best_of_three):
    some = analyse(loaded, best_of=3, salience="word", seed=3, positions=(-1, 4, 4))
    last = len(best_of_three.positions) - 1
    assert [row.position for row in some.positions] == [4, last]
    for row in some.positions:
        whole = best_of_three.positions[row.position]
        assert row.explanation == whole.explanation
        assert row.mse_nrm == pytest.approx(whole.mse_nrm, abs=1e-5)
        assert row.kl == pytest.approx(whole.kl, abs=1e-5)


def test_one_token_is_enough_and_leaves_fve_absent(loaded):
    result = analyse(loaded, text=None, token_ids=(280,))
    assert len(result.positions) == 1
    assert result.positions[0].fve_nrm is None
    assert result.positions[0].cosine is not None


def test_tokens_that_are_parts_of_a_character_are_explained_like_any_other(loaded):
    ids = tuple(loaded[0].tokenizer.encode("a 狐", add_special_tokens=False))
    for token_ids in (ids, ids[:-1]):  # whole, and broken off inside the character
        result = analyse(loaded, text=None, token_ids=token_ids, kl=False, salience="none")
        assert [row.token_id for row in result.positions] == list(token_ids)
        assert any(row.token.startswith("<0x") for row in result.positions)
        assert json.loads(json.dumps(result.to_json(), ensure_ascii=False).encode()) == result.to_json()


def test_a_chat_marks_its_template(loaded):
    messages = ({"role": "user", "content": "the quick fox"},)
    result = analyse(loaded, text=None, messages=messages, salience="none", kl=False)
    unmarked = [row.token for row in result.positions if "template" not in row.flags]
    assert "".join(unmarked).strip() == "the quick fox"


def test_a_donor_is_read_through_the_same_pair(loaded):
    model, pair = loaded
    donor = wrap_model(tiny_model("llama", 77), model.tokenizer)
    result = run_here(AnalysisJob(donor, pair, AnalysisRequest(**SMALL)))
    ids = [row.token_id for row in result.positions]
    assert result.positions[5].norm == pytest.approx(extract(donor, ids, LAYER)[5].norm().item(), rel=1e-5)
    assert result.metadata["fingerprints"]["model"] != model.fingerprint


def test_a_tuned_lens_adds_its_column(loaded, tmp_path):
    model, pair = loaded
    save_file(
        {f"blocks.{LAYER}.weight": torch.eye(32), f"blocks.{LAYER}.bias": torch.ones(32)},
        tmp_path / "tuned_lens.safetensors",
    )
    lens = TunedLens.load(tmp_path)
    result = run_here(AnalysisJob(model, pair, AnalysisRequest(**SMALL, positions=(5,)), lens=lens))
    activation = extract(model, [t["token_id"] for t in result.metadata["tokens"]], LAYER)[5]
    with torch.no_grad():
        expected = model.unembed(2 * activation + 1).argmax().item()
    assert result.positions[0].tuned_lens is not None
    assert result.positions[0].tuned_lens[0].token_id == expected


def test_a_pairs_own_denominator_wins_over_the_given_one(loaded):
    model, pair = loaded
    with_own = NLAPair(pair.verbalizer, pair.reconstructor, pair.layer, Denominator(0.5, "sidecar"))
    request = AnalysisRequest(**SMALL, positions=(5,), fve_denominator=0.25)
    (row,) = run_here(AnalysisJob(model, with_own, request)).positions
    assert row.fve_nrm == pytest.approx(1 - row.mse_nrm / 0.5)
    (row,) = run_here(AnalysisJob(model, pair, request)).positions
    assert row.fve_nrm == pytest.approx(1 - row.mse_nrm / 0.25)


def test_warnings_name_outputs_without_tags(loaded, best_of_three):
    codes = [warning["code"] for warning in best_of_three.metadata["warnings"]]
    assert "no_closing_tag" in codes
    assert all(not rollout.parsed for row in best_of_three.positions for rollout in row.rollouts)


def test_a_long_text_in_small_pieces_is_the_same_base_run(loaded):
    model, _ = loaded
    ids = model.tokenizer.encode(TEXT * 4)
    steps = base_run_steps(model, ids, [LAYER, 0], keep_context=True, piece_tokens=lambda: 7)
    sizes = []
    while True:
        try:
            sizes.append(next(steps))
        except StopIteration as finished:
            base = finished.value
            break
    assert sizes[-1] == len(ids) and len(sizes) == math.ceil(len(ids) / 7)
    for layer in (LAYER, 0):
        torch.testing.assert_close(base.activations[layer], extract(model, ids, layer), atol=1e-5, rtol=1e-4)
    assert base.context is not None and len(base.context) == len(ids)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"text": ""}, EmptyText, "empty"),
        ({"text": None, "token_ids": ()}, EmptyText, "empty"),
        ({"text": "half \ud800 a pair"}, BadInput, "surrogate"),
        ({"text": None}, BadInput, "exactly one"),
        ({"token_ids": (1,)}, BadInput, "exactly one"),
        ({"text": "the fox " * 300}, TextTooLong, "at most 512"),
        ({"text": None, "token_ids": (1,) * 100_000}, TextTooLong, "100000"),
        ({"text": None, "token_ids": (5, 391)}, BadPositions, "0 to 390"),
        ({"positions": (99,)}, BadPositions, "99"),
        ({"positions": ()}, EmptyText, "No position"),
        ({"layer": 9}, LayerOutOfRange, "0 to 3"),
        ({"layer": 1}, BadOption, "reads layer 2"),
        ({"best_of": 0}, BadOption, "rollouts"),
        ({"temperature": -1.0}, BadOption, "temperature"),
        ({"salience": "letter"}, BadOption, "salience"),
        ({"logit_lens_k": 1000}, BadOption, "logit_lens_k"),
        ({"fve_denominator": 0.0}, BadOption, "fve_denominator"),
    ],
)
def test_what_makes_no_sense_is_refused_before_it_is_queued(loaded, options, error, match):
    with pytest.raises(error, match=match):
        job(loaded, **options)


def test_a_model_of_another_width_is_refused(loaded):
    from loupe.engine.errors import WidthMismatch

    with pytest.raises(WidthMismatch, match="'model': 48"):
        AnalysisJob(load_model(GOLDEN / "base"), loaded[1], AnalysisRequest(**SMALL))
