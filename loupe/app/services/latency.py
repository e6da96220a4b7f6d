"""How long people wait: p50 and p95 of what answers a person, each beside the target it is held to."""

import math
from collections import deque
from dataclasses import dataclass

KEPT = 1024

API = "API answer"
DEVICE = "wait for the device"
FIRST = "first explanation"
TARGETS_S = {API: 0.1, DEVICE: 0.1, FIRST: 2.0}  # docs/performance.md; the second is one slice


@dataclass(frozen=True, slots=True)
class Latency:
    """What was measured under one name, in seconds; `over` when p95 is above the target."""

    name: str
    count: int
    total_s: float
    p50_s: float
    p95_s: float
    longest_s: float
    target_s: float

    @property
    def over(self) -> bool:
        """Whether people wait longer than they should."""
        return self.p95_s > self.target_s


class Latencies:
    """The last `KEPT` durations under each name."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[float]] = {name: deque(maxlen=KEPT) for name in TARGETS_S}
        self._counts = dict.fromkeys(TARGETS_S, 0)
        self._totals = dict.fromkeys(TARGETS_S, 0.0)

    def note(self, name: str, seconds: float) -> None:
        """Add one duration."""
        self._kept[name].append(seconds)
        self._counts[name] += 1
        self._totals[name] += seconds

    def rows(self) -> tuple[Latency, ...]:
        """One row for each name that was measured."""
        return tuple(self._row(name) for name, kept in self._kept.items() if kept)

    def _row(self, name: str) -> Latency:
        ordered = sorted(self._kept[name])

        def quantile(share: float) -> float:
            return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

        return Latency(
            name, self._counts[name], self._totals[name], quantile(0.5), quantile(0.95), ordered[-1], TARGETS_S[name]
        )
