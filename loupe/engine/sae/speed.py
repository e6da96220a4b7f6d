"""How fast a training is, over a window long enough to mean something.

Rows are read in bursts: a step that finds the shuffle buffer low pays for thousands of rows, those after it for none.
"""

from collections import deque

WINDOW_S = 30.0  # of device time: several fills of a buffer


class Speed:
    """Rows per second of device time over the last `WINDOW_S`, or since the beginning where that is shorter."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, float]] = deque()
        self._rows, self._seconds = 0, 0.0

    def note(self, rows: int, seconds: float) -> float | None:
        """So many rows more took so long; returns the rate, None before any time was counted."""
        self._points.append((rows, seconds))
        self._rows, self._seconds = self._rows + rows, self._seconds + seconds
        while self._seconds - self._points[0][1] >= WINDOW_S:
            rows, seconds = self._points.popleft()
            self._rows, self._seconds = self._rows - rows, self._seconds - seconds
        return self._rows / self._seconds if self._seconds > 0 else None
