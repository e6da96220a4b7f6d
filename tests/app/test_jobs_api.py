"""Jobs for programs: the same levers over REST and on the command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from loupe.app.api.application import build_api
from loupe.app.cli.main import main
from loupe.app.security.guard import PERSON
from loupe.app.services.jobs import Kind
from loupe.app.services.live_job import LiveJob
from loupe.app.workspace import Workspace
from loupe.storage.repos.jobs import NewJob
from tests.app.conftest import TEXT


@pytest.fixture
async def waiting(workspace: Workspace) -> AsyncIterator[LiveJob]:
    """A job of Ada's that waits until it is stopped."""

    async def work(live: LiveJob) -> None:
        live.report(3, 7, "waiting")
        await asyncio.Event().wait()

    workspace.jobs.register(Kind("wait", work))
    live = await workspace.jobs.submit(NewJob(kind="wait", name="Ada's wait", request={"secret": "x"}, author="Ada"))
    started = asyncio.Event()
    workspace.bridge.subscribe(("job", live.id), lambda live: started.set() if live.started else None)
    await asyncio.wait_for(started.wait(), 60)
    yield live


def as_person(workspace: Workspace, name: str) -> httpx.AsyncClient:
    """The API as it answers somebody who signed in under a name."""
    api = build_api(workspace)

    async def named(scope: Any, receive: Any, send: Any) -> None:
        await api({**scope, PERSON: name}, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(named), base_url="http://loupe")


async def test_jobs_are_listed_with_what_may_be_done_now(api: httpx.AsyncClient, waiting: LiveJob) -> None:
    answer = (await api.get("/api/v1/jobs", params={"search": "ada", "kind": "wait"})).json()
    assert answer["pagination"] == {"page": 1, "limit": 50, "total": 1, "has_next": False}
    (job,) = answer["data"]
    assert (job["id"], job["state"], job["done"], job["total"]) == (waiting.id, "running", 3, 7)
    assert job["actions"] == ["cancel", "priority"] and job["author"] == "Ada"
    assert "request" not in job, "what was asked may hold a prompt"
    assert (await api.get(f"/api/v1/jobs/{waiting.id}")).json()["data"]["name"] == "Ada's wait"


async def test_an_impossible_list_is_refused(api: httpx.AsyncClient) -> None:
    for wrong in ({"state": "asleep"}, {"sortBy": "request"}, {"order": "up"}, {"page": 0}, {"limit": 9999}):
        assert (await api.get("/api/v1/jobs", params=wrong)).status_code == 400, wrong
    assert (await api.get("/api/v1/jobs/nobody")).status_code == 404
    assert (await api.get("/api/v1/jobs/nobody/logs")).status_code == 404


async def test_another_person_s_work_is_cancelled_only_when_that_is_meant(
    workspace: Workspace, waiting: LiveJob
) -> None:
    async with as_person(workspace, "Bob") as bob:
        refused = await bob.post(f"/api/v1/jobs/{waiting.id}/cancel")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "confirmation_needed")
        meant = await bob.post(f"/api/v1/jobs/{waiting.id}/cancel", params={"confirm": "true"})
        assert meant.json()["data"]["state"] == "cancelled"
        lines = (await bob.get(f"/api/v1/jobs/{waiting.id}/logs")).json()["data"]
    assert "cancelled by Bob, work of Ada" in [line["message"] for line in lines]


async def test_one_s_own_work_is_cancelled_at_once_and_retried(workspace: Workspace, waiting: LiveJob) -> None:
    async with as_person(workspace, "Ada") as ada:
        assert (await ada.post(f"/api/v1/jobs/{waiting.id}/pause")).status_code == 409
        assert (await ada.patch(f"/api/v1/jobs/{waiting.id}", json={"priority": "batch"})).status_code == 200
        assert (await ada.patch(f"/api/v1/jobs/{waiting.id}", json={"priority": "first"})).status_code == 400
        assert (await ada.post(f"/api/v1/jobs/{waiting.id}/cancel")).json()["data"]["state"] == "cancelled"
        again = (await ada.post(f"/api/v1/jobs/{waiting.id}/retry")).json()["data"]
        assert again["id"] != waiting.id and again["author"] == "Ada"
        assert (await ada.post(f"/api/v1/jobs/{again['id']}/cancel")).status_code == 200


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    code = ended.value.code
    assert isinstance(code, int)
    return code, json.loads(capsys.readouterr().out)


def test_the_command_line_has_the_same_levers(
    make_settings: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings()
    for name, value in {"HOME": settings.home, "STARTER_DIR": settings.starter_dir, "THREADS": 1}.items():
        monkeypatch.setenv(f"LOUPE_{name}", str(value))
    _, made = run_cli(capsys, "analyze", TEXT, "--max-new-tokens", "3", "--positions", "99")
    assert made["error"]["code"] == "bad_positions", made
    _, listed = run_cli(capsys, "jobs", "list", "--state", "failed")
    (job,) = listed["data"]
    assert (job["kind"], job["actions"]) == ("analysis", ["retry"])
    _, lines = run_cli(capsys, "jobs", "logs", job["id"])
    assert lines[-1]["level"] == "error"
    code, again = run_cli(capsys, "jobs", "retry", job["id"])
    assert code != 0 and again["error"]["code"] == "bad_positions", "the retry was not worked on"
    _, shown = run_cli(capsys, "jobs", "show", job["id"])
    assert shown["state"] == "failed"
    assert run_cli(capsys, "jobs", "cancel", job["id"])[0] == 2
