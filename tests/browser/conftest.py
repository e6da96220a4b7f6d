"""A real server on the starter that ships, and a real Chromium that sees nothing but it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from loupe.app.settings import Settings, starter_folder
from tests.app.sample import sample_run

READY = "document.body?.dataset.ready === 'true'"  # a slow page has no body yet
PATIENCE_S = 240  # a busy machine makes these tests slow, not wrong
expect.set_options(timeout=PATIENCE_S * 1000)


def lay_out_starter(folder: Path) -> Path:
    """What ships, as links; its first sample is a written run instead, whose numbers tests can know."""
    shipped = starter_folder(Settings())
    (folder / "runs").mkdir(parents=True)
    for part in (*shipped.iterdir(), *(shipped / "runs").iterdir()):
        if part.name != "runs":
            (folder / part.relative_to(shipped)).symlink_to(part)
    (folder / "runs/01-the-lost-lantern.json").write_text(json.dumps(sample_run()))
    return folder


@dataclass(slots=True)
class Server:
    """A running `loupe serve`, its address and its environment."""

    url: str
    token: str
    process: subprocess.Popen
    env: dict[str, str]


def start_server(home: Path, starter: Path, **settings: str) -> Server:
    """Start `loupe serve` on a free port and wait until it announces itself."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOUPE_", "NICEGUI_", "PYTEST_"))}
    env = kept | {"LOUPE_HOME": str(home), "LOUPE_STARTER_DIR": str(starter), "LOUPE_PORT": "0", **settings}
    command = [sys.executable, "-m", "loupe.app.cli", "serve"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    holder = home / "holder.json"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if holder.exists() and (said := json.loads(holder.read_text() or "{}")).get("url"):
            return Server(said["url"], said["token"], process, env)
        time.sleep(0.1)
    process.kill()
    assert process.stdout is not None
    raise AssertionError(f"the server did not start:\n{process.stdout.read().decode()}")


def stop_server(server: Server) -> str:
    """Stop it as a person would, and return what it logged."""
    server.process.send_signal(signal.SIGINT)
    try:
        out, _ = server.process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        server.process.kill()
        out, _ = server.process.communicate()
    return out.decode()


@contextmanager
def served(root: Path, **settings: str) -> Iterator[Server]:
    """A server on the starter, ready when the block begins; it must not have logged an error by the end."""
    running = start_server(root / "home", lay_out_starter(root / "starter"), LOUPE_RATE_BURST="10000", **settings)
    try:
        with httpx.Client(base_url=running.url, trust_env=False, timeout=PATIENCE_S) as http:
            deadline = time.monotonic() + PATIENCE_S
            while http.get("/health/ready").status_code != 200 and time.monotonic() < deadline:
                time.sleep(0.2)
        yield running
    finally:
        log = stop_server(running)
    assert " error " not in log and "Traceback" not in log, log


@pytest.fixture(scope="module")  # closed before async tests run: a sync Playwright holds the loop
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all browser tests of a file."""
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")  # closed before async tests run: a sync Playwright holds the loop
def browser() -> Iterator[Browser]:
    """CHROMIUM_PATH, else a chromium on the PATH, else Playwright's own."""
    names = filter(None, [os.environ.get("CHROMIUM_PATH"), "chromium", "chromium-browser", "google-chrome"])
    path = next((found for name in names if (found := shutil.which(name))), None)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=flags, timeout=PATIENCE_S * 1000)
        yield launched
        launched.close()


@dataclass(slots=True)
class Visitor:
    """A browser of its own: opens pages, and remembers what should not have happened."""

    server: Server
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str = "/") -> Page:
        """Open a page and wait until it is ready."""
        page = self.context.new_page()
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.goto(self.server.url + path)
        page.wait_for_function(READY)
        return page


@pytest.fixture
def visit(server: Server, browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Make visitors; at the end none may have seen a console message or asked another host for anything."""
    visitors: list[Visitor] = []

    def make(width: int = 1440, height: int = 900) -> Visitor:
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE_S * 1000)
        visitor = Visitor(server, context)

        def check(route: object) -> None:
            url = route.request.url  # type: ignore[attr-defined]  # Playwright's route
            if not url.startswith((server.url, "data:", "blob:")):
                visitor.complaints.append(f"asked another host: {url}")
                route.abort()  # type: ignore[attr-defined]  # Playwright's route
                return
            route.continue_()  # type: ignore[attr-defined]  # Playwright's route

        context.route("**/*", check)
        visitors.append(visitor)
        return visitor

    yield make
    for visitor in visitors:
        visitor.context.close()
        assert visitor.complaints == []
