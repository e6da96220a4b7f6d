"""The event stream as clients meet it: over WebSocket and as server-sent events, resumed, pinged, and left."""

import asyncio
from collections.abc import Callable, MutableMapping

import orjson
import pytest

from loupe.app.api import events as events_api
from loupe.app.api.application import build_api
from loupe.app.security.guard import Guard
from loupe.app.security.keys import Sessions
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace
from tests.app.sockets import Refused, connected

URL = "/api/v1/events"


async def test_a_socket_says_hello_and_then_tells_events_of_its_topics(workspace: Workspace) -> None:
    async with connected(build_api(workspace), URL + "?topics=job") as socket:
        hello = await socket.next()
        assert hello == {"type": "hello", "number": workspace.events.last_number, "ping_seconds": 30}
        workspace.events.emit("analysis", "queued", {"id": "a"})
        event = workspace.events.emit("job", "done", {"id": "j"})
        told = await socket.next()
    assert (told["type"], told["number"], told["topic"], told["name"]) == ("event", event.number, "job", "done")
    assert told["data"] == {"id": "j"} and told["timestamp"]


async def test_a_socket_resumes_after_the_last_number_it_saw(workspace: Workspace) -> None:
    start = workspace.events.last_number
    for name in "abc":
        workspace.events.emit("training", name, {})
    async with connected(build_api(workspace), f"{URL}?after={start + 1}") as socket:
        await socket.until("hello")
        assert [(await socket.next())["name"] for _ in range(2)] == ["b", "c"]
        await socket.send({"type": "subscribe", "topics": ["training"], "after": start})
        assert (await socket.next())["topics"] == ["training"]
        assert [(await socket.next())["name"] for _ in range(3)] == ["a", "b", "c"]


async def test_a_number_from_before_a_restart_is_answered_by_a_gap(workspace: Workspace) -> None:
    workspace.events.emit("job", "done", {})
    for number in (7, workspace.events.last_number + 1000):
        async with connected(build_api(workspace), f"{URL}?after={number}") as socket:
            await socket.until("hello")
            assert (await socket.next())["name"] == "gap"
            assert (await socket.next())["name"] == "done"


async def test_silence_on_a_socket_is_broken_by_a_ping_though_other_topics_are_busy(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_api, "PING_S", 0.05)

    async def chatter() -> None:
        while True:
            workspace.events.emit("analysis", "position", {})
            await asyncio.sleep(0.01)

    busy = asyncio.create_task(chatter())
    async with connected(build_api(workspace), URL + "?topics=system") as socket:
        await socket.until("hello")
        assert (await socket.next())["type"] == "ping"
    busy.cancel()


@pytest.mark.parametrize(
    "message",
    [
        "{not json",
        "[]",
        "7",
        {"type": "dance"},
        {"type": "subscribe", "topics": "job"},
        {"type": "subscribe", "topics": ["weather"]},
        {"type": "subscribe", "after": -1},
        {"type": "subscribe", "after": 1.5},
    ],
)
async def test_what_a_socket_does_not_understand_is_answered_and_the_stream_goes_on(
    workspace: Workspace, message: object
) -> None:
    async with connected(build_api(workspace), URL) as socket:
        await socket.send(message)
        error = (await socket.until("error"))["error"]
        assert set(error) == {"code", "message", "details", "retryable"}
        workspace.events.emit("job", "done", {})
        assert (await socket.until("event"))["name"] == "done"
        await socket.send({"type": "ping"})
        assert (await socket.until("pong"))["number"] == workspace.events.last_number


async def test_a_topic_that_is_none_is_refused_before_the_stream_begins(workspace: Workspace) -> None:
    with pytest.raises(Refused, match="1008 bad_option"):
        async with connected(build_api(workspace), URL + "?topics=weather"):
            pass


async def test_a_socket_without_a_key_is_closed_and_one_with_a_key_is_not(
    workspace: Workspace, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(api_key="right")
    guarded = Guard(build_api(workspace), settings, Sessions("secret", None, 1))
    with pytest.raises(Refused, match="1008 sign_in_needed"):
        async with connected(guarded, URL):
            pass
    async with connected(guarded, URL, Authorization="Bearer right") as socket:
        assert (await socket.next())["type"] == "hello"


async def test_before_the_workspace_is_open_a_socket_is_asked_to_come_back() -> None:
    with pytest.raises(Refused, match="1013 not_ready"):
        async with connected(build_api(), URL):
            pass


async def test_a_client_that_vanishes_leaves_no_task_behind(workspace: Workspace) -> None:
    def following() -> int:
        return sum(getattr(task.get_coro(), "__qualname__", "") == "_messages" for task in asyncio.all_tasks())

    for _ in range(3):
        async with connected(build_api(workspace), URL) as socket:
            await socket.until("hello")
            assert following() == 1
    lines = events_api._lines(workspace, 0, None)
    assert await anext(lines)
    await lines.aclose()
    assert following() == 0


async def test_a_reader_that_vanishes_in_the_middle_of_a_reply_stops_it(workspace: Workspace) -> None:
    gone, body = asyncio.Event(), orjson.dumps({"text": "The fox ran home.", "max_new_tokens": 200, "temperature": 1})
    asked = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, object]:
        for message in asked:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, object]) -> None:
        if b"event: text" in bytes(message.get("body", b"")):  # type: ignore[arg-type]  # ASGI's bytes
            gone.set()

    headers = [(b"accept", b"text/event-stream"), (b"content-type", b"application/json"), (b"host", b"loupe")]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/generations", "query_string": b"", "headers": headers}
    await build_api(workspace)({**scope, "asgi": {"version": "3.0", "spec_version": "2.3"}}, receive, send)
    (live,) = workspace.generations.live
    assert (await workspace.generations.wait(live.id)).state == "cancelled"
