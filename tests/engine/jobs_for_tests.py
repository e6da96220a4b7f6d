"""Small jobs written by hand, and a clock that only moves when told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from loupe.engine.context import JobContext
from loupe.engine.device import DeviceThread
from loupe.engine.jobs import Checkpoint, Priority, Progress, Steps

TIMEOUT = 120  # seconds until a test that waits for the device thread is a failure rather than slow


class ManualClock:
    """Seconds that pass only in `advance`."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Count:
    """Counts to `total`, one step each; `on_step` runs inside the step."""

    total: int
    name: str = "count"
    priority: Priority = Priority.BATCH
    on_step: Callable[[int], object] = lambda step: None
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, ctx: JobContext) -> Steps:
        try:
            for step in range(self.total):
                self.on_step(step)
                yield Progress(step + 1, self.total)
            return self.total
        finally:
            self.ended.set()


@dataclass
class Fails:
    """Yields once, then raises."""

    error: BaseException
    name: str = "fails"
    priority: Priority = Priority.BATCH

    def run(self, ctx: JobContext) -> Steps:
        yield Progress(0)
        raise self.error


@dataclass
class Draws:
    """Sums random numbers that depend on (seed, step, key) alone, with a checkpoint after each."""

    steps: int
    key: str
    start: int = 0
    total: float = 0.0
    name: str = "draws"
    priority: Priority = Priority.BATCH

    def run(self, ctx: JobContext) -> Steps:
        total = self.total
        for step in range(self.start, self.steps):
            total += torch.rand((), generator=ctx.generator(step, self.key), dtype=torch.float64).item()
            yield Checkpoint((step + 1, total))
        return total


@contextmanager
def held(thread: DeviceThread) -> Iterator[None]:
    """Keep the device thread busy during the block, so that what is submitted inside is lined up before any runs."""
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        holding.set()
        assert release.wait(TIMEOUT)

    future = thread.call(hold, name="hold")
    assert holding.wait(TIMEOUT)
    try:
        yield
    finally:
        release.set()
        future.result(TIMEOUT)
