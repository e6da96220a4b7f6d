"""A WebSocket client on the same event loop as the app it talks to: nothing runs in another thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson

PATIENCE_S = 60


class Refused(Exception):
    """The socket was closed, by whom we wanted to talk to; `code` says why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class Socket:
    """The client's end: JSON out, JSON in."""

    def __init__(self) -> None:
        self.to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, message: Any) -> None:
        """Send JSON, or a string as it is."""
        text = message if isinstance(message, str) else orjson.dumps(message).decode()
        await self.to_app.put({"type": "websocket.receive", "text": text})

    async def next(self) -> dict[str, Any]:
        """The next message. Raises Refused when the app closed."""
        message = await asyncio.wait_for(self.from_app.get(), PATIENCE_S)
        if message["type"] == "websocket.close":
            raise Refused(message.get("code", 1000), message.get("reason", ""))
        return orjson.loads(message["text"])

    async def until(self, *types: str) -> dict[str, Any]:
        """The next message of one of these types; others are passed over."""
        while (message := await self.next())["type"] not in types:
            pass
        return message


@asynccontextmanager
async def connected(app: Any, url: str, **headers: str) -> AsyncIterator[Socket]:
    """Connect to an ASGI app, and hang up at the end of the block. Raises Refused."""
    socket, parts = Socket(), urlsplit(url)
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "scheme": "ws",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50_000),
        "subprotocols": [],
        "headers": [(b"host", b"127.0.0.1:8000"), *((k.lower().encode(), v.encode()) for k, v in headers.items())],
    }
    await socket.to_app.put({"type": "websocket.connect"})
    task = asyncio.create_task(app(scope, socket.to_app.get, socket.from_app.put))
    try:
        first = await asyncio.wait_for(socket.from_app.get(), PATIENCE_S)
        if first["type"] != "websocket.accept":
            raise Refused(first.get("code", 1000), first.get("reason", ""))
        yield socket
    finally:
        await socket.to_app.put({"type": "websocket.disconnect", "code": 1006})
        await asyncio.wait_for(task, PATIENCE_S)
