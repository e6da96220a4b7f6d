"""The event stream, at one address: server-sent events over HTTP, or one JSON object a message over a WebSocket.

Both number their events, resume after the last number a client saw, and break a silence of 30 s with a ping.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query, WebSocket
from starlette.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect

from loupe.app.api.context import Here
from loupe.app.errors import describe
from loupe.app.services.events import TOPICS, Event
from loupe.app.workspace import Workspace
from loupe.engine.errors import BadInput, BadOption

router = APIRouter(prefix="/events", tags=["events"])

PING_S = 30
NUMBER = re.compile(r"[0-9]{1,15}")

SSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The stream. It does not end by itself.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 1795343000001\nevent: analysis.done\ndata: {"topic":"analysis","name":"done",...}\n\n',
            }
        },
    }
}


def _topics(
    topics: Annotated[str, Query(description="Comma-separated: job, training, analysis, system. Empty for all.")] = "",
) -> frozenset[str] | None:
    chosen = frozenset(t.strip() for t in topics.split(",") if t.strip())
    if unknown := sorted(chosen - TOPICS):
        raise BadOption(f"There is no topic {unknown[0]!r}. Topics are {', '.join(sorted(TOPICS))}.")
    return chosen or None


Topics = Annotated[frozenset[str] | None, Depends(_topics)]
After = Annotated[int | None, Query(ge=0, lt=2**53, description="Resume after this number; unset means from now on.")]
LastEventId = Annotated[str | None, Header(description="The same as `after`; browsers send it by themselves.")]


@router.get("", response_class=StreamingResponse, responses=SSE)
async def follow(
    here: Here, topics: Topics, after: After = None, last_event_id: LastEventId = None
) -> StreamingResponse:
    """Follow what happens. A comment line every 30 s of silence keeps proxies awake."""
    resumed = int(last_event_id) if last_event_id and NUMBER.fullmatch(last_event_id) else after
    start = here.events.last_number if resumed is None else resumed
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(here, start, topics), media_type="text/event-stream", headers=headers)


@router.websocket("")
async def follow_socket(socket: WebSocket, here: Here, topics: Topics, after: After = None) -> None:
    """The same over a WebSocket: `hello`, then `event` and `ping` messages. `subscribe` changes topics or resumes."""
    await socket.accept()
    start = here.events.last_number if after is None else after
    await _send(socket, {"type": "hello", "number": here.events.last_number, "ping_seconds": PING_S})
    sender = asyncio.create_task(_messages(socket, here, start, topics))
    try:
        async for text in socket.iter_text():
            sender = await _answer(socket, here, text, sender)
    except (WebSocketDisconnect, RuntimeError):
        pass  # gone in the middle of a message; what else can be done is done below
    finally:
        await _stopped(sender)


async def _answer(socket: WebSocket, here: Workspace, text: str, sender: asyncio.Task) -> asyncio.Task:
    try:
        wanted = _wish(text)
        if wanted["type"] == "ping":
            await _send(socket, {"type": "pong", "number": here.events.last_number})
            return sender
        topics, after = _topics(",".join(wanted.get("topics", []))), wanted.get("after", here.events.last_number)
    except BadInput as error:
        await _send(socket, {"type": "error", "error": describe(error)})
        return sender
    await _stopped(sender)
    await _send(socket, {"type": "subscribed", "topics": sorted(topics or TOPICS), "number": here.events.last_number})
    return asyncio.create_task(_messages(socket, here, after, topics))


def _wish(text: str) -> dict[str, Any]:
    """A client's message. Raises BadInput for what is neither `ping` nor a well-formed `subscribe`."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"A message is one JSON object: {error}.") from None
    if not isinstance(found, dict) or found.get("type") not in ("ping", "subscribe"):
        raise BadInput("A message has the type `ping` or `subscribe`.")
    topics, after = found.get("topics", []), found.get("after", 0)
    if not isinstance(topics, list) or not all(isinstance(t, str) for t in topics):
        raise BadInput("`topics` is a list of names.")
    if type(after) is not int or not 0 <= after < 2**53:
        raise BadInput("`after` is the number of an event.")
    return found


async def _stopped(sender: asyncio.Task) -> None:
    sender.cancel()
    with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
        await sender


async def _messages(socket: WebSocket, here: Workspace, after: int, topics: frozenset[str] | None) -> None:
    following = here.events.follow(after, topics, PING_S)
    async with contextlib.aclosing(following):
        async for event in following:
            ping = {"type": "ping", "number": here.events.last_number}
            await _send(socket, ping if event is None else {"type": "event", "number": event.number} | _body(event))


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    await socket.send_text(orjson.dumps(message, default=str).decode())


async def _lines(here: Workspace, after: int, topics: frozenset[str] | None) -> AsyncGenerator[bytes, None]:
    yield b": connected\n\n"
    following = here.events.follow(after, topics, PING_S)
    async with contextlib.aclosing(following):
        async for event in following:
            yield b": ping\n\n" if event is None else _line(event)


def _line(event: Event) -> bytes:
    head = f"id: {event.number}\nevent: {event.topic}.{event.name}\n"
    return head.encode() + b"data: " + orjson.dumps(_body(event), default=str) + b"\n\n"


def _body(event: Event) -> dict[str, Any]:
    return {"topic": event.topic, "name": event.name, "data": event.data, "timestamp": event.timestamp}
