"""A token bucket per client: a burst at once, then a steady rate."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass


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

    def take(self, client: str) -> Allowance:
        """Take one token for `client` if there is one."""
        now = self._clock()
        tokens, seen = self._state.pop(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - seen) * self._rate)
        allowed = tokens >= 1
        tokens -= allowed
        self._state[client] = (tokens, now)
        if len(self._state) > self._clients:
            self._state.popitem(last=False)
        wait = 0.0 if allowed else (1 - tokens) / self._rate
        reset = math.ceil((self._burst - tokens) / self._rate)
        return Allowance(allowed, self._per_minute, math.floor(tokens), reset, wait)
