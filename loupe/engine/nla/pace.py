"""How much to do in one go so that a slice keeps its time: measured, not guessed."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from loupe.engine.context import JobContext
from loupe.engine.jobs import Progress

Value = TypeVar("Value")


class Pace:
    """Sizes of the next piece of work, from the rate of the pieces before; between `least` and `most` units."""

    def __init__(self, budget_s: float, *, first: int, least: int = 8, most: int = 256) -> None:
        self.budget_s = budget_s
        self._least = least
        self._most = most
        self._size = max(least, min(first, most))

    def size(self) -> int:
        """Units the next piece should have."""
        return self._size

    def observe(self, units: int, seconds: float) -> None:
        """A piece of `units` took `seconds`: aim at 80 % of the budget, growing at most fourfold at a time."""
        if units <= 0:
            return
        fitting = int(0.8 * self.budget_s * units / max(seconds, 1e-6))
        self._size = max(self._least, min(fitting, self._most, 4 * max(units, self._size)))


class RowLimit:
    """How many rows may decode together so that a step keeps its budget: doubled while cheap, halved when too dear."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = min(16, most)

    def rows(self, budget_s: float | None) -> int:
        return self.most if budget_s is None else self._limit

    def observe(self, rows: int, seconds: float, budget_s: float | None) -> None:
        if budget_s is None:
            return
        if seconds > budget_s:
            self._limit = max(1, min(rows, self._limit) * 3 // 4)
        elif seconds < budget_s / 2 and rows * 2 > self._limit:
            self._limit = min(self.most, self._limit * 2)


def paced(
    steps: Generator[int, None, Value], pace: Pace, ctx: JobContext, progress: Progress
) -> Generator[Progress, None, Value]:
    """Run packed forwards one at a time, sized by the pace, yielding after each."""
    while True:
        start = ctx.clock()
        try:
            units = next(steps)
        except StopIteration as finished:
            return finished.value
        pace.observe(units, ctx.clock() - start)
        yield progress
