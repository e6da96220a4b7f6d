"""The numbered stream of what happens, for programs: resumable from the last number a client saw.

Topics are `job`, `training`, `analysis` and `system`. The last `history` events are kept; a client whose number is
older than that is told so by a `gap` event and should read the state afresh. Numbers begin where `first` says;
the server says its clock, so that a number from before a restart is older than every new one, and answered by a gap.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TOPICS = frozenset({"job", "training", "analysis", "system"})


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `number` grows by one for each."""

    number: int
    topic: str
    name: str
    data: dict[str, Any]
    timestamp: str


class EventStream:
    """Append on the loop, follow from as many clients as wish to."""

    def __init__(self, history: int = 2000, *, first: int = 1) -> None:
        self._events: deque[Event] = deque(maxlen=history)
        self._number = first - 1
        self._more = asyncio.Event()

    @property
    def last_number(self) -> int:
        """The number of the newest event, 0 before the first."""
        return self._number

    def emit(self, topic: str, name: str, data: dict[str, Any]) -> Event:
        """Append an event and wake every follower."""
        self._number += 1
        event = Event(self._number, topic, name, data, _now())
        self._events.append(event)
        more, self._more = self._more, asyncio.Event()
        more.set()
        return event

    def since(self, number: int) -> list[Event]:
        """Events newer than `number`, led by a `gap` event when some of them are no longer kept."""
        if number > self._number:
            return [self._gap(self._number, unknown=number), *self._events]
        newer = [e for e in self._events if e.number > number]
        oldest = newer[0].number if newer else self._number + 1
        if oldest > number + 1:
            return [self._gap(oldest - 1, **{"from": number + 1, "to": oldest - 1}), *newer]
        return newer

    def _gap(self, number: int, **data: int) -> Event:
        return Event(number, "system", "gap", data, _now())

    async def follow(
        self, after: int, topics: frozenset[str] | None = None, ping_s: float = 30
    ) -> AsyncGenerator[Event | None, None]:
        """Yield events newer than `after` for ever; None after `ping_s` seconds without one."""
        loop = asyncio.get_running_loop()
        silent_since = loop.time()
        while True:
            more = self._more
            for event in self.since(after):
                after = event.number
                if topics is None or event.topic in topics or event.name == "gap":
                    yield event
                    silent_since = loop.time()
            try:
                async with asyncio.timeout_at(silent_since + ping_s):
                    await more.wait()
            except TimeoutError:
                yield None
                silent_since = loop.time()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
