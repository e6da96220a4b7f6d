"""The server dies in the middle of work and comes back: the open browser finds it by itself, and the work ends."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, TimeoutError, expect

from tests.browser.conftest import PATIENCE_S, READY, Server, lay_out_starter, start_server, stop_server

LONG = {"text": "The fox ran home. " * 36, "max_new_tokens": 60, "kl": False, "salience": "none"}


def a_free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Where the server lives before and after; whatever runs there at the end is stopped."""
    where: dict[str, Any] = {"home": tmp_path / "home", "starter": lay_out_starter(tmp_path / "starter")}
    where["settings"] = {"LOUPE_PORT": a_free_port(), "LOUPE_RATE_BURST": "10000", "LOUPE_THREADS": "1"}
    yield where
    if server := where.get("server"):
        stop_server(server)


def started(place: dict[str, Any]) -> Server:
    place["server"] = start_server(place["home"], place["starter"], **place["settings"])
    return place["server"]


def asked(server: Server, method: str, path: str, **how: Any) -> Any:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=PATIENCE_S) as http:
        answer = http.request(method, f"/api/v1{path}", **how)
    assert answer.status_code < 300, answer.text
    return answer.json()["data"]


def until_state(server: Server, id: str, *wanted: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while (job := asked(server, "GET", f"/jobs/{id}"))["state"] not in wanted:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
    return job


def test_an_open_page_and_its_jobs_survive_a_killed_server(place: dict[str, Any], browser: Browser) -> None:
    server = started(place)
    running = asked(server, "POST", "/analyses", json=LONG)["id"]
    waiting = asked(server, "POST", "/analyses", json=LONG | {"text": "The fox slept."})["id"]
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(f"{server.url}/system")
    page.wait_for_function(READY, timeout=PATIENCE_S * 1000)
    until_state(server, running, "running")
    expect(page.locator(f'[data-id="{running}"][data-testid=job]')).to_be_visible()
    reading = browser.new_page()
    reading.set_default_timeout(PATIENCE_S * 1000)
    reading.goto(f"{server.url}/runs/{running}")
    expect(reading.locator("[role=option]:is(.done, .doubtful)").first).to_be_visible()
    page.evaluate("window.before = true")

    server.process.kill()
    server.process.communicate()
    server = started(place)
    try:
        page.wait_for_function(f"window.before === undefined && document.body && {READY}", timeout=PATIENCE_S * 1000)
    except TimeoutError as error:
        raise AssertionError(f"the page did not come back: {page.url}\n{page.content()[-3000:]}") from error
    for id in (running, waiting):
        until_state(server, id, "done")
        expect(page.locator(f'[data-id="{id}"][data-testid=job]')).to_have_attribute("data-state", "done")
    expect(reading.get_by_test_id("run-kind")).to_have_text("Saved run")
    expect(reading.locator("[role=option]:is(.done, .doubtful)")).to_have_count(reading.get_by_role("option").count())
    reading.close()
    lines = [line["message"] for line in asked(server, "GET", f"/jobs/{running}/logs")]
    assert "taken up again after a restart" in lines
    assert asked(server, "GET", f"/runs/{running}")["state"] == "done"
    page.close()
