"""Take the documents' screenshots of the shipped starter, all of those that README and guide show: `make pictures`."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from loupe.app.settings import Settings, starter_folder
from tests.browser.conftest import READY, Server, start_server, stop_server

IMAGES = Path(__file__).parents[2] / "docs/img"
STORY = "The fox lost her lantern by the river. A crow found it and took it to the mill, where a hungry boy slept."
SAMPLED = {"text": STORY, "best_of": 4, "temperature": 0.6}


class Shot(NamedTuple):
    """A picture: its name, the page, the size, and what is done before it is taken."""

    name: str
    path: str
    width: int = 1440
    height: int = 900
    before: Callable[[Page], object] = lambda page: None


def keep_a_token(page: Page) -> None:
    page.locator("#tok-40").click()
    page.get_by_test_id("release").wait_for()


def shots(server: Server) -> tuple[Shot, ...]:
    """Every picture; two runs that differ in their seed are made for the comparison."""
    one, other = (explained(server, seed) for seed in (1, 2))
    return (
        Shot("first-page-dark", "/"),
        Shot("first-page-narrow", "/", 420, 900, before=keep_a_token),
        Shot("compare-dark", f"/compare?a={one}&b={other}", height=820),
        Shot("library-dark", "/library", height=820),
    )


def explained(server: Server, seed: int) -> str:
    """A finished run of the story; returns its id."""
    with httpx.Client(base_url=f"{server.url}/api/v1", trust_env=False, timeout=600) as http:
        id = http.post("/analyses", json=SAMPLED | {"seed": seed, "name": f"The lost lantern, seed {seed}"}).json()
        id = id["data"]["id"]
        while (state := http.get(f"/analyses/{id}").json()["data"]["state"]) in ("queued", "running"):
            time.sleep(2)
    if state != "done":
        raise SystemExit(f"the run for the pictures is {state}")
    return id


def take(browser: Browser, url: str, shot: Shot) -> None:
    """One picture, once its fonts are there."""
    viewport = {"width": shot.width, "height": shot.height}
    context = browser.new_context(viewport=viewport, reduced_motion="reduce")  # pyright: ignore[reportArgumentType] - a ViewportSize
    context.set_default_timeout(240_000)
    page = context.new_page()
    page.goto(url + shot.path)
    page.wait_for_function(READY)
    shot.before(page)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur()")
    page.evaluate("document.fonts.ready")
    page.wait_for_selector("[data-testid=device-chip] .ready")
    page.screenshot(path=IMAGES / f"{shot.name}.png")
    context.close()


def main() -> None:
    """Serve the shipped starter from a fresh data directory and take every picture, or those that are named."""
    wanted = sys.argv[1:]
    path = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        server = start_server(Path(home), starter_folder(Settings()), LOUPE_RATE_BURST="10000")
        try:
            browser = playwright.chromium.launch(executable_path=path, args=flags, timeout=240_000)
            for shot in shots(server):
                if not wanted or shot.name in wanted:
                    take(browser, server.url, shot)
            browser.close()
        finally:
            stop_server(server)


if __name__ == "__main__":
    main()
