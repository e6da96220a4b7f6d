"""The API's shapes: envelopes, pagination, errors, health, models, system."""

from collections.abc import Callable

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from loupe.app.api import events as events_api
from loupe.app.api.application import build_api
from loupe.app.services.events import EventStream
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace
from loupe.storage.repos.runs import NewRun
from tests.app.fake_hub import COMMIT, FakeHub, serving


async def test_success_has_data_and_meta(api: httpx.AsyncClient) -> None:
    body = (await api.get("/api/v1/models/starter")).json()
    assert set(body) == {"data", "meta"} and set(body["meta"]) == {"request_id", "timestamp"}


async def test_an_error_has_one_shape_everywhere(api: httpx.AsyncClient) -> None:
    for answer in [
        await api.get("/api/v1/runs/nobody"),
        await api.get("/api/v1/nothing"),
        await api.get("/api/v9/models"),
        await api.put("/api/v1/models"),
        await api.post("/api/v1/analyses", content=b"{not json"),
        await api.get("/api/v1/runs", params={"page": 0}),
        await api.get("/api/v1/runs", params={"sortBy": "colour"}),
        await api.get("/api/v1/runs", params={"state": "asleep"}),
    ]:
        error = answer.json()["error"]
        assert set(error) == {"code", "message", "details", "retryable", "timestamp"}, answer.text
        assert 400 <= answer.status_code < 500, answer.text


async def test_a_list_is_paged(api: httpx.AsyncClient, workspace: Workspace) -> None:
    for number in range(5):
        await workspace.runs.create(NewRun(name=f"run {number}", text="a fox", request={}))
    first = (await api.get("/api/v1/runs", params={"limit": 2})).json()
    last = (await api.get("/api/v1/runs", params={"limit": 2, "page": 3})).json()
    assert [r["name"] for r in first["data"]] == ["run 4", "run 3"]
    assert first["pagination"] == {"page": 1, "limit": 2, "total": 5, "has_next": True}
    assert [r["name"] for r in last["data"]] == ["run 0"] and not last["pagination"]["has_next"]
    found = (await api.get("/api/v1/runs", params={"search": "run 3", "order": "asc"})).json()
    assert [r["name"] for r in found["data"]] == ["run 3"]


async def test_a_run_is_deleted_once(api: httpx.AsyncClient, workspace: Workspace) -> None:
    record = await workspace.runs.create(NewRun(name="gone", text="a", request={}))
    assert (await api.delete(f"/api/v1/runs/{record.id}?forever=true")).status_code == 200
    assert (await api.delete(f"/api/v1/runs/{record.id}?forever=true")).status_code == 404


async def test_the_starter_is_listed_with_what_its_files_say(api: httpx.AsyncClient) -> None:
    rows = {row["id"]: row for row in (await api.get("/api/v1/models")).json()["data"]}
    assert [rows[i]["kind"] for i in ("starter", "starter/av", "starter/ar")] == [
        "model",
        "verbalizer",
        "reconstructor",
    ]
    assert rows["starter/av"]["layer"] == 3 and rows["starter"]["architecture"] == "qwen2"
    assert (await api.get("/api/v1/models/starter/av")).json()["data"] == rows["starter/av"]
    assert (await api.get("/api/v1/models/nobody")).status_code == 404


async def test_health_tells_alive_from_ready(api: httpx.AsyncClient, workspace: Workspace) -> None:
    assert (await api.get("/health/live")).status_code == 200
    assert (await api.get("/api/v1/health/ready")).status_code == 503
    await workspace.engine.device()
    assert (await api.get("/api/v1/health/ready")).status_code == 200
    assert (await api.get("/api/v1/health")).json()["data"]["engine"] == "ready"


async def test_before_the_workspace_is_open_requests_are_asked_to_wait() -> None:
    transport = httpx.ASGITransport(build_api(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as api:
        assert (await api.get("/health")).json()["data"]["status"] == "starting"
        answer = await api.get("/api/v1/runs")
    assert answer.status_code == 503 and answer.headers["retry-after"]


async def test_the_system_page_has_numbers_and_no_secret(make_settings: Callable[..., Settings]) -> None:
    from loupe.app.workspace import open_workspace

    async with open_workspace(make_settings(password="hunter2", hub_token="hunter2")) as workspace:
        transport = httpx.ASGITransport(build_api(workspace), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as api:
            system = (await api.get("/api/v1/system")).json()["data"]
            settings = await api.get("/api/v1/system/settings?limit=200")
    assert system["process"]["memory_bytes"] > 0 and system["disk"]["free_bytes"] > 0
    rows = {row["name"]: row for row in settings.json()["data"]}
    assert rows["LOUPE_PASSWORD"]["value"] == "set" and rows["LOUPE_PASSWORD"]["source"] == "command line"
    assert (rows["LOUPE_PORT"]["value"], rows["LOUPE_PORT"]["source"]) == (8000, "default")
    assert "hunter2" not in settings.text


async def test_a_model_is_previewed_and_downloaded(make_settings: Callable[..., Settings]) -> None:
    from loupe.app.workspace import open_workspace

    files = {"config.json": b'{"model_type": "llama"}', "model.safetensors": b"weights" * 100}
    with serving(FakeHub(files)) as hub:
        async with open_workspace(make_settings(hub_url=hub.url)) as workspace:
            transport = httpx.ASGITransport(build_api(workspace), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as api:
                plan = (await api.post("/api/v1/models/preview", json={"repo": "lab/tiny"})).json()["data"]
                accepted = await api.post("/api/v1/models/download", json={"repo": "lab/tiny"})
                job = (await workspace.jobs.wait(accepted.json()["data"]["job_id"])).id
                status = (await api.get(f"/api/v1/jobs/{job}")).json()["data"]
                status = accepted.json()["data"] | status
                rows = {row["id"]: row for row in (await api.get("/api/v1/models")).json()["data"]}
    assert plan["commit"] == COMMIT and {f["name"] for f in plan["files"]} == set(files)
    assert (accepted.status_code, status["state"]) == (202, "done")
    assert rows[status["model"]]["source"] == "lab/tiny" and rows[status["model"]]["revision"] == COMMIT[:12]


async def test_the_event_stream_is_resumed_after_the_last_number(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_api, "PING_S", 0.01)
    start = workspace.events.last_number
    for name in "abc":
        workspace.events.emit("analysis", name, {"id": name})
    lines = events_api._lines(workspace, start + 1, frozenset({"analysis"}))
    chunks = [(await anext(lines)).decode() for _ in range(4)]
    await lines.aclose()
    assert [c.split("\n")[0] for c in chunks] == [": connected", f"id: {start + 2}", f"id: {start + 3}", ": ping"]
    assert "event: analysis.b" in chunks[1] and '"data":{"id":"b"}' in chunks[1]


async def test_every_route_is_described(api: httpx.AsyncClient) -> None:
    schema = (await api.get("/api/v1/openapi.json")).json()
    assert len(schema["paths"]) >= 18
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            assert about.get("description"), f"{method} {path} has no description"


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(
        ["runs", "runs/{}", "runs/{}/result", "runs/{}/repeat", "analyses/{}", "models/{}", "analyses"]
    ),
    part=st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="/?#%\\"), min_size=1
    ),
    query=st.dictionaries(
        st.sampled_from(["page", "limit", "search", "sortBy", "order", "after"]), st.text(max_size=12), max_size=3
    ),
    body=st.none()
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5),
)
async def test_no_request_makes_the_server_fail(
    api: httpx.AsyncClient, method: str, path: str, part: str, query: dict[str, str], body: object
) -> None:
    answer = await api.request(method, "/api/v1/" + path.replace("{}", part), params=query, json=body)
    assert answer.status_code < 500, answer.text
    assert {"data", "error"} & set(answer.json())


def test_events_keep_only_as_many_as_asked() -> None:
    stream = EventStream(history=3)
    for _ in range(10):
        stream.emit("job", "x", {})
    assert [e.number for e in stream.since(7)] == [8, 9, 10]
