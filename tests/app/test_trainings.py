"""From a pasted text to a trained SAE in the library, over the API: curves, checkpoints, forks, restarts, bad input."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from loupe.app.api.application import build_api
from loupe.app.pages.training_parts import strip_html
from loupe.app.services import training_job
from loupe.app.services.curves import thinned
from loupe.app.services.training_request import Recipe, TrainingRequest
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from loupe.storage.errors import NotFound
from loupe.storage.repos.trainings import Point

TEXT = "\n\n".join(
    f"The {animal} ran over hill number {n} and looked at the moon." for n in range(20) for animal in ("fox", "owl")
)
SMALL = {
    "saes": [{"name": "small", "d_sae": 24, "options": {"k": 4}, "reads": ["blocks.1.resid_post"]}],
    "training": {
        "steps": 12, "batch_rows": 32, "log_interval": 2, "checkpoint_interval": 4, "evaluation_interval": 6,
        "initial_rows": 64, "threshold_rows": 64,
    },
    "buffer_rows": 2048,
    "held_out": 0.2,
    "watched": ["The fox ran."],
}  # fmt: skip


async def finished(api: httpx.AsyncClient, workspace: Workspace, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await api.post(path, json=body)
    assert answer.status_code == 202, answer.text
    record = await workspace.jobs.wait(answer.json()["data"]["job_id"])
    assert record.state == "done", record.error_message
    return (await api.get(f"/api/v1/jobs/{record.id}")).json()["data"]


async def token_rows(api: httpx.AsyncClient, workspace: Workspace) -> str:
    made = await finished(api, workspace, "/api/v1/datasets", {"name": "hills", "text": TEXT})
    dataset = made["result"]["dataset"]
    asked = {"model": "starter", "mode": "window", "max_tokens": 32}
    made = await finished(api, workspace, f"/api/v1/datasets/{dataset}/tokenisations", asked)
    (rows,) = (await api.get(f"/api/v1/datasets/{dataset}/tokenisations")).json()["data"]
    assert rows["rows"] >= 40 and rows["id"] == made["result"]["tokenisation"]
    return rows["id"]


async def test_a_training_from_pasted_text_leaves_curves_checkpoints_and_an_sae(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = await token_rows(api, workspace)
    job = await finished(api, workspace, "/api/v1/trainings", {"tokenisation": rows, **SMALL})
    told = (await api.get(f"/api/v1/trainings/{job['id']}/metrics")).json()["data"]
    assert [step for step, _ in told["curves"]["small"]["loss"]] == [2, 4, 6, 8, 10, 12]
    assert {step for step, _ in told["held_out"]["small"]["ce_recovered"]} == {6, 12}
    assert told["density"]["small"][-1][0] == 12
    saved = (await api.get(f"/api/v1/trainings/{job['id']}/checkpoints")).json()["data"]
    assert [each["step"] for each in saved] == [12, 8, 4]
    assert "training" in [line.message for line in await workspace.jobs.logs(job["id"])]
    (sae,) = (await workspace.store.saes.list(job_id=job["id"])).items
    assert (sae.name, sae.d_sae, sae.hook_points, sae.step) == ("small", 24, ("blocks.1.resid_post",), 12)
    assert sae.card is not None and sae.card["tokens"] > 0
    files = workspace.store.artefacts.open(sae.artefact_id or "").manifest.files
    assert {"cfg.json", "sae_weights.safetensors"} <= set(files)


async def test_a_fork_goes_on_from_a_checkpoint_with_other_options(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = await token_rows(api, workspace)
    job = await finished(api, workspace, "/api/v1/trainings", {"tokenisation": rows, **SMALL})
    middle = (await api.get(f"/api/v1/trainings/{job['id']}/checkpoints")).json()["data"][1]
    path = f"/api/v1/trainings/{job['id']}/checkpoints/{middle['id']}/fork"
    assert (await api.post(path, json={"training": {"steps": middle["step"]}})).status_code == 400
    forked = await finished(api, workspace, path, {"name": "slower", "training": {"lr": 1e-5}})
    told = (await api.get(f"/api/v1/trainings/{forked['id']}/metrics")).json()["data"]
    assert [step for step, _ in told["curves"]["small"]["lr"]] == [10, 12]
    kept = (await api.get(f"/api/v1/trainings/{job['id']}/checkpoints")).json()["data"]
    assert next(each for each in kept if each["id"] == middle["id"])["kept"]


async def test_the_saes_of_a_checkpoint_come_into_the_library_once_with_the_card_of_that_step(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = await token_rows(api, workspace)
    often = {**SMALL, "training": {**SMALL["training"], "evaluation_interval": 4}}
    job = await finished(api, workspace, "/api/v1/trainings", {"tokenisation": rows, **often})
    saved = {c["step"]: c["id"] for c in (await api.get(f"/api/v1/trainings/{job['id']}/checkpoints")).json()["data"]}
    path = f"/api/v1/trainings/{job['id']}/checkpoints/{{}}/load"
    (sae,) = (await api.post(path.format(saved[4]))).json()["data"]["saes"]
    assert (sae["name"], sae["step"], sae["source"]) == ("small, step 4", 4, "trained")
    assert sae["card"]["tokens"] > 0
    assert (await api.post(path.format(saved[4]))).json()["data"]["saes"] == [sae]
    (last,) = (await api.post(path.format(saved[12]))).json()["data"]["saes"]
    assert last["name"] == "small" and (await workspace.store.saes.list(job_id=job["id"])).total == 2
    folder = workspace.saes.folder(await workspace.store.saes.get(sae["id"]))
    assert {"cfg.json", "sae_weights.safetensors"} <= {each.name for each in folder.iterdir()}


async def test_an_sae_is_in_the_library_from_the_first_checkpoint_and_stays_one_entry_that_follows(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    rows = await token_rows(api, workspace)
    long = {**SMALL, "training": {**SMALL["training"], "steps": 100_000, "checkpoint_interval": 5}}
    id = (await api.post("/api/v1/trainings", json={"tokenisation": rows, **long})).json()["data"]["job_id"]
    events = workspace.events.follow(0, frozenset({"job", "training"}), 1)
    while not (found := (await workspace.store.saes.list(job_id=id)).items):
        await anext(events)
    await workspace.saes.rename(found[0].id, "mine")
    checkpoint = (await workspace.store.trainings.checkpoints(id))[0]
    while (await workspace.store.saes.get(found[0].id)).step == found[0].step:
        await anext(events)
    (pinned,) = await workspace.trainings.load_checkpoint(checkpoint.id)
    assert pinned.id != found[0].id and pinned.step == checkpoint.step
    assert (await api.delete(f"/api/v1/trainings/{id}")).status_code == 409
    await workspace.jobs.pause(id)
    assert "save" not in (await workspace.trainings.get(id))["actions"]
    assert (await api.post(f"/api/v1/trainings/{id}/checkpoints")).status_code == 409
    await workspace.trainings.stop(id)  # a paused one goes on to end
    record = await workspace.jobs.wait(id)
    own = await workspace.store.saes.get(found[0].id)
    assert (own.name, own.step) == ("mine", record.done) and own.card is not None
    assert (await workspace.store.saes.list(job_id=id)).total == 2
    known = {row.artefact_id for row in (await workspace.store.saes.list(job_id=id)).items}
    saved = {row.artefact_id for row in await workspace.store.trainings.checkpoints(id)}
    assert known | saved <= set(workspace.store.artefacts.ids())
    assert (await api.delete(f"/api/v1/trainings/{id}")).status_code == 200
    assert (await api.get(f"/api/v1/trainings/{id}")).status_code == 404
    assert (await workspace.store.saes.get(found[0].id)).job_id is None
    left = set(workspace.store.artefacts.ids())
    assert known <= left and not saved & left and len(left - known) == 2  # the text and its rows


async def test_a_fit_check_measures_without_keeping_anything(api: httpx.AsyncClient, workspace: Workspace) -> None:
    rows = await token_rows(api, workspace)
    fit = (await api.post("/api/v1/trainings/fit", json={"tokenisation": rows, **SMALL})).json()["data"]
    assert fit["fits"] and fit["seconds"] > 0 and fit["memory_bytes"] > 24 * 16 * 4 * 4
    assert (await workspace.jobs.list(kind="training")).total == 0


async def test_what_no_memory_holds_is_refused_with_numbers_before_anything_is_tried(
    api: httpx.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = await token_rows(api, workspace)
    memory = (await workspace.engine.device()).memory
    monkeypatch.setattr(memory, "limit", int(memory.memory().used + (2 << 30)))
    huge = {"tokenisation": rows, **SMALL, "saes": [{"d_sae": 1 << 24, "options": {"k": 4}}]}
    fit = (await api.post("/api/v1/trainings/fit", json=huge)).json()["data"]
    assert not fit["fits"] and "of memory are needed" in fit["problems"][0] and fit["seconds"] is None
    refused = (await api.post("/api/v1/trainings", json=huge)).json()["error"]
    assert refused["code"] == "out_of_device_memory" and "may be taken" in refused["message"]
    assert (await workspace.jobs.list(kind="training")).total == 0


async def test_a_training_goes_on_after_a_restart_without_gap_or_double(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    long = {**SMALL, "training": {**SMALL["training"], "steps": 400, "log_interval": 1, "checkpoint_interval": 5}}
    async with open_workspace(settings) as workspace, client(workspace) as api:
        rows = await token_rows(api, workspace)
        id = (await api.post("/api/v1/trainings", json={"tokenisation": rows, **long})).json()["data"]["job_id"]
        while not await workspace.store.trainings.checkpoints(id):
            await workspace.events.follow(0, frozenset({"job", "training"}), 1).__anext__()
            await workspace.store.trainings.points(id)
    async with open_workspace(settings) as workspace, client(workspace) as api:
        assert (await workspace.store.jobs.get(id)).state == "interrupted"
        assert await workspace.jobs.restart() == 1
        record = await workspace.jobs.wait(id)
        assert record.state == "done", record.error_message
        steps = [point.step for point in await workspace.store.trainings.points(id)]
        assert steps == list(range(1, 401))


async def test_a_retry_goes_on_from_the_newest_checkpoint_that_is_whole(
    api: httpx.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    rows = await token_rows(api, workspace)
    with monkeypatch.context() as full_disk:
        full_disk.setattr(training_job, "write_sae", no_space)
        id = (await api.post("/api/v1/trainings", json={"tokenisation": rows, **SMALL})).json()["data"]["job_id"]
        assert (await workspace.jobs.wait(id)).state == "failed"
    before = [await workspace.store.trainings.points(id, kind=kind) for kind in ("measures", "evaluation")]
    last, damaged, _ = await workspace.store.trainings.checkpoints(id)
    await workspace.trainings.delete_checkpoint(last.id)
    for file in workspace.store.artefacts.open(damaged.artefact_id).folder.glob("*.safetensors"):
        file.write_bytes(b"torn")
    again = (await api.post(f"/api/v1/jobs/{id}/retry")).json()["data"]["id"]
    assert (await workspace.jobs.wait(again)).state == "done"
    said = [line.message for line in await workspace.jobs.logs(again)]
    assert f"retry of {id}: going on from its checkpoint of step 4" in said
    after = [await workspace.store.trainings.points(again, kind=kind) for kind in ("measures", "evaluation")]
    assert [unclocked(each) for each in after[0]] == [unclocked(each) for each in before[0]]
    assert [each.step for each in after[1]] == [6, 12] and after[1][0] == before[1][0]
    with pytest.raises(NotFound):
        await workspace.trainings.start(TrainingRequest(tokenisation=rows, retry_of="nobody"))


def unclocked(point: Point) -> tuple[int, dict[str, Any]]:
    """A point without what depends on clock and machine."""
    own = ("at", "tokens_per_s", "memory")
    return point.step, {key: value for key, value in point.measured.items() if key not in own}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"tokenisation": "nothing"}, 404, "not_found"),
        ({"model": "nobody"}, 404, "not_found"),
        ({"saes": [{"d_sae": 8, "options": {"k": 9}}]}, 400, "bad_option"),
        ({"saes": [{"reads": ["blocks.99.resid_post"]}]}, 400, "layer_out_of_range"),
        ({"saes": [{"reads": ["somewhere"]}]}, 400, "bad_option"),
        ({"saes": [{"architecture": "magic"}]}, 400, "bad_option"),
        ({"saes": [{"architecture": "transcoder", "reads": ["blocks.1.resid_pre"]}]}, 400, "bad_option"),
        ({"training": {"lr": -1}}, 400, "bad_option"),
        ({"training": {"stepz": 1}}, 400, "bad_option"),
        ({"buffer_rows": 1}, 400, "invalid_request"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_and_leaves_nothing(
    api: httpx.AsyncClient, workspace: Workspace, change: dict[str, Any], status: int, code: str
) -> None:
    rows = await token_rows(api, workspace) if "tokenisation" not in change else ""
    answer = await api.post("/api/v1/trainings", json={"tokenisation": rows, **SMALL, **change})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert (await workspace.jobs.list(kind="training")).total == 0


def test_a_transcoder_of_an_mlp_reconstructs_its_output_unless_told_otherwise() -> None:
    recipe = Recipe.model_validate({"saes": [{"architecture": "transcoder", "reads": ["blocks.1.mlp_in"]}]})
    (run,) = recipe.plan(16, 3).runs
    assert [str(point) for point in run.writes] == ["blocks.1.mlp_out"]


async def test_the_story_world_is_there_to_be_tokenised(api: httpx.AsyncClient) -> None:
    (stories,) = (await api.get("/api/v1/datasets", params={"search": "Story world"})).json()["data"]
    found = (await api.get(f"/api/v1/datasets/{stories['id']}/documents", params={"limit": 2})).json()["data"]
    assert len(found["documents"]) == 2 and found["total"] == 20_000


def test_thinning_a_curve_keeps_its_ends_and_its_peaks() -> None:
    rows = [(step, 0.0) for step in range(10_000)]
    rows[1234], rows[8765] = (1234, 9.0), (8765, -9.0)
    kept = thinned(rows, 100)
    assert len(kept) <= 100 and kept[0] == rows[0] and kept[-1] == rows[-1]
    assert (1234, 9.0) in kept and (8765, -9.0) in kept and kept == sorted(kept)


def client(workspace: Workspace) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build_api(workspace, paths_allowed=True))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


def test_what_fires_can_be_drawn_before_the_first_point() -> None:
    strips = {"one": {"tokens": [" a", "<b>"], "latents": [7], "acts": [[0.0, 2.0]]}}
    early, later = strip_html(strips, None), strip_html(strips, 1200)
    assert 'data-testid="strip-feature"' in early and "At step" not in early and "<b>" not in early
    assert "At step 1,200." in later
