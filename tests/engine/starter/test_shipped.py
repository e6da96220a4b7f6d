"""What ships in `assets/starter` is what its model card says."""

import json
from pathlib import Path

import pytest

from loupe.engine.models.loading import load_model
from loupe.engine.nla.analysis import AnalysisJob, AnalysisRequest
from loupe.engine.nla.pair import load_pair
from loupe.engine.starter.explanations import names_in
from loupe.engine.task import run_here

STARTER = Path(__file__).parents[3] / "assets" / "starter"
TEXT = "Once upon a time there was a shy fox named Mia. Mia had a red kite, and Tom wanted the kite."


@pytest.fixture(scope="module")
def scores() -> dict:
    return json.loads((STARTER / "scores.json").read_text())


@pytest.fixture(scope="module")
def result():
    model = load_model(STARTER / "model", dtype="fp32")
    pair = load_pair(model, STARTER / "nla/av", STARTER / "nla/ar", dtype="fp32")
    request = AnalysisRequest(text=TEXT, temperature=0.0, max_new_tokens=120, positions=(-12, -6, -3, -1))
    return run_here(AnalysisJob(model, pair, request))


def test_everything_weighs_less_than_thirty_megabytes():
    assert sum(file.stat().st_size for file in STARTER.rglob("*") if file.is_file()) < 30_000_000


def test_the_language_model_names_the_right_one(scores: dict):
    for genre in ("story", "mini"):
        assert scores["binding"][genre]["name"] >= 0.95
        assert scores["binding"][genre]["name_competing"] >= 0.90
        assert scores["binding"][genre]["object"] >= 0.95


def test_the_verbalizer_is_not_blind(scores: dict):
    forced = scores["teacher_forced_loss"]
    assert forced["true"] < 0.6 * forced["shuffled"] and forced["true"] < 0.6 * forced["zero"]


def test_explanations_carry_the_activation(scores: dict):
    assert scores["greedy"]["fve_nrm"] >= 0.60
    assert scores["best_of_8"]["fve_nrm_second_reconstructor"] >= 0.72


def test_saes_keep_to_their_k_live_and_hold_the_concepts_of_the_world(scores: dict):
    cards, concepts = scores["saes"]["cards"], scores["saes"]["concepts"]["blocks.3.resid_post"]
    assert len(cards) == 7
    for card in cards.values():
        k = 32 if card["l0"] > 28 else 24
        assert abs(card["l0"] / k - 1) < 0.02 and card["dead_share"] < 0.05
    for concept in ("who", "object", "place", "feeling"):
        assert concepts[concept]["mean_f1"] > 0.8


def test_shuffled_activations_score_nothing(scores: dict):
    assert scores["greedy"]["fve_nrm_shuffled"] <= 0
    assert scores["reconstructor"]["first"]["fve_nrm_shuffled"] <= 0


def test_names_in_explanations_come_from_the_text(scores: dict):
    assert scores["greedy"]["names"]["in_text_so_far"] >= 0.8
    assert scores["best_of_8"]["names_in_text"] >= 0.8


def test_the_card_prints_the_scores(scores: dict):
    card = (STARTER / "README.md").read_text()
    for value in (
        scores["greedy"]["fve_nrm"],
        scores["best_of_8"]["fve_nrm_second_reconstructor"],
        scores["binding"]["story"]["name"],
        scores["language_model"]["nll"],
    ):
        assert f"{value:.3f}" in card


def test_an_analysis_of_a_new_text_reads_as_english_about_its_characters(result):
    assert all(position.explanation.count("\n") == 2 for position in result.positions)
    named = [name for position in result.positions for name in names_in(position.explanation)]
    assert named and sum(name in TEXT for name in named) / len(named) >= 0.8


def test_the_pair_recovers_most_of_an_activation(result):
    values = [position.fve_nrm for position in result.positions]
    assert sum(values) / len(values) > 0.2
