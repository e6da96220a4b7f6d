"""A run while it is being made: what was asked, how far it is, and what is found already."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loupe.app.services.options import AnalysisOptions
from loupe.storage.rows import WorkState

if TYPE_CHECKING:
    from loupe.app.services.live_job import LiveJob
    from loupe.engine.device import JobHandle

BUSY = frozenset({WorkState.QUEUED, WorkState.RUNNING, WorkState.PAUSED})


@dataclass(slots=True, eq=False)
class LiveRun:
    """Written by the analysis service on the loop; `found` grows on the device thread and only grows.

    Each page keeps its own cursor into `found`. `tokens` is empty until the text has been cut; `reply` is what
    the model has written so far, when it was asked to.
    """

    id: str
    options: AnalysisOptions
    author: str = ""
    state: WorkState = WorkState.QUEUED
    stage: str = "waiting"
    tokens: Sequence[dict[str, Any]] = ()
    turns: Sequence[dict[str, Any]] = ()
    reply: str = ""
    positions: tuple[int, ...] = ()
    found: list[Any] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    job: "LiveJob | None" = None
    handle: "JobHandle | None" = None
    created_at: float = field(default_factory=time.monotonic)
    first_at: float | None = None
    ended_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether something is still to come."""
        return self.state in BUSY

    @property
    def asked(self) -> frozenset[int]:
        """The positions asked for, once they are known."""
        return frozenset(self.positions)

    @property
    def done(self) -> int:
        """Positions that are finished."""
        return len(self.found)

    @property
    def total(self) -> int | None:
        """Positions asked for; None until the text has been cut."""
        return len(self.positions) or None

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the positions finished so far; None before the second one and after the end."""
        if not self.busy or self.first_at is None or not 2 <= self.done < len(self.positions):
            return None
        rate = (time.monotonic() - self.first_at) / (self.done - 1)
        return rate * (len(self.positions) - self.done)

    def status(self) -> dict[str, Any]:
        """State and progress for programs; absent values are left out."""
        left = self.seconds_left
        known = {
            "id": self.id,
            "state": WorkState.PAUSED if self.busy and self.job and self.job.paused else self.state,
            "stage": self.stage if self.busy else None,
            "done": self.done,
            "total": self.total,
            "seconds": round((self.ended_at or time.monotonic()) - self.created_at, 3),
            "seconds_left": None if left is None else round(left, 1),
            "reply": self.reply or None,
            "error": self.error,
        }
        return {name: value for name, value in known.items() if value is not None}
