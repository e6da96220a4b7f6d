"""The numbered stream of what happens, for programs: resumable from the last number a client saw.

Topics are `analysis`, `job` and `system`. The last `history` events are kept; a client whose number is older than that
is told so by a `gap` event and should read the state afresh.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


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

    def __init__(self, history: int = 2000) -> None:
        self._events: deque[Event] = deque(maxlen=history)
        self._number = 0
        self._more = asyncio.Event()

    @property
    def last_number(self) -> int:
        """The number of the newest event, 0 before the first."""
        return self._number

    def emit(self, topic: str, name: str, data: dict[str, Any]) -> Event:
        """Append an event and wake every follower."""
        self._number += 1
        event = Event(self._number, topic, name, data, datetime.now(UTC).isoformat(timespec="milliseconds"))
        self._events.append(event)
        more, self._more = self._more, asyncio.Event()
        more.set()
        return event

    def since(self, number: int) -> list[Event]:
        """Events newer than `number`, led by a `gap` event when some of them are no longer kept."""
        newer = [e for e in self._events if e.number > number]
        oldest = newer[0].number if newer else self._number + 1
        if oldest > number + 1 and number < self._number:
            lost = {"from": number + 1, "to": oldest - 1}
            gap = Event(oldest - 1, "system", "gap", lost, datetime.now(UTC).isoformat(timespec="milliseconds"))
            return [gap, *newer]
        return newer

    async def follow(
        self, after: int, topics: frozenset[str] | None = None, ping_s: float = 30
    ) -> AsyncIterator[Event | None]:
        """Yield events newer than `after` for ever; None after `ping_s` seconds of silence."""
        while True:
            more = self._more
            for event in self.since(after):
                after = event.number
                if topics is None or event.topic in topics or event.name == "gap":
                    yield event
            try:
                await asyncio.wait_for(more.wait(), ping_s)
            except TimeoutError:
                yield None
