"""Generations: let a model continue a text or answer a chat, and read it while it is written."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import orjson
from fastapi import APIRouter, Header, Response
from starlette.responses import StreamingResponse

from loupe.app.api.context import Author, Confirm, Here, PathsAllowed
from loupe.app.api.envelope import Reply
from loupe.app.services.generation import Generations, LiveReply
from loupe.app.services.options import GenerationOptions

router = APIRouter(prefix="/generations", tags=["generations"])

STREAM = "text/event-stream"


@router.post("", status_code=202, response_model=Reply[dict[str, Any]], responses={200: {"content": {STREAM: {}}}})
async def start(
    options: GenerationOptions,
    here: Here,
    paths: PathsAllowed,
    author: Author,
    response: Response,
    accept: Annotated[str, Header(description="`text/event-stream` to read it while it is written.")] = "*/*",
) -> Any:
    """Accept a generation. With `Accept: text/event-stream` the answer is the stream itself: events `text`, then `end`.

    Closing the stream cancels the generation; one that was started without it goes on by itself.
    """
    live = await here.generations.start(options, paths_allowed=paths, author=author)
    location = f"/api/v1/generations/{live.id}"
    if STREAM in accept:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Location": location}
        return StreamingResponse(_lines(here.generations, live), media_type=STREAM, headers=headers)
    response.headers["Location"] = location
    return Reply[dict[str, Any]](data=live.status())


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """State, and the text so far."""
    return Reply(data=here.generations.get(id).status())


@router.post("/{id}/cancel")
async def cancel(id: str, here: Here, author: Author, confirm: Confirm = False) -> Reply[dict[str, Any]]:
    """Stop within one token; what was written stays readable."""
    return Reply(data=(await here.generations.cancel(id, by=author, confirm=confirm)).status())


async def _lines(generations: Generations, live: LiveReply) -> AsyncIterator[bytes]:
    yield _line("start", {"id": live.id})
    try:
        async for piece in generations.follow(live.id):
            yield b": ping\n\n" if piece is None else _line("text", {"text": piece})
        yield _line("end", live.status())
    finally:
        if live.busy:
            with anyio.CancelScope(shield=True):  # the client is gone, and with it whatever else is awaited here
                await generations.cancel(live.id)


def _line(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\n".encode() + b"data: " + orjson.dumps(data, default=str) + b"\n\n"
