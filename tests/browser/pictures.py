"""Take the documents' screenshots of the shipped starter: `make pictures`."""

import os
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from loupe.app.settings import Settings, starter_folder
from tests.browser.conftest import READY, start_server, stop_server

IMAGES = Path(__file__).parents[2] / "docs/img"
SHOTS = (
    ("first-page-dark", 1440, 900, "dark"),
    ("first-page-light", 1440, 900, "light"),
    ("first-page-narrow", 390, 844, "dark"),
)


def take(browser: Browser, url: str, name: str, width: int, height: int, theme: str) -> None:
    """One picture of the first page, once its fonts are there."""
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    context.set_default_timeout(240_000)
    page: Page = context.new_page()
    page.goto(url)
    page.wait_for_function(READY)
    if theme == "light":
        page.get_by_test_id("theme").click()
        page.wait_for_selector("body.body--light")
    page.mouse.move(0, 0)
    page.evaluate("document.fonts.ready")
    page.wait_for_selector("[data-testid=device-chip] .ready")
    page.screenshot(path=IMAGES / f"{name}.png")
    context.close()


def main() -> None:
    """Serve the shipped starter from a fresh data directory and take every picture."""
    path = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        server = start_server(Path(home), starter_folder(Settings()))
        try:
            browser = playwright.chromium.launch(executable_path=path, args=flags, timeout=240_000)
            for name, width, height, theme in SHOTS:
                take(browser, server.url, name, width, height, theme)
            browser.close()
        finally:
            stop_server(server)


if __name__ == "__main__":
    main()
