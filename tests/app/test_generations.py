"""Replies: streamed while they are written, cancelled at once, and read together with their prompt."""

import asyncio
from itertools import pairwise
from typing import Any

import httpx
import pytest

from loupe.app.workspace import Workspace
from loupe.storage.rows import WorkState

CHAT = [{"role": "user", "content": "Tell me of the fox."}]
SHORT: dict[str, Any] = {"max_new_tokens": 5, "seed": 3}


async def reply_to(api: httpx.AsyncClient, workspace: Workspace, **options: Any) -> dict[str, Any]:
    accepted = await api.post("/api/v1/generations", json=SHORT | options)
    assert accepted.status_code == 202, accepted.text
    return (await workspace.generations.wait(accepted.json()["data"]["id"])).status()


async def test_a_text_is_continued_the_same_way_for_the_same_seed(api: httpx.AsyncClient, workspace: Workspace) -> None:
    first = await reply_to(api, workspace, text="The fox")
    again = await reply_to(api, workspace, text="The fox")
    other = await reply_to(api, workspace, text="The fox", seed=4, temperature=3)
    assert first["state"] == "done" and 0 < first["tokens"] <= 5
    assert first["text"] == again["text"] != other["text"]


async def test_a_reply_is_streamed_piece_by_piece(api: httpx.AsyncClient) -> None:
    lines, pieces = [], []
    body = SHORT | {"messages": CHAT}
    async with api.stream("POST", "/api/v1/generations", json=body, headers={"Accept": "text/event-stream"}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            lines.append(line)
    for name, data in pairwise(lines):
        if name == "event: text":
            pieces.append(httpx.Response(200, content=data.removeprefix("data: ")).json()["text"])
    last = httpx.Response(200, content=next(x for x in reversed(lines) if x.startswith("data: "))[6:]).json()
    assert last["state"] == "done" and "".join(pieces) == last["text"]


async def test_a_generation_is_cancelled_and_keeps_what_it_wrote(api: httpx.AsyncClient, workspace: Workspace) -> None:
    accepted = await api.post("/api/v1/generations", json={"text": "The fox", "max_new_tokens": 1024})
    id = accepted.json()["data"]["id"]
    live = workspace.generations.get(id)
    await anext(workspace.generations.follow(id))
    stopped = await api.post(f"/api/v1/generations/{id}/cancel")
    assert stopped.json()["data"]["state"] == "cancelled" and live.text
    assert (await api.post(f"/api/v1/generations/{id}/cancel")).status_code == 409


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": " "}, "empty_text"),
        ({"text": "a", "max_new_tokens": 100_000}, "bad_option"),
        ({"text": "a", "temperature": -1}, "invalid_request"),
        ({"text": "a", "messages": CHAT}, "invalid_request"),
        ({"text": "a", "prefill": "b"}, "invalid_request"),
        ({"text": "a", "model": "no-such-model"}, "not_found"),
    ],
)
async def test_an_impossible_generation_is_refused_with_its_reason(
    api: httpx.AsyncClient, body: dict[str, Any], code: str
) -> None:
    answer = await api.post("/api/v1/generations", json=body)
    assert answer.status_code < 500 and answer.json()["error"]["code"] == code


async def test_a_reply_is_analysed_together_with_its_prompt(api: httpx.AsyncClient, workspace: Workspace) -> None:
    body = {"messages": CHAT, "reply": SHORT, "positions": "last_turn", "max_new_tokens": 4}
    accepted = await api.post("/api/v1/analyses", json=body)
    live = await workspace.analyses.wait(accepted.json()["data"]["id"])
    assert live.state is WorkState.DONE, live.error
    assert live.result is not None
    about = live.result["metadata"]
    first = about["reply"]["first"]
    assert [turn["role"] for turn in about["turns"]] == ["user", "assistant"]
    assert [row["position"] for row in live.result["data"]] == list(range(first, about["turns"][1]["last"] + 1))
    assert len(about["tokens"]) == first + about["reply"]["tokens"]
    assert live.reply == about["reply"]["text"]


async def test_a_prefill_is_part_of_the_turn_that_goes_on(api: httpx.AsyncClient, workspace: Workspace) -> None:
    body = {"messages": CHAT, "prefill": "The fox", "reply": SHORT, "positions": "reply", "max_new_tokens": 4}
    accepted = await api.post("/api/v1/analyses", json=body)
    live = await workspace.analyses.wait(accepted.json()["data"]["id"])
    assert live.result is not None, live.error
    turn, reply = live.result["metadata"]["turns"][1], live.result["metadata"]["reply"]
    assert turn["role"] == "assistant" and turn["first"] < reply["first"]
    assert live.positions[0] == reply["first"]


async def test_a_cancelled_reply_ends_the_analysis(api: httpx.AsyncClient, workspace: Workspace) -> None:
    body = {"text": "The fox", "reply": {"max_new_tokens": 1024}}
    accepted = await api.post("/api/v1/analyses", json=body)
    id = accepted.json()["data"]["id"]
    written = asyncio.Event()
    stop = workspace.analyses.subscribe(id, lambda live: written.set() if live.reply else None)
    await written.wait()
    stop()
    assert (await workspace.analyses.cancel(id)).state is WorkState.CANCELLED


async def test_positions_of_turns_need_turns(api: httpx.AsyncClient, workspace: Workspace) -> None:
    accepted = await api.post("/api/v1/analyses", json={"text": "The fox ran.", "positions": "last_turn"})
    live = await workspace.analyses.wait(accepted.json()["data"]["id"])
    assert live.error is not None and "last_turn needs a chat" in live.error["message"]


async def test_a_preview_cuts_the_input_and_keeps_nothing(workspace: Workspace) -> None:
    from loupe.app.services.options import AnalysisOptions

    shown = await workspace.analyses.preview(AnalysisOptions.model_validate({"messages": CHAT}))
    assert [turn["role"] for turn in shown.turns] == ["user"] and len(shown.tokens) > 3
    assert workspace.analyses.live == () and (await workspace.runs.list()).total == 0
