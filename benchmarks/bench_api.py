"""The API under load: many clients at once, watchers beside them, and how the event loop feels meanwhile.

Prints one JSON document. The server (pages, API, engine, shipped starter) runs in this process with a probe on its
event loop; the clients run in a process of their own, so that they do not slow what they measure.

- `first_explanation`: from sending a request to the first explained position, one request at a time, warm
- `calls`: answers that need no device work, idle and while analysing, with watchers connected
- `events`: from the moment an event was made to its arrival at each watcher
- `browsers`: pages that are open beside all this, each on the socket that a browser would hold; what they were sent
- `load`: C clients that each want N analyses, with a bound on the queue; every accepted one must end, every refused one
  must say when to come back, and the results must be those that one client gets alone
- `loop_lag`: how late the event loop runs what is due
"""

import argparse
import ast
import asyncio
import json
import math
import os
import re
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

WORDS = ["fox", "lantern", "river", "crow", "basket", "mill", "letter", "boat", "garden", "stone"]
CALLS = ("/health", "/runs?limit=20", "/models", "/analyses", "/system", "/jobs?limit=20")
PAGES = ("/system", "/", "/history", "/library")
PROBE_S = 0.005
DTYPE = "fp32"  # of what is compared: in the starter's fp16 a batch of another size rounds in the third digit


def text(number: int) -> str:
    """A short text of its own, so that no answer comes from the cache."""
    one, two = WORDS[number % 10], WORDS[number // 10 % 10]
    return f"Number {number}: the {one} lost a {two} and went home."


def spread(seconds: Iterable[float]) -> dict[str, float]:
    """Count, median, p95, p99 and the longest, in milliseconds."""
    values = sorted(seconds)
    if not values:
        return {"count": 0}
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: values[min(len(values) - 1, math.ceil(q * len(values)) - 1)] for name, q in at.items()}
    return {"count": len(values)} | {n: round(1000 * v, 1) for n, v in (found | {"max": values[-1]}).items()}


# The server's side


async def serve(options: argparse.Namespace) -> dict[str, Any]:
    """Serve until the clients are done; returns what they and the probe measured."""
    import uvicorn

    from loupe.app import logging as app_logging
    from loupe.app.server import build
    from loupe.app.settings import Settings

    with tempfile.TemporaryDirectory() as home:
        settings = Settings(
            home=Path(home),
            port=0,
            queue_limit=options.queue,
            live_runs_kept=1000,
            concurrent_per_client=10_000,
            rate_per_minute=10_000_000,
            rate_burst=1_000_000,
            log_level="ERROR",
        )
        app_logging.configure(settings)
        _, guarded = build(settings)
        config = uvicorn.Config(guarded, port=0, log_config=None, access_log=False, timeout_keep_alive=600)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event to wait for
            await asyncio.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        lags: list[float] = []
        probing = asyncio.create_task(probe(lags))
        measured = await drive(port, options, lags)
        probing.cancel()
        server.should_exit = True
        await serving
    return measured


async def probe(lags: list[float]) -> None:
    """Note how late this is woken, again and again."""
    while True:
        due = time.perf_counter() + PROBE_S
        await asyncio.sleep(PROBE_S)
        lags.append(time.perf_counter() - due)


async def drive(port: int, options: argparse.Namespace, lags: list[float]) -> dict[str, Any]:
    """Run the clients; each line they print ends a phase, so that the loop's lag is known for each."""
    command = [sys.executable, __file__, "--drive", str(port), *sys.argv[1:]]
    clients = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, limit=2**24)
    assert clients.stdout is not None
    found: dict[str, Any] = {}
    async for line in clients.stdout:
        phase = json.loads(line)
        found |= phase | {f"loop_lag_{name}": spread(lags) for name in phase}
        lags.clear()
    if await clients.wait():
        raise SystemExit("the clients failed")
    return found


# The clients' side


async def clients(port: int, options: argparse.Namespace) -> None:
    """All phases, each printed as one line."""
    import httpx

    base = f"http://127.0.0.1:{port}"
    limits = httpx.Limits(max_connections=options.clients + 10)
    async with httpx.AsyncClient(base_url=base, timeout=600, limits=limits, trust_env=False) as http:
        while (await http.get("/health/ready")).status_code != 200:  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0.2)
        await ended(http, await asked(http, text(9_000_001)))
        tell("first_explanation", await first_explanations(http, port, options.repeats))
        tell("calls_idle", await calls(http, options.repeats))
        alone = [await outcome(http, await asked(http, text(n), dtype=DTYPE)) for n in range(options.same)]
        delays: list[float] = []
        watchers = [asyncio.create_task(watch(port, n, delays)) for n in range(options.watchers)]
        sent: Counter[str] = Counter()
        open_pages = [asyncio.create_task(browse(port, PAGES[n % len(PAGES)], sent)) for n in range(options.browsers)]
        while sent["pages"] < options.browsers:
            failed = next((page for page in open_pages if page.done()), None)
            if failed is not None:
                failed.result()
                raise RuntimeError("a page lost its socket before it was shown")
            await asyncio.sleep(0.1)
        tell("load", await load(http, options, alone))
        tell("events", spread(delays))
        lost = sum(page.done() for page in open_pages)
        tell("browsers", {**sent, "lost": lost})
        for watcher in (*watchers, *open_pages):
            watcher.cancel()
        await asyncio.gather(*watchers, *open_pages, return_exceptions=True)


def tell(name: str, value: Any) -> None:
    """End a phase."""
    sys.stdout.write(json.dumps({name: value}) + "\n")
    sys.stdout.flush()


async def asked(http: Any, words: str, **more: Any) -> str:
    """Send an analysis; returns its id."""
    answer = await http.post("/api/v1/analyses", json={"text": words, "max_new_tokens": 48} | more)
    answer.raise_for_status()
    return answer.json()["data"]["id"]


async def ended(http: Any, id: str) -> dict[str, Any]:
    """Its status once it has ended."""
    while True:
        status = (await http.get(f"/api/v1/analyses/{id}")).json()["data"]
        if status["state"] not in ("queued", "running"):
            return status
        await asyncio.sleep(0.1)


async def outcome(http: Any, id: str) -> list[dict[str, Any]]:
    """The rows of a finished analysis. Raises RuntimeError when it did not finish."""
    status = await ended(http, id)
    if status["state"] != "done":
        raise RuntimeError(f"{id} ended as {status}")
    return (await http.get(f"/api/v1/runs/{id}/result")).json()["data"]


async def first_explanations(http: Any, port: int, repeats: int) -> dict[str, float]:
    """From the request to the first position, heard over a WebSocket, with nothing else going on."""
    from websockets.asyncio.client import connect

    took = []
    async with connect(f"ws://127.0.0.1:{port}/api/v1/events?topics=analysis") as socket:
        await socket.recv()
        for number in range(repeats):
            began = time.perf_counter()
            id = await asked(http, text(1000 + number))
            while True:
                told = json.loads(await socket.recv())
                if told.get("name") == "position" and told["data"]["id"] == id:
                    break
            took.append(time.perf_counter() - began)
            await ended(http, id)
    return spread(took)


async def calls(http: Any, repeats: int) -> dict[str, Any]:
    """Answers that need no device work."""
    took: dict[str, list[float]] = {path: [] for path in CALLS}
    for _ in range(repeats):
        for path, times in took.items():
            began = time.perf_counter()
            answer = await http.get(f"/api/v1{path}")
            times.append(time.perf_counter() - began)
            assert answer.status_code == 200, (path, answer.text)
    return {"all": spread(t for times in took.values() for t in times)} | {p: spread(t) for p, t in took.items()}


async def watch(port: int, number: int, delays: list[float]) -> None:
    """Follow all events, over a WebSocket or as server-sent events, and note how old each is."""
    if number % 2:
        await watch_sse(port, delays)
        return
    from websockets.asyncio.client import connect

    async with connect(f"ws://127.0.0.1:{port}/api/v1/events", max_size=None) as socket:
        async for message in socket:
            told = json.loads(message)
            if told["type"] == "event":
                delays.append(age(told["timestamp"]))


async def watch_sse(port: int, delays: list[float]) -> None:
    """The same over HTTP."""
    import httpx

    async with (
        httpx.AsyncClient(timeout=None, trust_env=False) as http,  # noqa: S113 - the stream does not end
        http.stream("GET", f"http://127.0.0.1:{port}/api/v1/events") as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                delays.append(age(json.loads(line[6:])["timestamp"]))


async def browse(port: int, path: str, sent: "Counter[str]") -> None:
    """Hold a page open as a browser does: its HTML, then its socket, pings answered, updates counted."""
    import httpx
    from websockets.asyncio.client import connect

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as http:
        page = await http.get(path, headers={"Accept": "text/html"})
        cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    found = re.search(r"query: (\{[^}]*\})", page.text)
    assert page.status_code == 200 and found, (path, page.status_code)
    named = {"document_id": str(uuid.uuid4()), "tab_id": str(uuid.uuid4()), "implicit_handshake": "true"}
    query = urlencode(ast.literal_eval(found[1]) | named | {"EIO": "4", "transport": "websocket"})
    address = f"ws://127.0.0.1:{port}/_nicegui_ws/socket.io/?{query}"
    async with connect(address, additional_headers={"Cookie": cookies}, max_size=None) as socket:
        await socket.recv()
        await socket.send("40")
        async for message in socket:
            assert not str(message).startswith("44"), f"{path} refuses its socket: {message}"
            if message == "2":
                await socket.send("3")
                continue
            sent["pages"] += str(message).startswith("40")
            sent["messages"] += 1
            sent["bytes"] += len(message)


def age(timestamp: str) -> float:
    """Seconds since an event was made: both clocks are this machine's, the event's is cut to milliseconds."""
    return max(0.0, time.time() - datetime.fromisoformat(timestamp).timestamp())


async def load(http: Any, options: argparse.Namespace, alone: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Every client sends all it wants at once; meanwhile plain calls are timed."""
    counts = {"accepted": 0, "refused": 0, "refused_without_retry_after": 0, "unexpected": 0}
    sent: list[tuple[int, str]] = []
    sending: list[float] = []

    async def client(number: int) -> None:
        for each in range(options.each):
            key = (number * options.each + each) % options.same
            began = time.perf_counter()
            body = {"text": text(key), "max_new_tokens": 48, "name": f"{number}.{each}", "seed": number, "dtype": DTYPE}
            answer = await http.post("/api/v1/analyses", json=body)
            sending.append(time.perf_counter() - began)
            if answer.status_code == 202:
                counts["accepted"] += 1
                sent.append((key, answer.json()["data"]["id"]))
            elif answer.status_code == 429:
                counts["refused"] += 1
                counts["refused_without_retry_after"] += "retry-after" not in answer.headers
            else:
                counts["unexpected"] += 1

    began = time.perf_counter()
    await asyncio.gather(*(client(n) for n in range(options.clients)))
    busy = await calls(http, max(5, options.repeats // 2))
    found = await asyncio.gather(*(outcome(http, id) for _, id in sent), return_exceptions=True)
    took = time.perf_counter() - began
    same = sum(
        not isinstance(f, BaseException) and equal(f, alone[key]) for (key, _), f in zip(sent, found, strict=True)
    )
    ended_well = sum(not isinstance(f, BaseException) for f in found)
    rows = sum(len(f) for f in found if not isinstance(f, BaseException))
    rates = {"seconds": round(took, 2), "positions_per_s": round(rows / took, 1)}
    told = {"sending_ms": spread(sending), "calls_while_analysing_ms": busy["all"]}
    return counts | {"finished": ended_well, "equal_to_alone": same} | rates | told


def equal(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """The same words at the same positions, and scores equal up to rounding (batches differ)."""
    if [(r["position"], r["explanation"]) for r in one] != [(r["position"], r["explanation"]) for r in other]:
        return False
    names = ("fve_nrm", "cosine", "mse", "kl")
    pairs = [(a[n], b[n]) for a, b in zip(one, other, strict=True) for n in names if n in a and n in b]
    return all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4) for a, b in pairs)


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--each", type=int, default=4, help="analyses that each client wants")
    parser.add_argument("--queue", type=int, default=100, help="bound of the queue")
    parser.add_argument("--same", type=int, default=20, help="different texts, each also analysed alone")
    parser.add_argument("--watchers", type=int, default=20, help="programs that follow the event stream")
    parser.add_argument("--browsers", type=int, default=20, help="open pages")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--drive", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        asyncio.run(clients(options.drive, options))
        return
    before = os.getloadavg()
    found = asyncio.run(serve(options))
    about = {k: v for k, v in vars(options).items() if k != "drive"}
    machine = {"cpus": os.cpu_count(), "load_before": before, "load_after": os.getloadavg()}
    sys.stdout.write(json.dumps({"benchmark": "api", "machine": machine, "options": about} | found, indent=2) + "\n")


if __name__ == "__main__":
    main()
