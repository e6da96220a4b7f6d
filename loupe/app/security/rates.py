"""How much one client may ask: a token bucket (a burst at once, then a steady rate), and requests at the same time."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from loupe.app.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a client may still do: tokens left, seconds until the bucket is full, seconds until the next token."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: float


class Buckets:
    """Buckets that hold `burst` tokens and refill at `per_minute`; the least recently seen clients are forgotten."""

    def __init__(
        self, per_minute: float, burst: int, *, clock: Callable[[], float] = time.monotonic, clients: int = 10_000
    ) -> None:
        self._rate = per_minute / 60
        self._per_minute = math.floor(per_minute)
        self._burst = burst
        self._clock = clock
        self._clients = clients
        self._state: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def look(self, client: str) -> Allowance:
        """What `client` may still do, without taking anything."""
        tokens = self._tokens(client, self._clock())
        return self._allowance(tokens >= 1, tokens)

    def take(self, client: str) -> Allowance:
        """Take one token for `client` if there is one."""
        now = self._clock()
        tokens = self._tokens(client, now)
        self._state.pop(client, None)
        allowed = tokens >= 1
        tokens -= allowed
        self._state[client] = (tokens, now)
        if len(self._state) > self._clients:
            self._state.popitem(last=False)
        return self._allowance(allowed, tokens)

    def _tokens(self, client: str, now: float) -> float:
        tokens, seen = self._state.get(client, (float(self._burst), now))
        return min(self._burst, tokens + (now - seen) * self._rate)

    def _allowance(self, allowed: bool, tokens: float) -> Allowance:
        wait = 0.0 if allowed else (1 - tokens) / self._rate
        reset = math.ceil((self._burst - tokens) / self._rate)
        return Allowance(allowed, self._per_minute, math.floor(tokens), reset, wait)


class Crowd:
    """Counts the requests that each client has open, streams and sockets included."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, client: str | None) -> Iterator[None]:
        """Hold a place while a request is answered; None needs none. Raises RateLimited when all are taken."""
        if client is None:
            yield
            return
        if self._open[client] >= self._limit:
            raise RateLimited(f"At most {self._limit} requests of one client at the same time.", retry_after_s=1)
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]
