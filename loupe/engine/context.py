"""What a job is given: seeded randomness, a clock, a place for finished bytes. Nothing global."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from loupe.engine.memory import MemoryBudget
from loupe.engine.randomness import seed_of

Clock = Callable[[], float]


@runtime_checkable
class ArtefactDraft(Protocol):
    """A folder being filled; it becomes an artefact when its block is left without an exception."""

    id: str
    folder: Path
    details: dict[str, object]

    def write(self, name: str, data: bytes) -> Path:
        """Put one file into the folder."""
        ...


@runtime_checkable
class ArtefactWriter(Protocol):
    """Opens a draft; the storage house provides it, so that the engine need not know where bytes live."""

    def __call__(self, kind: str, name: str, details: Mapping[str, object] | None = None, /) -> AbstractContextManager:
        """`with writer("run", "a story") as draft: draft.write("result.json", data)`"""
        ...


class JobContext:
    """Passed to `Job.run`. One per job, for its whole life.

    `seed` is the job's own seed, `clock` counts seconds (monotonic), `writer` takes finished bytes (None: keep
    nothing), `slice_budget_s` is how long the job may hold the device between two yields, `memory` refuses what will
    not fit.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        clock: Clock = time.monotonic,
        writer: ArtefactWriter | None = None,
        slice_budget_s: float = 0.1,
        memory: MemoryBudget | None = None,
        is_wanted: Callable[[], bool] = lambda: False,
    ):
        self.seed = seed
        self.clock = clock
        self.writer = writer
        self.slice_budget_s = slice_budget_s
        self.memory = memory or MemoryBudget()
        self._is_wanted = is_wanted
        self._slice_start = clock()

    def begin_slice(self) -> None:
        """Start counting the slice budget afresh; called by whoever resumes the job."""
        self._slice_start = self.clock()

    def slice_seconds(self) -> float:
        """Seconds since this slice began."""
        return self.clock() - self._slice_start

    def out_of_time(self) -> bool:
        """Whether a long step should yield now: the slice budget is used, or something more urgent waits."""
        return self._is_wanted() or self.slice_seconds() >= self.slice_budget_s

    def generator(self, step: int, key: str, device: torch.device | str = "cpu") -> torch.Generator:
        """A torch generator that depends on (seed, step, key) alone, whatever was drawn before."""
        return torch.Generator(device=device).manual_seed(seed_of(self.seed, step, key))
