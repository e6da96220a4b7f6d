"""The starter's SAE stage at a hundredth of its size: what it leaves can be read, was judged as read, and goes on."""

import json
import shutil
from pathlib import Path

import pytest

from loupe.engine.models.hooks import HookPoint, Site
from loupe.engine.sae.formats.saelens import read_saelens
from loupe.engine.starter.sae_stages import SAERecipe, card_section, saes
from loupe.engine.starter.stages import Workshop

MODEL = Path(__file__).parents[3] / "assets/starter/model"
RECIPE = SAERecipe(
    layers=(3,), d_sae=64, k=8, d_transcoder=48, k_transcoder=8, documents=60, tokens=49_152, batch_rows=256,
    judged_documents=2, probed_documents=120, lr=8e-3,
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


def test_every_mlp_has_a_transcoder_and_the_stream_its_sae(built):
    workshop, seen = built
    folder = workshop.result("saes")
    places = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert places == sorted([*(f"blocks.{layer}.mlp_out" for layer in range(5)), "blocks.3.resid_post"])
    assert (seen[-1].done, seen[-1].total) == (192, 192)
    loaded = read_saelens(folder / "blocks.2.mlp_out")
    assert loaded.hook_point == HookPoint(2, Site.MLP_IN)
    assert loaded.hook_point_out == HookPoint(2, Site.MLP_OUT)
    assert read_saelens(folder / "blocks.3.resid_post").hook_point == HookPoint(3)


def test_scores_are_those_of_the_cards_and_the_section_says_them(built):
    folder = built[0].result("saes")
    scores = json.loads((folder / "scores.json").read_text())
    card = json.loads((folder / "blocks.3.resid_post/evals.json").read_text())
    assert scores["cards"]["blocks.3.resid_post"] == card
    assert len(scores["cards"]) == 6
    assert card["explained_variance"] > 0
    assert set(scores["concepts"]) == {"blocks.3.resid_post"}
    assert set(scores["concepts"]["blocks.3.resid_post"]) == {"who", "object", "place", "feeling"}
    section = card_section(scores)
    assert f"{card['explained_variance']:.3f}" in section
    assert "| blocks.3.resid_post | place |" in section
