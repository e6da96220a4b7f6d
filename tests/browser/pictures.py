"""Take the documents' screenshots of the shipped starter, all of those that README and guide show: `make pictures`."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from loupe.app.settings import Settings, starter_folder
from tests.browser.conftest import READY, Server, start_server, stop_server

IMAGES = Path(__file__).parents[2] / "docs/img"
STORY = (
    'Ada stood in the kitchen with a red lantern, and Tom stood beside Ada. "Take it, Tom," said Ada, and Tom carried '
    'the lantern to the garden. "Now give it back, Tom," said Ada.'
)
SAMPLED = {"text": STORY, "best_of": 4, "temperature": 0.6}
OVERLAID = "() => [...loupe.charts.drawn.values()].some((each) => (each.series || []).some((line) => line.other))"


class Shot(NamedTuple):
    """A picture: its name (which ends by its theme), the page, the size, and what is done before it is taken."""

    name: str
    path: str
    width: int = 1440
    height: int = 900
    before: Callable[[Page], object] = lambda page: None


def keep_a_token(page: Page) -> None:
    page.locator("#tok-40").click()
    page.get_by_test_id("release").wait_for()


def overlay_the_other(page: Page) -> None:
    page.get_by_test_id("overlay").click()
    page.get_by_role("option").first.click()
    page.keyboard.press("Escape")
    page.wait_for_function(OVERLAID)


class Made(NamedTuple):
    """Ids of what is shown: two runs, two trainings, the dataset they read and its token rows."""

    runs: tuple[str, str]
    trainings: tuple[str, str]
    dataset: str
    rows: str


def shots(made: Made) -> tuple[Shot, ...]:
    """Every picture."""
    (one, other), (first, second) = made.runs, made.trainings
    return (
        Shot("first-page-dark", "/"),
        Shot("first-page-light", f"/runs/{one}?position=17"),
        Shot("first-page-narrow-dark", "/", 420, 900, before=keep_a_token),
        Shot("compare-dark", f"/compare?a={one}&b={other}", height=820),
        Shot("history-light", "/history", height=620),
        Shot("library-dark", "/library", height=820),
        Shot("dataset-light", f"/training/datasets?open={made.dataset}", height=1100),
        Shot("training-form-dark", f"/training/new?tokens={made.rows}", height=1100),
        Shot("training-dark", f"/training/{second}", height=1500),
        Shot("training-light", f"/training/{second}", height=1500, before=overlay_the_other),
        Shot("training-narrow-dark", f"/training/{first}", 420, 1100),
        Shot("trainings-dark", "/training", height=1000),
        Shot("system-light", "/system", height=1000),
    )


def made_by(server: Server) -> Made:
    """Let the server do the work that the pictures show."""
    with httpx.Client(base_url=f"{server.url}/api/v1", trust_env=False, timeout=600) as http:
        ask = Asking(http)
        one, other = (ask.work("/analyses", SAMPLED | {"seed": n, "name": f"The lantern, seed {n}"}) for n in (1, 2))
        dataset = http.get("/datasets").json()["data"][0]["id"]
        ask.work(f"/datasets/{dataset}/tokenisations", {"max_tokens": 128, "documents": 4000})
        rows = http.get(f"/datasets/{dataset}/tokenisations").json()["data"][0]["id"]
        first, second = (ask.work("/trainings", training(rows, k)) for k in (16, 32))
    return Made((one, other), (first, second), dataset, rows)


def training(rows: str, k: int) -> dict[str, Any]:
    """Two SAEs of one pass, long enough for curves."""
    saes = [{"d_sae": width, "options": {"k": k}, "reads": ["blocks.3.resid_post"]} for width in (512, 1024)]
    often = {"log_interval": 5, "evaluation_interval": 50, "checkpoint_interval": 100}
    steps = {"steps": 300, "batch_rows": 512, **often}
    return {"tokenisation": rows, "saes": saes, "name": f"Stories, k = {k}", "training": steps}


@dataclass(frozen=True, slots=True)
class Asking:
    """Work asked for over the API, and waited for."""

    http: httpx.Client

    def work(self, path: str, body: dict[str, Any]) -> str:
        """Ask, wait, and return the job's id."""
        asked = self.http.post(path, json=body).json()["data"]
        id = asked.get("job_id") or asked["id"]
        while (state := self.http.get(f"/jobs/{id}").json()["data"]["state"]) in ("queued", "running"):
            time.sleep(1)
        if state != "done":
            raise SystemExit(f"the work for the pictures ({path}) is {state}")
        return id


def take(browser: Browser, url: str, shot: Shot) -> None:
    """One picture, once its fonts are there."""
    viewport = {"width": shot.width, "height": shot.height}
    context = browser.new_context(viewport=viewport, reduced_motion="reduce")  # pyright: ignore[reportArgumentType] - a ViewportSize
    context.set_default_timeout(240_000)
    page = context.new_page()
    page.goto(url + shot.path)
    page.wait_for_function(READY)
    if shot.name.endswith("-light"):
        page.get_by_test_id("theme").click()
        page.wait_for_selector("body.body--light")
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
            for shot in shots(made_by(server)):
                if not wanted or shot.name in wanted:
                    take(browser, server.url, shot)
            browser.close()
        finally:
            stop_server(server)


if __name__ == "__main__":
    main()
