"""`/ws`: the messages of the older WebSocket, each request answered and each piece of work watched to its end.

A request is stopped when its socket drops, unless it was sent with `detach: true`. Every message that asks for work
passes the checks that REST passes: ranges, text length, queue and the client's rate.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import APIRouter, WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from loupe.app.api.context import Here
from loupe.app.api.older import requests
from loupe.app.api.older.desk import Caller, Desk, TheDesk, Who
from loupe.app.api.older.models import device_of, groups_json
from loupe.app.api.older.rest import queue_size
from loupe.app.api.older.v2 import cleared, loaded_group, memory, model_info, switched, system_state
from loupe.app.api.older.watch import Watching
from loupe.app.errors import UNEXPECTED, RateLimited, answer_for, describe
from loupe.app.security.guard import ALLOWANCE
from loupe.engine.errors import BadInput
from loupe.storage.rows import WorkState

router = APIRouter()

log = logging.getLogger(__name__)

Message = dict[str, Any]
LENGTHY = {"switch_model", "switch_model_grouped", "load_model", "load_group", "preload_group"}


@router.websocket("/ws")
@router.websocket("/api/v2/ws")
async def older_socket(socket: WebSocket, here: Here, older: TheDesk, who: Who) -> None:
    """Speak the older protocol until the client hangs up."""
    await socket.accept()
    line = Line(socket, older, who)
    older.sockets.add(line.tell)
    stop_watching = here.bridge.subscribe("queue", lambda _: line.tell(queue_update(older)))
    try:
        line.greet()
        async for text in socket.iter_text():
            await line.hear(text)
    except (WebSocketDisconnect, RuntimeError):
        pass  # gone in the middle of a message; what else can be done is done below
    finally:
        stop_watching()
        older.sockets.discard(line.tell)
        await line.close()


class Line:
    """One open socket: an outbox that a task empties, and the work that hangs on it."""

    def __init__(self, socket: WebSocket, older: Desk, who: Caller) -> None:
        self.socket = socket
        self.older = older
        self.here = older.here
        self.who = who
        self.watching = Watching(older, self.tell)
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        self._sender = asyncio.create_task(self._send())

    def tell(self, message: Message) -> None:
        """Send when the socket has time for it."""
        self._outbox.put_nowait(message)

    def greet(self) -> None:
        """What a client gets before it asks for anything."""
        known = model_info(self.here, self.older, self.older.current) if self.older.current else {}
        about = {name: known[name] for name in ("model_id", "auto_batch_size_max") if name in known}
        about |= {"model_name": known["display_name"]} if known else {}
        self.tell({"type": "connection_established", "message": "Connected to Loupe.", "generation_config": {}} | about)
        self.tell(model_groups(self.older))
        self.tell(queue_update(self.older))
        self.tell(state_of(self.older))

    async def hear(self, text: str) -> None:
        """Answer one message. Whatever is wrong with it is told, and the socket stays open."""
        message: Message = {}
        try:
            message = _parsed(text)
            self._check_rate()
        except Exception as error:  # a client may send anything, and every refusal has its answer
            self._refuse(message, error)
            return
        answering = self._answer(message)
        if message["type"] in LENGTHY:
            self.older.spawn(answering)
        else:
            await answering

    async def _answer(self, message: Message) -> None:
        try:
            await HANDLERS[message["type"]](self, message)
        except Exception as error:  # as above; the socket serves other requests too
            self._refuse(message, error)

    def _refuse(self, message: Message, error: Exception) -> None:
        if not isinstance(error, ValidationError) and answer_for(error) is UNEXPECTED:
            log.error("message %s failed", message.get("type"), exc_info=error)
        self.tell(failure(message, error, device_of(self.here)))

    async def close(self) -> None:
        """Stop what hangs on this socket, and the tasks that watch."""
        await self.watching.close()
        self._sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sender

    def _check_rate(self) -> None:
        take = self.socket.scope.get(ALLOWANCE)
        if take is None or self.who.operator:
            return
        allowance = take()
        if not allowance.allowed:
            wait = allowance.retry_after_s
            raise RateLimited(f"Too many messages. Try again in {wait:.1f} s.", retry_after_s=wait)

    async def _send(self) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self.socket.send_text(orjson.dumps(await self._outbox.get(), default=str).decode())


def _parsed(text: str) -> Message:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"A message is one JSON object: {error}.") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BadInput("A message is a JSON object with a `type`.")
    if message["type"] not in HANDLERS:
        raise BadInput(f"There is no message {message['type'][:40]!r}. Known: {', '.join(sorted(HANDLERS))}.")
    return message


def failure(message: Message, error: Exception, device: str) -> Message:
    """The error message that belongs to what was asked."""
    asked = message.get("type")
    kinds = {"generate": "generation_error", "switch_model": "model_switch_error", "load_model": "model_load_error"}
    kinds |= {"switch_model_grouped": "model_switch_error", "send_message": "send_message_error"}
    if isinstance(error, ValidationError):
        where = error.errors()[0]
        error = BadInput(f"{'.'.join(map(str, where['loc'])) or 'message'}: {where['msg']}")
    told = describe(error)
    known = {
        "type": kinds.get(str(asked), "error"),
        "error": told["message"],
        "code": told["code"],
        "retryable": told["retryable"],
        "context": asked,
        "device": device,
        "request_id": message.get("request_id"),
        "client_request_id": message.get("client_request_id"),
        "retry_after": getattr(error, "retry_after_s", None),
    }
    return {name: value for name, value in known.items() if value is not None}


def state_of(older: Desk) -> Message:
    """Devices, groups and what is loaded, as `/api/v2/system/state` tells it."""
    return {"type": "system_state", "data": system_state(older.here, older)}


def queue_update(older: Desk) -> Message:
    """How many wait and run, and who waits, in order."""
    live = [each for each in older.here.analyses.live if each.busy]
    waiting = [each.id for each in live if each.state is WorkState.QUEUED]
    waiting += [talk.id for talk in older.talks.busy if talk.state is WorkState.QUEUED]
    total = len(live) + len(older.talks.busy)
    return {
        "type": "queue_update",
        "queue_size": queue_size(older.here) + older.talks.waiting,
        "queued_requests": len(waiting),
        "processing_requests": total - len(waiting),
        "total_active": total,
        "queued_ids": waiting,
    }


def model_groups(older: Desk) -> Message:
    """Groups and models, what is in memory, and which is the default."""
    here, rows = older.here, groups_json(older.here, older.current)
    loaded = [model["id"] for group in rows for model in group["models"] if model["is_loaded"]]
    known = {
        "type": "model_groups_list",
        "groups": rows,
        "current_group": older.model(None).group_id if older.current else None,
        "current_model": older.current or None,
        "memory_info": memory(here),
        "model_status": {
            "cache_info": {
                "groups_loaded": [group["group_id"] for group in rows if group["device_info"]],
                "models_cached": loaded,
                "base_locations": {group["base_model"]: group["device_info"] for group in rows if group["device_info"]},
            }
        },
    }
    return {name: value for name, value in known.items() if value is not None}


async def _list_groups(line: Line, _: Message) -> None:
    line.tell(model_groups(line.older))


async def _switch(line: Line, message: Message) -> None:
    done = await switched(line.older, _id(message, "model_id"), line.who.name)
    line.tell({"type": "model_switch_complete"} | done)
    line.older.broadcast(model_groups(line.older))
    line.older.broadcast(state_of(line.older))


async def _load_model(line: Line, message: Message) -> None:
    model = line.older.model(_id(message, "model_id", "id"))
    await line.here.models.preload(model.options())
    line.tell({"type": "model_loaded", "model_id": model.id, "device": device_of(line.here)})
    line.older.broadcast(state_of(line.older))


async def _load_group(line: Line, message: Message) -> None:
    line.tell({"type": "group_loaded"} | await loaded_group(line.here, _id(message, "group_id", "id")))
    line.older.broadcast(state_of(line.older))


async def _clear(line: Line, _: Message) -> None:
    line.tell({"type": "device_cleared"} | await cleared(line.here))
    line.older.broadcast(state_of(line.older))


async def _model_info(line: Line, message: Message) -> None:
    line.tell({"type": "model_info"} | model_info(line.here, line.older, _id(message, "model_id", "id")))


async def _status(line: Line, message: Message) -> None:
    found = await line.older.status(_id(message, "request_id"))
    known = {"type": "status_update", "request_id": found["request_id"], "status": found["status"]}
    line.tell(known | ({"error": found["error"]} if "error" in found else {}))


async def _cancel(line: Line, message: Message) -> None:
    await _stop(line, message, {"type": "request_cancelled"})


async def _interrupt(line: Line, message: Message) -> None:
    shared = {name: message[name] for name in ("context", "client_request_id") if name in message}
    await _stop(line, message, {"type": "interrupted"} | shared)


async def _stop(line: Line, message: Message, answer: Message) -> None:
    id = _id(message, "request_id")
    with line.watching.answered(id):
        await line.older.cancel(id, line.who)
    line.tell(answer | {"request_id": id})


def _id(message: Message, *names: str) -> str:
    found = next((message[name] for name in names if isinstance(message.get(name), str)), None)
    if not found:
        raise BadInput(f"{message['type']} needs a {names[0]}.")
    return found


HANDLERS: dict[str, Callable[[Line, Message], Awaitable[None]]] = {
    "analyze": requests.analyze,
    "generate": requests.generate,
    "generate_and_analyze": requests.generate_and_analyze,
    "send_message": requests.send_message,
    "status": _status,
    "list_model_groups": _list_groups,
    "switch_model": _switch,
    "switch_model_grouped": _switch,
    "load_model": _load_model,
    "load_group": _load_group,
    "preload_group": _load_group,
    "unload_group": _clear,
    "clear_device": _clear,
    "get_model_info": _model_info,
    "cancel_request": _cancel,
    "interrupt": _interrupt,
}
