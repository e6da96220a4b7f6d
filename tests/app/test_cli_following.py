"""A command that began a job succeeds only when the job came to its end, and takes the job with it when stopped."""

from typing import Any

import httpx
import pytest

from loupe.app.cli.client import Client, Refused
from loupe.app.cli.following import finished, followed

FAILED = {"code": "empty_text", "message": "The text is empty."}


def server(*states: str, error: dict[str, Any] | None = None) -> tuple[Client, list[str]]:
    """A server whose only job is in these states one after the other, and what it was asked to do."""
    asked, waiting = [], list(states)

    def send(method: str, path: str, **_: Any) -> httpx.Response:
        if method == "POST":
            asked.append(path)
            return httpx.Response(200, json={"data": {}})
        state = waiting.pop(0)
        if state == "ctrl-c":
            raise KeyboardInterrupt
        job = {"id": "j", "kind": "tokenisation", "state": state, "done": 0}
        return httpx.Response(200, json={"data": job | ({"error": error} if error else {})})

    return Client(send, remote=True), asked


def test_what_is_done_is_returned() -> None:
    assert finished(server("queued", "done")[0], "j", quiet=True)["state"] == "done"


@pytest.mark.parametrize("state", ["cancelled", "interrupted", "parked"])
def test_a_job_that_was_ended_by_somebody_is_no_success(state: str) -> None:
    with pytest.raises(Refused, match=f"The tokenisation was {state}"):
        finished(server("running", state)[0], "j", quiet=True)


def test_why_a_job_failed_is_why_the_command_fails() -> None:
    with pytest.raises(Refused) as refused:
        finished(server("failed", error=FAILED)[0], "j", quiet=True)
    assert (refused.value.status, refused.value.problem) == (400, FAILED)


def test_a_paused_job_has_not_ended() -> None:
    assert followed(server("paused", "running", "cancelled")[0], "j", quiet=True)["state"] == "cancelled"


def test_stopping_a_command_cancels_what_it_began_unless_that_outlives_it() -> None:
    for outlives, expected in ((False, ["/api/v1/jobs/j/cancel?confirm=true"]), (True, [])):
        client, asked = server("running", "ctrl-c")
        with pytest.raises(KeyboardInterrupt):
            finished(client, "j", quiet=True, outlives=outlives)
        assert asked == expected
