"""Behind a proxy that strips a prefix and cuts connections in the middle, WebSockets included."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Server, Visitor, lay_out_starter, start_server, stop_server
from tests.deploy.proxy import CuttingProxy

PREFIX = "/lab/loupe"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CuttingProxy, Server]]:
    root = tmp_path_factory.mktemp("proxied")
    server = start_server(
        root / "home", lay_out_starter(root / "starter"), LOUPE_ROOT_PATH=PREFIX, LOUPE_RATE_BURST="1000"
    )
    with CuttingProxy(urlsplit(server.url).port or 0, PREFIX) as proxy:
        yield proxy, replace(server, url=f"http://127.0.0.1:{proxy.port}{PREFIX}")
    log = stop_server(server)
    assert "Traceback" not in log, log


@pytest.fixture
def server(proxy: tuple[CuttingProxy, Server]) -> Server:
    return proxy[1]


def test_a_page_and_its_links_stay_under_the_prefix(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    hrefs = page.locator("a[href]").evaluate_all("links => links.map(link => link.href)")
    assert hrefs and all(f"{PREFIX}/" in href for href in hrefs), [href for href in hrefs if PREFIX not in href]


def test_a_page_works_on_after_its_socket_was_cut_in_the_middle_of_an_analysis(
    visit: Callable[..., Visitor], proxy: tuple[CuttingProxy, Server]
) -> None:
    visitor = visit()
    page = visitor.open()
    page.get_by_test_id("text").fill("The fox found the lantern by the river and took it home again.")
    page.get_by_test_id("explain").click()
    page.wait_for_url(f"**{PREFIX}/runs/*")
    assert proxy[0].cut() >= 1
    expect(page.get_by_test_id("run-kind")).to_contain_text("Saved run")
    expect(page.locator("#tok-3")).to_be_visible()
    page.locator("#tok-3").click()
    expect(page.locator(".card .head")).to_contain_text("token 3 of")
    visitor.complaints = [said for said in visitor.complaints if "WebSocket" not in said]  # the browser names the cut


def test_a_program_reads_every_event_once_across_cuts(proxy: tuple[CuttingProxy, Server]) -> None:
    with httpx.Client(base_url=proxy[1].url, trust_env=False, timeout=30) as http:
        id = http.post("/api/v1/analyses", json={"text": "The fox ran home.", "max_new_tokens": 4}).json()["data"]["id"]
        seen: list[int] = []
        for _ in range(3):
            with suppress(httpx.RemoteProtocolError):
                for number in events_after(http, seen[-1] if seen else 0):
                    seen.append(number)
                    proxy[0].cut()
        assert len(seen) >= 3 and seen == sorted(set(seen)), "an event came twice, never, or out of order"
        while http.get(f"/api/v1/analyses/{id}").json()["data"]["state"] in ("queued", "running"):
            pass
        assert http.get(f"/api/v1/analyses/{id}").json()["data"]["state"] == "done"


def events_after(http: httpx.Client, number: int) -> Iterator[int]:
    """Numbers of the event stream from `number` on."""
    with http.stream("GET", "/api/v1/events", headers={"Last-Event-ID": str(number)}) as stream:
        for line in stream.iter_lines():
            if line.startswith("id:"):
                yield int(line[3:])
