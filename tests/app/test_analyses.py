"""Analyses over the API, on a real (tiny) pair: accepted, streamed, cached, repeated, cancelled, refused."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from loupe.storage.errors import StoreFull
from tests.app.conftest import GOLDEN, TEXT, analysed

ROW = {
    "position",
    "token",
    "token_id",
    "explanation",
    "cosine",
    "mse_nrm",
    "mse",
    "relative_rmse",
    "kl",
    "salience",
    "rollouts",
    "logit_lens",
    "next_tokens",
    "flags",
}


async def test_an_analysis_is_accepted_made_and_kept(api: httpx.AsyncClient, workspace: Workspace) -> None:
    accepted = await api.post("/api/v1/analyses", json={"text": TEXT, "max_new_tokens": 6, "name": "first"})
    id = accepted.json()["data"]["id"]
    assert accepted.status_code == 202 and accepted.headers["location"] == f"/api/v1/analyses/{id}"
    await workspace.analyses.wait(id)
    status = (await api.get(f"/api/v1/analyses/{id}", params={"after": 0})).json()["data"]
    assert (status["state"], status["done"]) == ("done", status["total"])
    result = (await api.get(f"/api/v1/runs/{id}/result")).json()
    assert set(result) == {"metadata", "data"}
    assert set(result["data"][3]) >= ROW
    assert sorted(row["position"] for row in status["rows"]) == [row["position"] for row in result["data"]]


async def test_a_saved_run_has_everything_needed_to_repeat_it(api: httpx.AsyncClient, workspace: Workspace) -> None:
    id, _ = await analysed(api, workspace, seed=7, best_of=2, temperature=1.0)
    record = (await api.get(f"/api/v1/runs/{id}")).json()["data"]
    assert len(record["token_ids"]) == record["summary"]["positions"]
    parts = {"verbalizer", "reconstructor", "reconstructor_head", "verbalizer_sidecar", "reconstructor_sidecar"}
    assert set(record["fingerprints"]) == {"model", *parts} and all(
        len(v) == 64 for v in record["fingerprints"].values()
    )
    assert record["request"]["seed"] == 7 and record["request"]["text"] == TEXT
    assert {"torch", "transformers", "python", "loupe-lab"} <= set(record["versions"])
    assert (record["device"], record["dtype"], record["layer"]) == ("cpu", "fp32", 3)


async def test_the_same_question_is_answered_from_what_is_known(api: httpx.AsyncClient, workspace: Workspace) -> None:
    first, _ = await analysed(api, workspace)
    before = workspace.engine.running and workspace.engine.running.stats().slices
    second, status = await analysed(api, workspace)
    after = workspace.engine.running and workspace.engine.running.stats().slices
    assert status["state"] == "done" and first != second and before == after, "it was computed again"
    results = [(await api.get(f"/api/v1/runs/{id}/result")).json()["data"] for id in (first, second)]
    assert results[0] == results[1]
    third, _ = await analysed(api, workspace, seed=1, temperature=1.0)
    assert (await api.get(f"/api/v1/runs/{third}/result")).json()["data"] != results[0]


async def test_a_repeated_run_is_computed_again_and_is_equal(api: httpx.AsyncClient, workspace: Workspace) -> None:
    first, _ = await analysed(api, workspace, temperature=1.0, best_of=2, seed=3)
    accepted = await api.post(f"/api/v1/runs/{first}/repeat")
    again = accepted.json()["data"]["id"]
    await workspace.analyses.wait(again)
    record = (await api.get(f"/api/v1/runs/{again}")).json()["data"]
    assert record["repeat_of"] == first
    results = [(await api.get(f"/api/v1/runs/{id}/result")).json()["data"] for id in (first, again)]
    assert_equal_up_to_rounding(*results)


async def test_two_at_once_find_what_each_finds_alone(api: httpx.AsyncClient, workspace: Workspace) -> None:
    texts = ["A red fox slept.", "Two birds sang by the sea."]
    alone = []
    for text in texts:
        id, _ = await analysed(api, workspace, text=text, temperature=1.0, seed=5)
        alone.append((await api.get(f"/api/v1/runs/{id}/result")).json()["data"])
    ids = [(await api.post(f"/api/v1/runs/{live.id}/repeat")).json()["data"]["id"] for live in workspace.analyses.live]
    await asyncio.gather(*(workspace.analyses.wait(id) for id in ids))
    together = [(await api.get(f"/api/v1/runs/{id}/result")).json()["data"] for id in ids]
    for one, other in zip(alone, together, strict=True):
        assert_equal_up_to_rounding(one, other)


def assert_equal_up_to_rounding(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """Every rollout the same in words, every score the same to 1e-4: packing differs, rounding may."""
    for left, right in zip(one, other, strict=True):
        assert [r["text"] for r in left["rollouts"]] == [r["text"] for r in right["rollouts"]]
        for name in ("mse_nrm", "cosine", "kl", "relative_rmse"):
            assert left[name] == pytest.approx(right[name], abs=1e-4), name


async def test_only_the_positions_asked_for_are_explained(api: httpx.AsyncClient, workspace: Workspace) -> None:
    id, _ = await analysed(api, workspace, positions="1-2,-1", kl=False, salience="none", logit_lens_k=0)
    result = (await api.get(f"/api/v1/runs/{id}/result")).json()
    length = len(result["metadata"]["tokens"])
    assert [row["position"] for row in result["data"]] == [1, 2, length - 1]
    for row in result["data"]:
        assert not {"kl", "salience", "logit_lens", "tuned_lens"} & set(row), "absent means absent"


async def test_a_chat_is_analysed_through_the_models_template(api: httpx.AsyncClient, workspace: Workspace) -> None:
    chat = [{"role": "user", "content": "Hello fox"}]
    id, status = await analysed(api, workspace, text=None, messages=chat, positions="-3--1")
    assert status["state"] == "done", status
    tokens = (await api.get(f"/api/v1/runs/{id}/result")).json()["metadata"]["tokens"]
    assert any(token["is_special"] for token in tokens)


async def test_a_cancelled_analysis_ends_and_is_remembered_as_such(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    body = {"text": "The fox ran home. " * 30, "best_of": 8, "temperature": 1.0, "max_new_tokens": 200}
    id = (await api.post("/api/v1/analyses", json=body)).json()["data"]["id"]
    begun = asyncio.Event()
    stop = workspace.analyses.subscribe(id, lambda live: begun.set() if live.handle else None)
    await asyncio.wait_for(begun.wait(), 120)
    stop()
    answer = await api.post(f"/api/v1/analyses/{id}/cancel")
    assert answer.json()["data"]["state"] == "cancelled"
    assert (await api.get(f"/api/v1/runs/{id}")).json()["data"]["state"] == "cancelled"
    assert (await api.post(f"/api/v1/analyses/{id}/cancel")).status_code == 409
    _, status = await analysed(api, workspace)
    assert status["state"] == "done", "the device thread did not survive the cancellation"


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"text": ""}, 400, "empty_text"),
        ({"text": " \n "}, 400, "empty_text"),
        ({"text": "x" * 20_001}, 400, "text_too_long"),
        ({"text": "half \ud83d a pair"}, 400, "broken_text"),
        ({"name": "half \ud83d a pair"}, 400, "invalid_request"),
        ({"best_of": 33, "temperature": 1}, 400, "bad_option"),
        ({"best_of": 2}, 400, "bad_option"),
        ({"max_new_tokens": 10_000}, 400, "bad_option"),
        ({"temperature": -1}, 400, "invalid_request"),
        ({"salience": "letter"}, 400, "invalid_request"),
        ({"unknown": 1}, 400, "invalid_request"),
        ({"model": "nobody"}, 404, "not_found"),
        ({"model": str(GOLDEN / "base")}, 400, "bad_option"),
    ],
)
async def test_a_bad_request_is_refused_before_anything_is_kept(
    api: httpx.AsyncClient, options: dict[str, Any], status: int, code: str
) -> None:
    body = json.dumps({"text": TEXT} | options)  # half a character can only be sent escaped
    answer = await api.post("/api/v1/analyses", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (await api.get("/api/v1/runs")).json()["pagination"]["total"] == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"positions": "99"}, "bad_positions"),
        ({"layer": 99}, "layer_out_of_range"),
        ({"verbalizer": "starter/ar"}, "wrong_role"),
        ({"verbalizer": "starter"}, "sidecar_missing"),
    ],
)
async def test_what_only_the_model_can_refuse_fails_the_run_with_its_own_error(
    workspace: Workspace, options: dict[str, Any], code: str
) -> None:
    from loupe.app.services.options import AnalysisOptions

    asked = AnalysisOptions.model_validate({"text": TEXT, "max_new_tokens": 4} | options)
    live = await workspace.analyses.start(asked)
    await workspace.analyses.wait(live.id)
    assert live.state == "failed" and live.error is not None
    assert (live.error["code"], live.error["retryable"]) == (code, False)
    record = await workspace.runs.get(live.id)
    assert (record.state, record.error_code) == ("failed", code)


async def test_a_path_is_taken_only_from_this_machines_command_line(far_api: httpx.AsyncClient) -> None:
    body = {"text": TEXT, "model": str(GOLDEN / "base"), "verbalizer": "starter/av", "reconstructor": "starter/ar"}
    answer = await far_api.post("/api/v1/analyses", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_a_full_queue_answers_429_and_when_to_come_back(make_settings: Callable[..., Settings]) -> None:
    from loupe.app.api.application import build_api

    async with open_workspace(make_settings(queue_limit=1)) as workspace:
        transport = httpx.ASGITransport(build_api(workspace), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as api:
            answers = [await api.post("/api/v1/analyses", json={"text": TEXT}) for _ in range(2)]
        assert [a.status_code for a in answers] == [202, 429]
        assert answers[1].json()["error"]["retryable"] is True and int(answers[1].headers["retry-after"]) >= 1


async def test_a_result_that_cannot_be_saved_is_not_lost(
    api: httpx.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreFull("No space left on the disk.")

    monkeypatch.setattr(workspace.runs, "_write", full)
    id, status = await analysed(api, workspace)
    assert (status["state"], status["error"]["code"]) == ("failed", "store_full")
    assert (await api.get(f"/api/v1/runs/{id}/result")).json()["data"], "the finished result is gone"


async def test_what_happens_is_told_as_numbered_events(api: httpx.AsyncClient, workspace: Workspace) -> None:
    id, _ = await analysed(api, workspace)
    events = workspace.events.since(0)
    names = [event.name for event in events if event.topic == "analysis"]
    assert names[0] == "queued" and names[-1] == "done" and set(names[1:-1]) == {"position"}
    told = [event.data["row"]["position"] for event in events if event.name == "position"]
    result = (await api.get(f"/api/v1/runs/{id}/result")).json()
    assert sorted(told) == [row["position"] for row in result["data"]], "each position is told once"


async def test_an_analysis_is_a_job_with_the_same_id(api: httpx.AsyncClient, workspace: Workspace) -> None:
    id, _ = await analysed(api, workspace, name="the fox")
    job = await workspace.jobs.get(id)
    assert (job["kind"], job["name"], job["state"], job["run_id"]) == ("analysis", "the fox", "done", id)
    assert job["done"] == job["total"] and job["started_at"]


async def test_a_failed_analysis_is_a_failed_job_and_a_retry_asks_again(workspace: Workspace) -> None:
    from loupe.app.services.options import AnalysisOptions

    live = await workspace.analyses.start(AnalysisOptions(text=TEXT, layer=99))
    await workspace.analyses.wait(live.id)
    failed = await workspace.jobs.get(live.id)
    assert (failed["state"], failed["error"]["code"]) == ("failed", "layer_out_of_range")
    again = await workspace.jobs.retry(live.id, by="Ada")
    await workspace.jobs.wait(again["id"])
    assert (await workspace.runs.get(again["id"])).repeat_of == live.id


async def begun(workspace: Workspace, id: str) -> None:
    """Until an analysis has found something."""
    news = asyncio.Event()
    stop = workspace.analyses.subscribe(id, lambda live: news.set() if live.found else None)
    await asyncio.wait_for(news.wait(), 120)
    stop()


async def test_a_paused_analysis_stands_still_and_ends_with_the_same_result(workspace: Workspace) -> None:
    from loupe.app.services.options import AnalysisOptions

    asked = AnalysisOptions(text="The fox ran home. " * 8, max_new_tokens=12)
    live = await workspace.analyses.start(asked)
    await begun(workspace, live.id)
    if live.busy:  # a fast machine may be through already
        assert (await workspace.jobs.pause(live.id))["state"] == "paused" and live.status()["state"] == "paused"
        await workspace.jobs.resume(live.id)
    await workspace.analyses.wait(live.id)
    alone = await workspace.analyses.repeat(live.id)
    await workspace.analyses.wait(alone.id)
    results = [(await workspace.analyses.result(each.id))["data"] for each in (live, alone)]
    assert_equal_up_to_rounding(*results)


async def test_what_a_process_could_not_finish_the_next_one_does(make_settings: Callable[..., Settings]) -> None:
    from loupe.app.services.options import AnalysisOptions

    settings, options = make_settings(), AnalysisOptions(text="The fox ran home. " * 8, max_new_tokens=40)
    async with open_workspace(settings) as workspace:
        running = await workspace.analyses.start(options)
        waiting = await workspace.analyses.start(AnalysisOptions(text=TEXT, max_new_tokens=4))
        await begun(workspace, running.id)
    async with open_workspace(settings) as workspace:
        states = {live.id: (await workspace.runs.get(live.id)).state for live in (running, waiting)}
        assert states[running.id] in ("interrupted", "done") and "running" not in states.values()
        await workspace.jobs.restart()
        for id, state in states.items():
            assert state == "done" or workspace.analyses.is_busy(id), "whoever asks now would hear that it is gone"
        for id in states:
            await workspace.jobs.wait(id)
            assert (await workspace.runs.get(id)).state == "done", "an accepted analysis was forgotten"
