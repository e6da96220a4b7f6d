"""The one place where news crosses from the device thread to the event loop.

State, not history: for each key only the newest value waits, and each key is delivered at most once per interval
(10 Hz), the first at once. Whatever only grows, such as the results of a run, is read by each subscriber from the
service with its own cursor; the bridge says merely that there is more.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

Callback = Callable[[Any], None]


class Bridge:
    """Publish from any thread, receive on the loop."""

    def __init__(self, interval_s: float = 0.1, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval_s = interval_s
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._pending: dict[Hashable, Any] = {}
        self._delivered_at: dict[Hashable, float] = {}
        self._subscribers: dict[Hashable, list[Callback]] = {}

    def attach(self) -> None:
        """Deliver on the running loop from now on; values published before that are delivered now."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
            waiting = list(self._pending)
        for key in waiting:
            self._loop.call_soon(self._deliver, key)

    def detach(self) -> None:
        """Stop delivering; later values are kept but wake nobody."""
        with self._lock:
            self._loop = None

    def publish(self, key: Hashable, value: Any = None) -> None:
        """Announce `value` under `key`, from any thread; an undelivered older value is replaced."""
        with self._lock:
            first = key not in self._pending
            self._pending[key] = value
            loop = self._loop
        if first and loop and not loop.is_closed():
            loop.call_soon_threadsafe(self._schedule, key)

    def subscribe(self, key: Hashable, callback: Callback) -> Callable[[], None]:
        """Call `callback(value)` on the loop for each delivery of `key`; returns the way to stop it."""
        callbacks = self._subscribers.setdefault(key, [])
        callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in callbacks:
                callbacks.remove(callback)
            if not callbacks and self._subscribers.get(key) is callbacks:
                del self._subscribers[key]

        return unsubscribe

    def forget(self, key: Hashable) -> None:
        """Drop what is remembered about a key that will not be published again."""
        with self._lock:
            self._pending.pop(key, None)
            self._delivered_at.pop(key, None)

    def _schedule(self, key: Hashable) -> None:
        wait = self._delivered_at.get(key, float("-inf")) + self.interval_s - self._clock()
        if wait <= 0:
            self._deliver(key)
        elif self._loop:
            self._loop.call_later(wait, self._deliver, key)

    def _deliver(self, key: Hashable) -> None:
        with self._lock:
            if key not in self._pending:
                return
            value = self._pending.pop(key)
            self._delivered_at[key] = self._clock()
        self._tell(key, value, iter(tuple(self._subscribers.get(key, ()))))

    def _tell(self, key: Hashable, value: Any, waiting: Iterator[Callback]) -> None:
        """Tell one subscriber, the others in later turns of the loop: twenty open pages must not hold it at once."""
        callback = next(waiting, None)
        if callback is None:
            return
        try:
            if callback in self._subscribers.get(key, ()):
                callback(value)
        finally:
            asyncio.get_running_loop().call_soon(self._tell, key, value, waiting)
