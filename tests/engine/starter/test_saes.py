"""The starter's SAE stage at a hundredth of its size: what it leaves can be read, was judged as read, and goes on."""

import json
import shutil
from pathlib import Path

import pytest

from loupe.engine.models.hooks import HookPoint, Site
from loupe.engine.models.loading import load_model
from loupe.engine.sae.formats.saelens import read_saelens
from loupe.engine.starter.saes.activations import activations_of, documents
from loupe.engine.starter.saes.card import card_section
from loupe.engine.starter.saes.recipe import SAERecipe
from loupe.engine.starter.saes.score import score_saes
from loupe.engine.starter.saes.stage import saes
from loupe.engine.starter.stages import Workshop

MODEL = Path(__file__).parents[3] / "assets/starter/model"
RECIPE = SAERecipe(
    layers=(3,), d_sae=64, k=8, d_transcoder=48, k_transcoder=8, documents=60, tokens=49_152, batch_rows=256,
    judged_documents=2, census_documents=20, settling_documents=40, lr=8e-3,
)  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Workshop, list]:
    workshop = Workshop(tmp_path_factory.mktemp("workshop"))
    shutil.copytree(MODEL, workshop.result("language_model"))
    steps = saes(workshop, RECIPE)
    seen = [next(steps)]
    steps.close()  # killed after the first point of the curves: the next call does the rest
    seen += saes(workshop, RECIPE)
    return workshop, seen


@pytest.fixture(scope="module")
def scores(built) -> dict:
    workshop, _ = built
    lm = load_model(workshop.result("language_model"), dtype="fp32")
    return score_saes(lm, workshop.result("saes"), documents=2, concept_documents=120)


def test_every_mlp_has_a_transcoder_and_the_stream_its_sae(built):
    workshop, seen = built
    folder = workshop.result("saes")
    places = sorted(path.name for path in folder.iterdir())
    assert places == sorted([*(f"blocks.{layer}.mlp_out" for layer in range(5)), "blocks.3.resid_post"])
    assert (seen[-1].done, seen[-1].total) == (192, 192)
    loaded = read_saelens(folder / "blocks.2.mlp_out")
    assert loaded.hook_point == HookPoint(2, Site.MLP_IN)
    assert loaded.hook_point_out == HookPoint(2, Site.MLP_OUT)
    assert read_saelens(folder / "blocks.3.resid_post").hook_point == HookPoint(3)


def test_what_was_written_fires_k_latents_per_token_of_the_documents_it_was_settled_on(built):
    workshop, _ = built
    lm = load_model(workshop.result("language_model"), dtype="fp32")
    read = [read_saelens(place) for place in sorted(workshop.result("saes").iterdir())]
    fired, tokens = [0] * len(read), 0
    for found in activations_of(lm, [each.hook_points[0] for each in read], documents(lm, RECIPE.settling)):
        for index, each in enumerate(read):
            fired[index] += int((each.sae.encode(found[each.hook_points[0]]) != 0).sum())
        tokens += len(found[read[0].hook_points[0]])
    assert [count / tokens for count in fired] == pytest.approx([each.sae.config.k for each in read], rel=1e-3)
    assert set(RECIPE.settling).isdisjoint(RECIPE.census)


def test_scores_are_those_of_the_cards(built, scores):
    card = json.loads((built[0].result("saes") / "blocks.3.resid_post/evals.json").read_text())
    scored = json.loads(json.dumps(scores))["cards"]["blocks.3.resid_post"]
    assert {name: scored[name] for name in card} == card
    assert len(scores["cards"]) == 6
    assert card["explained_variance"] > 0
    assert scored["tokens_trained"] == 192 * 256
    assert card["ce_clean"] < scored["ce_mean"]


def test_single_features_are_compared_with_random_directions_and_a_linear_probe(scores):
    table = scores["concepts"]["blocks.3.resid_post"]
    assert set(table) == {"who", "object", "place", "feeling"}
    who = table["who"]
    assert who["mean_f1_random"] < who["mean_f1_linear"]
    assert all(set(each) >= {"concept", "features", "f1", "chance"} for each in who["each"])


def test_the_section_of_the_model_card_says_the_scores(scores):
    section = card_section(scores)
    assert f"{scores['cards']['blocks.3.resid_post']['explained_variance']:.3f}" in section
    assert "| `blocks.3.resid_post` | place |" in section
