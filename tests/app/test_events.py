"""The event stream: numbered, resumable, and honest about gaps."""

import asyncio

from loupe.app.services.events import EventStream


def test_events_are_numbered_from_one_without_holes() -> None:
    stream = EventStream()
    numbers = [stream.emit("analysis", "queued", {}).number for _ in range(3)]
    assert numbers == [1, 2, 3] and stream.last_number == 3


def test_a_client_gets_exactly_what_it_has_not_seen() -> None:
    stream = EventStream()
    for name in "abcd":
        stream.emit("job", name, {})
    assert [e.name for e in stream.since(2)] == ["c", "d"]
    assert stream.since(4) == []


def test_events_that_are_no_longer_kept_are_reported_as_a_gap() -> None:
    stream = EventStream(history=2)
    for name in "abcde":
        stream.emit("job", name, {})
    gap, *rest = stream.since(1)
    assert (gap.name, gap.data) == ("gap", {"from": 2, "to": 3})
    assert [e.name for e in rest] == ["d", "e"]


async def test_a_follower_receives_old_and_new_events_of_its_topics() -> None:
    stream = EventStream()
    stream.emit("job", "started", {})
    stream.emit("analysis", "queued", {})
    following = stream.follow(0, frozenset({"analysis"}))
    first = await anext(following)
    later = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    stream.emit("job", "done", {})
    stream.emit("analysis", "done", {})
    second = await asyncio.wait_for(later, 5)
    assert first and second and (first.name, second.name) == ("queued", "done")
    await following.aclose()


async def test_silence_is_broken_by_a_ping() -> None:
    following = EventStream().follow(0, ping_s=0.001)
    assert await anext(following) is None
    await following.aclose()
