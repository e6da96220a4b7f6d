"""Templates: recipes that ship and recipes of one's own, over the API; every one that ships can be trained."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from loupe.app.services.recipes import BUILT_IN, BuiltIn
from loupe.engine.models.loading import load_model
from loupe.engine.starter.saes.recipe import SAERecipe, training_plan

RECIPE = {"saes": [{"d_sae": 64, "options": {"k": 4}}], "training": {"steps": 20}, "drop_first": 2}


async def kept(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/templates", json={"recipe": RECIPE, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]


async def names(api: httpx.AsyncClient, **query: Any) -> list[str]:
    return [each["name"] for each in (await api.get("/api/v1/templates", params=query)).json()["data"]]


@pytest.mark.parametrize("each", BUILT_IN, ids=lambda each: each.id)
def test_a_recipe_that_ships_makes_a_plan_for_a_model_of_five_blocks(each: BuiltIn) -> None:
    plan = each.recipe.plan(64, 5)
    assert len(plan.runs) == len(each.recipe.saes)


def test_the_starters_recipe_is_the_one_its_saes_are_made_by() -> None:
    lm = load_model(Path(__file__).parents[2] / "assets/starter/model")
    built = training_plan(SAERecipe(), lm)
    told = next(each for each in BUILT_IN if each.id == "starter").recipe
    plan = told.plan(lm.d_model, lm.n_layers)
    assert plan.training == built.training and told.buffer_rows == SAERecipe().buffer_rows
    assert [(run.sae, run.reads, run.writes) for run in plan.runs] == [
        (run.sae, run.reads, run.writes) for run in built.runs
    ]


async def test_a_template_is_kept_named_liked_and_deleted_with_a_way_back(api: httpx.AsyncClient) -> None:
    made = await kept(api)
    assert made["name"] == "batchtopk 64" and made["recipe"]["drop_first"] == 2
    changed = await api.patch(f"/api/v1/templates/{made['id']}", json={"name": "Mine", "about": "A trial."})
    assert (changed.json()["data"]["name"], changed.json()["data"]["about"]) == ("Mine", "A trial.")
    assert (await names(api))[0] == "Mine"
    await api.patch("/api/v1/templates/starter", json={"favourite": True})
    assert (await names(api))[:2] == ["The starter's SAEs", "Mine"]
    await api.patch("/api/v1/templates/starter", json={"favourite": False})
    await api.delete(f"/api/v1/templates/{made['id']}")
    assert "Mine" not in await names(api) and await names(api, deleted=True) == ["Mine"]
    await api.post(f"/api/v1/templates/{made['id']}/restore")
    assert (await names(api))[0] == "Mine"


async def test_an_exported_template_is_imported_equal(api: httpx.AsyncClient) -> None:
    made = await kept(api, name="Fuchs & Eule 日本", about="x")
    file = await api.get(f"/api/v1/templates/{made['id']}/export")
    assert 'filename="Fuchs---Eule' in file.headers["content-disposition"]
    again = (await api.post("/api/v1/templates", json=json.loads(file.text))).json()["data"]
    assert again["id"] != made["id"]
    assert {k: again[k] for k in ("name", "about", "recipe")} == {k: made[k] for k in ("name", "about", "recipe")}


@pytest.mark.parametrize(
    ("recipe", "code"),
    [
        ({"saes": [{"d_sae": 4, "options": {"k": 9}}]}, "bad_option"),
        ({"training": {"lr": 5}}, "bad_option"),
        ({"saes": []}, "invalid_request"),
        ({"tokenisation": "x"}, "invalid_request"),
    ],
)
async def test_a_recipe_that_nothing_could_be_trained_by_is_refused(
    api: httpx.AsyncClient, recipe: dict[str, Any], code: str
) -> None:
    before = await names(api)
    answer = await api.post("/api/v1/templates", json={"name": "no", "recipe": recipe})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert await names(api) == before


async def test_one_that_ships_stays_as_it_is(api: httpx.AsyncClient) -> None:
    assert (await api.patch("/api/v1/templates/first-look", json={"name": "x"})).status_code == 409
    assert (await api.delete("/api/v1/templates/first-look")).status_code == 409
    assert (await api.get("/api/v1/templates/nobody")).status_code == 404
