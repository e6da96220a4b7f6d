"""Log lines: for people or machines, with the request and job they belong to, and nothing private."""

import json
import logging
from collections.abc import Callable

import httpx
import pytest

from loupe.app import logging as app_logging
from loupe.app.logging import JsonLines, TextLines
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace
from tests.app.conftest import analysed


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("loupe.app", logging.INFO, "file.py", 1, message, (), None)
    vars(made).update(extra)
    return made


def test_a_json_line_carries_ids_and_fields() -> None:
    line = JsonLines().format(record("done", request_id="r1", job_id="j1", fields={"positions": 3}))
    told = json.loads(line)
    assert (told["message"], told["level"]) == ("done", "info")
    assert (told["request_id"], told["job_id"], told["positions"]) == ("r1", "j1", 3)


def test_a_text_line_reads_and_leaves_absent_ids_out() -> None:
    line = TextLines().format(record("done", request_id=None, fields={"positions": 3}))
    assert line.endswith("info    loupe.app: done  positions=3")


@pytest.fixture
def root_logger() -> object:
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = kept, level
    logging.captureWarnings(capture=False)


def test_a_log_line_knows_its_request(root_logger: object, capsys: pytest.CaptureFixture[str]) -> None:
    app_logging.configure(Settings(log_format="json"))
    token = app_logging.request_id.set("abc")
    logging.getLogger("loupe.test").info("hello")
    app_logging.request_id.reset(token)
    assert json.loads(capsys.readouterr().err)["request_id"] == "abc"


async def test_texts_and_explanations_are_never_logged(
    api: httpx.AsyncClient, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="loupe")
    secret = "Xylophonia whispered"
    id, _ = await analysed(api, workspace, text=secret)
    result = (await api.get(f"/api/v1/runs/{id}/result")).json()
    told = "\n".join(r.getMessage() + str(getattr(r, "fields", "")) for r in caplog.records)
    assert "Xylophonia" not in told
    for row in result["data"]:
        words = row["explanation"].strip()
        assert len(words) < 8 or words not in told


async def test_an_unexpected_failure_is_logged_once_and_told_without_its_text(
    api: httpx.AsyncClient, workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a private detail")

    monkeypatch.setattr(workspace.runs, "get", broken)
    answer = await api.get("/api/v1/runs/00000000000000000000")
    assert answer.status_code == 500 and "private" not in answer.text
    assert answer.json()["error"]["code"] == "internal_error"
    assert sum("failed" in r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR) == 1


def test_the_exit_code_follows_from_the_status(make_settings: Callable[..., Settings]) -> None:
    from loupe.app.errors import exit_code, status_of_code

    assert [exit_code(status_of_code(c)) for c in ("empty_text", "sidecar_drift", "store_full", "queue_full", "?")] == [
        2,
        3,
        5,
        4,
        1,
    ]
