"""Many clients at once: what is accepted ends, what is refused says when to come back, and nobody's answer changes.

The full size is `benchmarks/bench_api.py`.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from loupe.app.api.application import build_api
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from tests.app.sockets import connected

TEXTS = ["The fox ran home.", "A crow sang.", "Mila lost her lantern."]
CLIENTS, BOUND = 12, 5


def client_of(workspace: Workspace) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build_api(workspace), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://loupe")


def body(number: int) -> dict[str, Any]:
    return {"text": TEXTS[number % len(TEXTS)], "max_new_tokens": 6, "best_of": 2, "temperature": 1, "seed": number}


async def outcome(api: httpx.AsyncClient, workspace: Workspace, id: str) -> list[dict[str, Any]]:
    await workspace.analyses.wait(id)
    return (await api.get(f"/api/v1/runs/{id}/result")).json()["data"]


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """The same words; scores up to rounding, since a batch adds in another order."""
    words = [[(r["position"], r["explanation"]) for r in rows] for rows in (one, other)]
    scores = zip((r["mse"] for r in one), (r["mse"] for r in other), strict=True)
    return words[0] == words[1] and all(math.isclose(a, b, rel_tol=1e-4) for a, b in scores)


async def test_every_accepted_request_ends_as_it_would_alone_and_the_rest_is_told_to_come_back(
    make_settings: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with open_workspace(make_settings(queue_limit=BOUND)) as workspace, client_of(workspace) as api:
        answers = await asyncio.gather(*(api.post("/api/v1/analyses", json=body(n)) for n in range(CLIENTS)))
        accepted = {n: a.json()["data"]["id"] for n, a in enumerate(answers) if a.status_code == 202}
        refused = [a for a in answers if a.status_code != 202]
        crowded = {n: await outcome(api, workspace, id) for n, id in accepted.items()}
    assert len(accepted) == BOUND and len(refused) == CLIENTS - BOUND
    for answer in refused:
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["code"] == "queue_full" and answer.json()["error"]["retryable"]
    alone_home = tmp_path_factory.mktemp("alone") / "home"
    async with open_workspace(make_settings(home=alone_home)) as workspace, client_of(workspace) as api:
        for number, found in crowded.items():
            id = (await api.post("/api/v1/analyses", json=body(number))).json()["data"]["id"]
            assert same(found, await outcome(api, workspace, id)), f"client {number} got another answer in the crowd"


async def test_watchers_hear_every_event_once_and_in_order_whatever_their_way(workspace: Workspace) -> None:
    app = build_api(workspace)

    async def watch(numbers: list[int], ready: asyncio.Event) -> None:
        async with connected(app, "/api/v1/events?topics=analysis") as socket:
            await socket.until("hello")
            ready.set()
            while (event := await socket.until("event"))["name"] != "done":
                numbers.append(event["number"])
            numbers.append(event["number"])

    heard: list[list[int]] = [[] for _ in range(8)]
    readies = [asyncio.Event() for _ in heard]
    watching = [asyncio.create_task(watch(n, r)) for n, r in zip(heard, readies, strict=True)]
    await asyncio.gather(*(ready.wait() for ready in readies))
    async with client_of(workspace) as api:
        id = (await api.post("/api/v1/analyses", json=body(0))).json()["data"]["id"]
        await workspace.analyses.wait(id)
    await asyncio.gather(*watching)
    assert all(numbers == heard[0] for numbers in heard) and heard[0] == sorted(set(heard[0]))


async def test_a_refused_request_leaves_nothing_behind(workspace: Workspace, api: httpx.AsyncClient) -> None:
    before = (await workspace.runs.list()).total
    for bad in ({"text": ""}, {"text": "a", "best_of": 99, "temperature": 1}, {"text": "a", "model": "nobody"}):
        assert (await api.post("/api/v1/analyses", json=bad)).status_code in (400, 404)
    assert (await workspace.runs.list()).total == before and not workspace.analyses.live
