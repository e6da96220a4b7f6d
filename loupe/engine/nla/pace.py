"""How much to do in one go so that a slice keeps its time: measured, not guessed."""

from __future__ import annotations


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
