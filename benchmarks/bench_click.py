"""From a click to the first explanation one can read, in Chromium, and how late the event loop is with people watching.

Prints one JSON document. The server is Loupe as people start it, with the shipped starter, in a process of its own.

- `cold`: from starting the process to its first page drawn in a browser that is open; and, with a click at that
  moment, to the first explanation
- `click_s`: the same click on a warm server, in a browser that is open already, one analysis after another
- `loop_lag_analysing_ms`, `loop_lag_watched_ms`: how late the loop runs what is due, alone with an analysis, and while
  `--sessions` browsers have that run open (page and socket of each, as the browser's script would hold them)
- `long`: a stored run of 2 000 tokens: bytes of its page, seconds to draw it, elements of its text and of a table page
"""

import argparse
import asyncio
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

GOALS = {
    "click_s": 2.0,
    "first_page_s": 5.0,
    "cold_explanation_s": 10.0,
    "loop_lag_p99_ms": 50.0,
    "page_bytes": 300_000,
}
PROBE_S = 0.005
PATIENCE_S = 600
TOKENS = 2000
READY = "document.body && document.body.dataset.ready === 'true'"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
CLICK = """(name) => new Promise((told) => {
  const shown = () => (document.querySelector('[data-testid=run-title]')?.textContent ?? '').includes(name)
    && document.querySelector('.strip .tok:is(.done, .doubtful)')
    && document.querySelector('[data-testid=explanation]');
  const began = performance.now();
  const look = () => shown() ? told((performance.now() - began) / 1000) : requestAnimationFrame(look);
  document.querySelector('[data-testid=explain]').click();
  look();
})"""


def text(number: int) -> str:
    """A short story of its own, so that no answer comes from the cache."""
    return f"Tale {number}. The fox lost her lantern by the river, and a crow took it to the old mill."


def spread(values: Iterable[float], factor: float = 1.0, digits: int = 3) -> dict[str, float]:
    """Count, median, p95, p99 and the largest."""
    known = sorted(values)
    if not known:
        return {"count": 0}
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    found = {name: known[max(0, math.ceil(share * len(known)) - 1)] for name, share in at.items()}
    return {"count": len(known)} | {name: round(factor * value, digits) for name, value in found.items()}


# The server: Loupe with a probe on its loop


async def probed(file: Path) -> None:
    """Note how late this is woken, in milliseconds, one number a line."""
    with file.open("a", buffering=1) as notes:
        while True:
            due = time.perf_counter() + PROBE_S
            await asyncio.sleep(PROBE_S)
            notes.write(f"{1000 * (time.perf_counter() - due):.2f}\n")


def serve(lags: Path) -> None:
    """`loupe serve`, with the probe beside it."""
    import uvicorn

    from loupe.engine import garbage

    garbage.hold()  # as `loupe serve` does
    from loupe.app import server
    from loupe.app.settings import Settings

    started = uvicorn.Server.startup

    async def startup(self: uvicorn.Server, sockets: Any = None) -> None:
        await started(self, sockets)
        self.probing = asyncio.create_task(probed(lags))  # pyright: ignore[reportAttributeAccessIssue] - kept alive

    uvicorn.Server.startup = startup  # pyright: ignore[reportAttributeAccessIssue] - the probe's way in
    server.serve(Settings())


@contextmanager
def running(root: Path, starter: Path) -> Iterator[tuple[str, Path, float]]:
    """Start the server; gives its address, the probe's notes, and when the process was started."""
    home, lags = root / "home", root / "lags.txt"
    lags.touch()
    env = os.environ | {"LOUPE_HOME": str(home), "LOUPE_STARTER_DIR": str(starter), "LOUPE_PORT": "0"}
    env |= {"LOUPE_RATE_BURST": "1000000", "LOUPE_RATE_PER_MINUTE": "1000000", "LOUPE_LOG_LEVEL": "ERROR"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(lags)], env=env)  # noqa: S603 - ourselves
    try:
        holder = home / "holder.json"
        while not (holder.exists() and (said := json.loads(holder.read_text() or "{}")).get("url")):
            if process.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.02)
        yield said["url"], lags, began
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def with_long_run(folder: Path) -> Path:
    """The shipped starter with one more sample: its first, repeated to 2 000 tokens."""
    from loupe.app.settings import Settings, starter_folder

    shipped = starter_folder(Settings())
    folder.mkdir(parents=True)
    for part in ("model", "nla"):
        (folder / part).symlink_to((shipped / part).resolve())
    shutil.copytree(shipped / "runs", folder / "runs")
    sample: dict[str, Any] = json.loads(min((shipped / "runs").glob("*.json")).read_text())
    rows, tokens = sample["data"], sample["metadata"]["tokens"]
    sample["data"] = [rows[i % len(rows)] | {"position": i} for i in range(TOKENS)]
    sample["metadata"]["tokens"] = [tokens[i % len(tokens)] for i in range(TOKENS)]
    (folder / "runs/90-long.json").write_text(json.dumps(sample))
    return folder


# What is measured


def opened(browser: Browser, url: str) -> Page:
    """A page that is ready."""
    page = browser.new_page(reduced_motion="reduce", viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(url)
    page.wait_for_function(READY)
    return page


def click(page: Page, number: int) -> float:
    """Seconds from the click to the first explanation on the screen."""
    page.get_by_test_id("text").fill(text(number))
    page.wait_for_function("() => !document.querySelector('[data-testid=explain]').disabled")
    page.wait_for_timeout(400)  # the field tells the server after a pause
    return page.evaluate(CLICK, f"Tale {number}.")


def ended(page: Page) -> None:
    page.get_by_text("Done in").wait_for()


def cold(browser: Browser, url: str, began: float) -> dict[str, float]:
    """The first page, and the first explanation after a click at once."""
    page = opened(browser, url)
    first_page = time.perf_counter() - began
    took = click(page, 0)
    since = time.perf_counter() - began
    ended(page)
    page.close()
    return {"first_page_s": round(first_page, 2), "click_s": round(took, 2), "explanation_s": round(since, 2)}


def long_run(browser: Browser, url: str) -> dict[str, float]:
    """What a stored run of 2 000 tokens weighs."""
    size = len(httpx.get(f"{url}/samples/90-long", timeout=PATIENCE_S, trust_env=False).content)
    began = time.perf_counter()
    page = opened(browser, f"{url}/samples/90-long")
    page.locator(f"#tok-{TOKENS - 1}").wait_for(state="attached")
    drawn = time.perf_counter() - began
    rows = page.locator("[data-testid=token-strip] > *").count()
    page.get_by_test_id("view-table").click()
    table = page.locator("[data-testid=result-table] tbody > *")
    table.first.wait_for()
    listed = table.count()
    page.close()
    return {"page_bytes": size, "drawn_s": round(drawn, 2), "elements_of_tokens": rows, "elements_of_table": listed}


def noted(lags: Path, since: int) -> dict[str, float]:
    return spread((float(line) for line in lags.read_text()[since:].split()), digits=1)


async def watch(url: str, path: str, counts: list[int]) -> None:
    """One browser session without the browser: its page, and its socket for as long as this runs."""
    from websockets.asyncio.client import connect

    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as http:
        page = (await http.get(f"{url}{path}")).text
    client = re.search(r"client_id[^0-9a-f]{1,12}([0-9a-f-]{36})", page)
    assert client, "the page names no client"
    asked = f"client_id={client[1]}&tab_id={uuid4()}&document_id={uuid4()}&next_message_id=0&implicit_handshake=true"
    socket_url = f"{url.replace('http', 'ws', 1)}/_nicegui_ws/socket.io/?EIO=4&transport=websocket&{asked}"
    async with connect(socket_url, max_size=None, open_timeout=PATIENCE_S) as socket:
        async for message in socket:
            said = str(message)
            if said.startswith("0"):
                await socket.send("40")
            elif said == "2":
                await socket.send("3")
            elif said.startswith("42"):
                counts.append(len(said))


async def watched(url: str, sessions: int, number: int) -> dict[str, int]:
    """Let that many sessions open one running analysis and follow it to its end."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S, trust_env=False) as http:
        words = " ".join(text(number + n) for n in range(6))
        id = (await http.post("/api/v1/analyses", json={"text": words})).json()["data"]["id"]
        counts: list[int] = []
        watching = [asyncio.create_task(watch(url, f"/runs/{id}", counts)) for _ in range(sessions)]
        while (await http.get(f"/api/v1/analyses/{id}")).json()["data"]["state"] in ("queued", "running"):  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.2)
        for task in watching:
            task.cancel()
        failed = [e for e in await asyncio.gather(*watching, return_exceptions=True) if isinstance(e, Exception)]
    if failed:
        raise failed[0]
    return {"messages": len(counts), "bytes": sum(counts)}


def launched(playwright: Playwright) -> Browser:
    """A browser, with a page drawn once."""
    chromium = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=PATIENCE_S * 1000)
    browser.new_page().close()
    return browser


def clicks(options: argparse.Namespace, browser: Browser, server: tuple[str, Path, float]) -> dict[str, Any]:
    """What a browser shows: cold, a long run, and click after click."""
    url, lags, began = server
    found: dict[str, Any] = {"cold": cold(browser, url, began), "long": long_run(browser, url)}
    page = opened(browser, url)
    since, took = lags.stat().st_size, []
    for number in range(1, options.repeats + 1):
        took.append(click(page, number))
        ended(page)
    return found | {"click_s": spread(took), "loop_lag_analysing_ms": noted(lags, since)}


def measure(options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """All of it, with one server from cold to warm; the browser is there before the server starts."""
    starter = with_long_run(root / "starter")
    with ExitStack() as stack:
        with sync_playwright() as playwright:
            browser = launched(playwright)
            server = stack.enter_context(running(root, starter))
            found = clicks(options, browser, server)
            browser.close()
        url, lags, _ = server
        since = lags.stat().st_size
        found["watched"] = asyncio.run(watched(url, options.sessions, 1000))
        return found | {"loop_lag_watched_ms": noted(lags, since)}


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10, help="clicks on the warm server")
    parser.add_argument("--sessions", type=int, default=20, help="browser sessions that watch one run")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as root:
        found = measure(options, Path(root))
    machine = {"cpus": os.cpu_count(), "load_before": before, "load_after": os.getloadavg()}
    asked = {"repeats": options.repeats, "sessions": options.sessions}
    about = {"benchmark": "click", "machine": machine, "options": asked, "goals": GOALS}
    sys.stdout.write(json.dumps(about | found, indent=2) + "\n")


if __name__ == "__main__":
    main()
