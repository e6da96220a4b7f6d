"""The event stream: server-sent events, numbered, resumed from the last number a client saw."""

from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Query
from starlette.responses import StreamingResponse

from loupe.app.api.context import Here
from loupe.app.services.events import Event
from loupe.app.workspace import Workspace

router = APIRouter(prefix="/events", tags=["events"])

PING_S = 30


@router.get("", response_class=StreamingResponse)
async def follow(
    here: Here,
    topics: Annotated[str, Query(description="Comma-separated: analysis, job, system. Empty for all.")] = "",
    after: Annotated[int | None, Query(ge=0, description="Resume after this number; unset means from now on.")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Follow what happens. A comment line every 30 s of silence keeps proxies awake."""
    resumed = int(last_event_id) if last_event_id and last_event_id.isdigit() else after
    chosen = frozenset(t for t in topics.split(",") if t) or None
    start = here.events.last_number if resumed is None else resumed
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(here, start, chosen), media_type="text/event-stream", headers=headers)


async def _lines(here: Workspace, after: int, topics: frozenset[str] | None) -> AsyncIterator[bytes]:
    yield b": connected\n\n"
    async for event in here.events.follow(after, topics, PING_S):
        yield b": ping\n\n" if event is None else _line(event)


def _line(event: Event) -> bytes:
    body = orjson.dumps(
        {"topic": event.topic, "name": event.name, "data": event.data, "timestamp": event.timestamp}, default=str
    )
    return f"id: {event.number}\nevent: {event.topic}.{event.name}\n".encode() + b"data: " + body + b"\n\n"
