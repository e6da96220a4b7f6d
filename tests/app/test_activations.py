"""Activations on disk over the API: written, listed, trained on, gone on with after a restart, refused, deleted."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from nicegui.testing.user_simulation import user_simulation
from safetensors.torch import load_file

from loupe.app.pages.activations_panel import ActivationsPanel, caches_html
from loupe.app.pages.training_form import TrainingForm
from loupe.app.services.activation_cache import Cache
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from loupe.engine.errors import Cancelled, DatasetTooLarge
from loupe.engine.sae.cache import CachedRows, WriteCache
from tests.app.test_trainings import SMALL, client, finished, token_rows

POINT = "blocks.1.resid_post"
ON_CACHE = {name: value for name, value in SMALL.items() if name != "held_out"}
ENDLESS = {**ON_CACHE, "training": {**SMALL["training"], "steps": 100_000}}


async def cached(api: httpx.AsyncClient, workspace: Workspace, tokens: str, **more: Any) -> dict[str, Any]:
    asked = {"tokenisation": tokens, "points": [POINT], "dtype": "fp32", "shard_rows": 128, "held_out": 0.2, **more}
    await finished(api, workspace, "/api/v1/activations", asked)
    return (await api.get("/api/v1/activations")).json()["data"][0]


async def test_a_cache_is_written_listed_with_its_facts_and_deleted(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = await token_rows(api, workspace)
    cache = await cached(api, workspace, rows, points=[POINT, "blocks.0.mlp_out"], rows=200)
    assert (cache["model"], cache["tokenisation"], cache["dtype"]) == ("starter", rows, "fp32")
    assert (cache["rows"], cache["complete"], cache["points"]) == (200, True, [POINT, "blocks.0.mlp_out"])
    assert cache["statistics"][POINT]["rows"] == 200 and cache["statistics"][POINT]["mean_norm"] > 0
    assert cache["source"]["held_out"] == 0.2 and cache["name"] == f"starter at {POINT} and 1 more"
    assert cache["size"] >= 200 * 2 * cache["d_in"] * 4
    assert (await api.get(f"/api/v1/activations/{cache['id']}")).json()["data"] == cache
    dataset = (await workspace.store.datasets.tokenisation(rows)).dataset_id
    for path in (f"/api/v1/datasets/{dataset}/tokenisations/{rows}", f"/api/v1/datasets/{dataset}"):
        refused = await api.delete(path)
        assert refused.status_code == 409 and cache["name"] in refused.json()["error"]["message"]
    assert (await api.delete(f"/api/v1/activations/{cache['id']}")).status_code == 200
    assert (await api.get("/api/v1/activations")).json()["data"] == []
    assert cache["id"] not in workspace.store.artefacts.ids()
    assert not [*workspace.store.data_dir.activations.iterdir()]


async def test_the_size_cap_ends_a_cache(api: httpx.AsyncClient, workspace: Workspace) -> None:
    width = workspace.catalogue.get("starter").d_model or 0
    rows = await token_rows(api, workspace)
    cache = await cached(api, workspace, rows, max_gb=100 * width * 2 / 1e9, dtype="fp16")
    assert cache["rows"] == 100


async def test_a_training_from_a_cache_holds_out_the_rows_that_the_cache_left_out_and_can_be_weighed(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = await token_rows(api, workspace)
    cache = await cached(api, workspace, rows)
    fit = await api.post("/api/v1/trainings/fit", json={"activations": cache["id"], **ON_CACHE})
    assert fit.status_code == 200, fit.text
    assert fit.json()["data"]["tokens"] == cache["rows"] and fit.json()["data"]["seconds"] > 0
    job = await finished(api, workspace, "/api/v1/trainings", {"activations": cache["id"], **ON_CACHE})
    done = (await api.get(f"/api/v1/trainings/{job['id']}")).json()["data"]
    assert done["request"]["tokenisation"] == rows and done["request"]["held_out"] == 0.2
    live = await finished(api, workspace, "/api/v1/trainings", {"tokenisation": rows, **SMALL})
    cards = [(await workspace.store.saes.get(id)).card for id in (done["saes"][0], await _sae(api, live["id"]))]
    assert cards[0] is not None and cards[1] is not None
    assert cards[0]["tokens"] == cards[1]["tokens"], "both are judged on the same held-out text"
    (reading,) = (await workspace.store.saes.list(job_id=job["id"])).items
    assert reading.tokenisation_id == rows


async def _sae(api: httpx.AsyncClient, training: str) -> str:
    return (await api.get(f"/api/v1/trainings/{training}")).json()["data"]["saes"][0]


async def test_a_training_from_a_cache_that_a_restart_cuts_ends_with_the_bits_of_one_that_ran_through(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**ON_CACHE, "buffer_rows": 300, "training": {**SMALL["training"], "steps": 40, "checkpoint_interval": 5}}
    async with open_workspace(make_settings()) as workspace, client(workspace) as api:
        cache = await cached(api, workspace, await token_rows(api, workspace))
        asked["activations"] = cache["id"]
        whole = await _weights(workspace, await finished(api, workspace, "/api/v1/trainings", asked))
        with monkeypatch.context() as ending:
            cut(ending, CachedRows, "_fill", at=3)
            id = (await api.post("/api/v1/trainings", json=asked)).json()["data"]["job_id"]
            assert (await workspace.jobs.wait(id)).state == "interrupted"
        assert await workspace.store.trainings.checkpoints(id)
    async with open_workspace(make_settings()) as workspace:
        assert await workspace.jobs.restart() == 1
        record = await workspace.jobs.wait(id)
        assert record.state == "done", record.error_message
        assert any("going on from" in line.message for line in await workspace.jobs.logs(id))
        again = await _weights(workspace, {"id": id})
        assert whole.keys() == again.keys() and all((whole[name] == again[name]).all() for name in whole)


def cut(patch: pytest.MonkeyPatch, of: type, method: str, *, at: int) -> None:
    """End the work in the call of that number, as the end of a server does."""
    former, calls = getattr(of, method), itertools.count(1)

    def called(*given: Any) -> Any:
        if next(calls) == at:
            raise Cancelled("The server is closing.")
        return former(*given)

    patch.setattr(of, method, called)


async def _weights(workspace: Workspace, job: dict[str, Any]) -> dict[str, Any]:
    (sae,) = (await workspace.store.saes.list(job_id=job["id"])).items
    return load_file(workspace.saes.folder(sae) / "sae_weights.safetensors")


async def test_a_cache_that_a_restart_cuts_goes_on_behind_its_last_shard_and_a_cancelled_one_leaves_nothing(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_workspace(make_settings()) as workspace, client(workspace) as api:
        rows = await token_rows(api, workspace)
        whole = await cached(api, workspace, rows, shard_rows=64, name="whole")
        asked = {"tokenisation": rows, "points": [POINT], "dtype": "fp32", "shard_rows": 64, "held_out": 0.2}
        ids = []
        for name in ("cut", "unwanted"):
            with monkeypatch.context() as ending:
                cut(ending, WriteCache, "_save", at=3)
                ids.append((await api.post("/api/v1/activations", json={**asked, "name": name})).json()["data"]["id"])
                assert (await workspace.jobs.wait(ids[-1])).state == "interrupted"
        begun = workspace.store.data_dir.activations
        (begun / ("0" * 20)).mkdir()
    async with open_workspace(make_settings()) as workspace:
        assert sorted(each.name for each in begun.iterdir()) == sorted(ids), "what no job goes on with is removed"
        await workspace.jobs.cancel(ids[1])
        assert await workspace.jobs.restart() == 1
        record = await workspace.jobs.wait(ids[0])
        assert record.state == "done", record.error_message
        assert not [*begun.iterdir()]
        new, old = await workspace.activations.all()
        assert (new.name, old.name, new.facts) == ("cut", "whole", old.facts)
        assert _bytes(new.folder) == _bytes(old.folder) and len(_bytes(new.folder)) > 3
        assert new.facts and new.facts.rows == whole["rows"]


async def test_a_retry_of_a_cache_that_met_a_full_disk_goes_on_with_its_shards(
    api: httpx.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"tokenisation": await token_rows(api, workspace), "points": [POINT], "shard_rows": 64}
    with monkeypatch.context() as full:
        full.setattr(WriteCache, "_check_disk", lambda *_: (_ for _ in ()).throw(DatasetTooLarge("full")))
        id = (await api.post("/api/v1/activations", json=asked)).json()["data"]["id"]
        assert (await workspace.jobs.wait(id)).error_code == "dataset_too_large"
    begun = workspace.store.data_dir.activations
    assert [each.name for each in begun.iterdir()] == [id]
    again = (await api.post(f"/api/v1/jobs/{id}/retry")).json()["data"]["id"]
    assert not (begun / id).exists()
    assert (await workspace.jobs.wait(again)).state == "done"
    assert len(await workspace.activations.all()) == 1 and not [*begun.iterdir()]


def _bytes(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(folder.rglob("*.bin"))]


async def test_what_a_cache_cannot_give_is_refused_with_the_reason_and_a_damaged_one_says_so(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = await token_rows(api, workspace)
    cache = await cached(api, workspace, rows)
    elsewhere = [{**SMALL["saes"][0], "reads": ["blocks.0.resid_post"]}]

    async def refused(change: dict[str, Any], status: int, sentence: str) -> None:
        answer = await api.post("/api/v1/trainings", json={"activations": cache["id"], **ON_CACHE, **change})
        assert answer.status_code == status and sentence in answer.json()["error"]["message"], answer.text

    await refused({"saes": elsewhere}, 400, "blocks.0.resid_post is not in this cache; it has")
    await refused({"held_out": 0.1}, 400, "held_out is 0.1")
    await refused({"drop_first": 3}, 400, "written with 1")
    await refused({"buffer_rows": 256, "tokenisation": "another"}, 400, "tokenisation is another")
    await refused({"activations": "nothing"}, 404, "no cache")
    assert (await api.post("/api/v1/trainings", json=ON_CACHE)).status_code == 400
    (await workspace.activations.get(cache["id"])).folder.joinpath("00000", f"{POINT}.bin").unlink()
    await refused({}, 422, "cannot be read")
    (listed,) = (await api.get("/api/v1/activations")).json()["data"]
    assert "missing or cut off" in listed["problem"] and not listed["complete"]
    assert (await api.delete(f"/api/v1/activations/{cache['id']}")).status_code == 200
    assert (await workspace.jobs.list(kind="training")).total == 0


async def test_a_cache_that_a_training_reads_stays(api: httpx.AsyncClient, workspace: Workspace) -> None:
    rows = await token_rows(api, workspace)
    cache = await cached(api, workspace, rows)
    begun = (await api.post("/api/v1/trainings", json={"activations": cache["id"], **ENDLESS})).json()["data"]
    refused = await api.delete(f"/api/v1/activations/{cache['id']}")
    assert refused.status_code == 409 and "Stop that first" in refused.json()["error"]["message"]
    await workspace.jobs.cancel(begun["id"])
    assert (await api.delete(f"/api/v1/activations/{cache['id']}")).status_code == 200


async def test_a_cache_that_makes_no_sense_is_refused_and_leaves_nothing(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = await token_rows(api, workspace)
    for change, status, code in (
        ({"points": []}, 400, "invalid_request"),
        ({"points": ["somewhere"]}, 400, "bad_option"),
        ({"points": ["blocks.99.resid_post"]}, 400, "layer_out_of_range"),
        ({"model": "nothing"}, 404, "not_found"),
        ({"tokenisation": "nothing"}, 404, "not_found"),
        ({"dtype": "fp8"}, 400, "invalid_request"),
    ):
        answer = await api.post("/api/v1/activations", json={"tokenisation": rows, "points": [POINT], **change})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert (await workspace.jobs.list(kind="activations")).total == 0


async def test_the_page_writes_a_cache_and_a_form_that_reads_it_shows_what_the_cache_decides(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = await workspace.store.datasets.tokenisation(await token_rows(api, workspace))
    made: dict[str, Any] = {}

    async def page() -> None:
        panel = made["panel"] = ActivationsPanel(workspace)
        panel.build()
        await panel.show([rows])

    async def form() -> None:
        made["form"] = TrainingForm(workspace, None)  # type: ignore[arg-type]  # where errors nobody foresaw would go
        (cache,) = await workspace.activations.all()
        await made["form"].build("", "", "", cache.id)

    async with user_simulation(page) as user:
        await user.open("/")
        panel: ActivationsPanel = made["panel"]
        panel.points.set_value([])
        with panel.box:
            await panel.write()
        assert "No hook point is chosen" in panel.said.content and not panel.caches.content
        panel.points.set_value([POINT])
        panel.form.controls["rows"].value = 200
        panel.form.controls["held_out"].value = 0.2
        with panel.box:
            await panel.write()
        assert not panel.said.content
        assert all(told in panel.caches.content for told in (POINT, ">200<", "mean norm", "fp16", "cache-delete"))
        await panel.show([])
        assert not panel.box.visible and not panel.caches.content
    async with user_simulation(form) as user:
        await user.open("/")
        shown: TrainingForm = made["form"]
        (cache,) = await workspace.activations.all()
        asked = shown.asked()
        assert (asked.activations, asked.tokenisation, asked.held_out) == (cache.id, rows.id, 0.2)
        await workspace.activations.settled(asked)
        assert not shown.request.controls["held_out"].enabled and not shown.tokens.enabled
        assert shown.request.controls["held_out"].value == 0.2
        shown.cache.select.set_value("")
        assert shown.asked().activations is None and shown.tokens.enabled


def test_a_damaged_cache_is_drawn_with_its_reason_and_names_are_inert() -> None:
    damaged = Cache("a", "<b>mine", Path(), 12, datetime.now(UTC), problem="<i>torn")
    told = caches_html([damaged])
    assert "&lt;b&gt;mine" in told and "&lt;i&gt;torn" in told and "train-from" not in told
