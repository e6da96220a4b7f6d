"""How the server says it is: metrics, settings with their source, backups, and a bundle with nothing private in it."""

import asyncio
import io
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from loupe.app.api.application import build_api
from loupe.app.services import latency
from loupe.app.services.latency import Latencies
from loupe.app.settings import Settings, sources
from loupe.app.workspace import Workspace, open_workspace
from tests.app.conftest import analysed

PLANTED = "the-planted-prompt-7731"


async def test_metrics_are_prometheus_text(api: httpx.AsyncClient, workspace: Workspace) -> None:
    await workspace.engine.device()
    await api.get("/api/v1/jobs")
    answer = await api.get("/metrics", headers={"Accept": "text/plain"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert {"loupe_info", "loupe_jobs_live", "loupe_device_waiting", "loupe_loop_lag_seconds"} <= set(found)
    waits = {s.labels["what"]: s.value for s in found["loupe_waits"].samples if s.name.endswith("_count")}
    assert waits[latency.API] >= 1, "the answer of the API was not timed"


def test_latency_is_told_with_its_target() -> None:
    kept = Latencies()
    assert kept.rows() == ()
    for milliseconds in range(1, 101):
        kept.note(latency.API, milliseconds / 1000)
    (row,) = kept.rows()
    assert (row.p50_s, row.p95_s, row.longest_s, row.over) == (0.05, 0.095, 0.1, False)
    for _ in range(20):
        kept.note(latency.API, 0.4)
    assert kept.rows()[0].over


def test_every_setting_says_where_its_value_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOUPE_QUEUE_LIMIT", "7")
    monkeypatch.setenv("LOUPE_PORT", "8000")
    found = sources(Settings(host="127.0.0.1", port=8123))
    assert (found["queue_limit"], found["host"], found["port"]) == ("environment", "command line", "command line")
    assert found["dtype"] == "default"


async def test_secrets_are_masked_wherever_settings_are_shown(make_settings: Callable[..., Settings]) -> None:
    secrets = {"password": "hunter2", "api_key": "hunter2", "hub_url": "https://ada:hunter2@hub.example/x"}
    async with open_workspace(make_settings(**secrets)) as workspace:
        rows = {row["name"]: row["value"] for row in workspace.system.setting_rows()}
    assert rows["LOUPE_PASSWORD"] == "set" and rows["LOUPE_HUB_URL"] == "https://…@hub.example/x"
    assert "hunter2" not in json.dumps(rows, default=str)


async def test_a_glance_is_cheap_and_tells_what_the_header_shows(workspace: Workspace) -> None:
    before = workspace.system.glance()
    assert before["engine"] == "absent" and "device" not in before
    await workspace.engine.device()
    workspace.history.look()
    now = workspace.system.glance()
    assert (now["device"], now["waiting"], now["paused"]) == ("cpu", 0, 0)
    assert 0 < now["memory_used_bytes"] <= now["memory_total_bytes"]


async def test_a_backup_is_made_listed_and_verified_as_jobs(api: httpx.AsyncClient, workspace: Workspace) -> None:
    made = (await api.post("/api/v1/system/backups")).json()["data"]
    assert (await workspace.jobs.wait(made["id"])).state == "done"
    (snapshot,) = (await api.get("/api/v1/system/backups")).json()["data"]
    checked = (await api.post(f"/api/v1/system/backups/{snapshot['number']}/verify")).json()["data"]
    assert (await workspace.jobs.wait(checked["id"])).state == "done"
    missing = (await api.post("/api/v1/system/backups/99/verify")).json()["data"]
    assert (await workspace.jobs.wait(missing["id"])).error_code == "backup_error"
    assert (await api.get("/api/v1/system/disk")).json()["data"]["backups"] > 0


async def test_the_bundle_has_what_helps_and_nothing_private(make_settings: Callable[..., Settings]) -> None:
    secrets: dict[str, Any] = {"password": "planted-password", "hub_token": "planted-token"}
    async with open_workspace(make_settings(**secrets)) as workspace:
        transport = httpx.ASGITransport(build_api(workspace, paths_allowed=True), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as api:
            await analysed(api, workspace, text=PLANTED, name="planted-name")
            logging.getLogger("loupe.test").warning("of %s", PLANTED)
            logging.getLogger("somebody.else").warning(PLANTED)
            try:
                raise ValueError(PLANTED)
            except ValueError:
                logging.getLogger("loupe.test").exception("it failed")
            packed = (await api.get("/api/v1/system/diagnostics")).content
        home = str(workspace.store.data_dir.path)
    archive = zipfile.ZipFile(io.BytesIO(packed))
    parts = {name: archive.read(name).decode() for name in archive.namelist()}
    for name, part in parts.items():
        for private in ("planted", PLANTED, home):
            assert private not in part, f"{private} is told in {name}"
    assert {"versions.json", "settings.json", "device.json", "log.json", "storage.json"} <= set(parts)
    lines = json.loads(parts["log.json"])
    failed = next(line for line in lines if line["message"] == "it failed")
    assert failed["exception"] == "ValueError" and failed["frames"]
    assert json.loads(parts["storage.json"])["schema"]
    assert any(row["name"] == "LOUPE_PASSWORD" and row["value"] == "set" for row in json.loads(parts["settings.json"]))


async def test_history_grows_by_itself_and_stops_with_the_workspace(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loupe.app.services import history

    monkeypatch.setattr(history, "EVERY_S", 0.0)
    grown = history.History(workspace.engine)
    grown.start()
    async with asyncio.timeout(60):
        while len(grown.samples) < 2:  # noqa: ASYNC110 - samples announce nothing
            await asyncio.sleep(0)
    await grown.close()
    sample = grown.samples[-1]
    assert sample.process_bytes > 0 and sample.machine_used_bytes < sample.machine_total_bytes


def test_the_command_line_tells_the_same(
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from loupe.app.cli.main import main

    monkeypatch.setenv("LOUPE_HOME", str(make_settings().home))

    def run(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            main(["system", *arguments, "--json"])
        assert ended.value.code == 0
        return json.loads(capsys.readouterr().out)

    assert run("show")["engine"] == "absent"
    assert {row["name"]: row["source"] for row in run("settings")}["LOUPE_HOME"] == "environment"
    assert run("disk")["database"] > 0 and run("backups") == []
    assert run("diagnostics", str(tmp_path / "x.zip"))["bytes"] == (tmp_path / "x.zip").stat().st_size
