"""How long jobs hold the device between two safe points: measured for every slice, kept for the System page."""

import math
import threading
from collections import deque
from dataclasses import dataclass, field

KEPT = 2048  # durations per job name that p50 and p95 are taken over
TOLERANCE = 1.1  # a job that polls the budget ends just behind it; that is not an overrun


@dataclass(frozen=True, slots=True)
class SliceStats:
    """Slices of all jobs of one name: how many, and seconds held. `overruns` counts those beyond the budget."""

    name: str
    count: int
    overruns: int
    total_s: float
    p50_s: float
    p95_s: float
    longest_s: float


@dataclass(slots=True)
class _Record:
    count: int = 0
    overruns: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))


class SliceLog:
    """Collects slice durations by job name; written by the device thread, read by anybody."""

    def __init__(self, budget_s: float):
        self.budget_s = budget_s
        self._records: dict[str, _Record] = {}
        self._lock = threading.Lock()

    def add(self, name: str, seconds: float) -> None:
        """Note one slice."""
        with self._lock:
            record = self._records.setdefault(name, _Record())
            record.count += 1
            record.overruns += seconds > self.budget_s * TOLERANCE
            record.total_s += seconds
            record.longest_s = max(record.longest_s, seconds)
            record.recent.append(seconds)

    def stats(self) -> tuple[SliceStats, ...]:
        """One row per job name, the longest slice first."""
        with self._lock:
            rows = [_row(name, record) for name, record in self._records.items()]
        return tuple(sorted(rows, key=lambda row: -row.longest_s))


def _row(name: str, record: _Record) -> SliceStats:
    recent = sorted(record.recent)
    return SliceStats(
        name=name,
        count=record.count,
        overruns=record.overruns,
        total_s=record.total_s,
        p50_s=quantile(recent, 0.50),
        p95_s=quantile(recent, 0.95),
        longest_s=record.longest_s,
    )


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least `share` of the ordered values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
