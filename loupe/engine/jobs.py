"""Jobs are generators: device work that stops at safe points and can be resumed, paused or dropped at any of them.

A job yields `Progress` whenever it has come to a point where every shared object (weights, hooks, global modes) is as
it found it, and `Checkpoint` when it could be started again from there after a crash. What it returns is its result.
Nothing here knows about threads; `loupe.engine.device` resumes jobs, a test may drive `run()` by hand.
"""

from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from loupe.engine.context import JobContext

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Priority(IntEnum):
    """How urgent a job is; the smallest number is resumed first."""

    INTERACTIVE = 0
    BATCH = 1
    TRAINING = 2


class JobState(StrEnum):
    """Where a job is in its life; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come: `done` of `total` units (None: not known), and a finished partial result, if any."""

    done: int
    total: int | None = None
    message: str = ""
    item: object | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything a job needs to be started again from this point: plain values and CPU arrays."""

    state: object


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing to do on the device until `done` is: the job is set aside. Observers never see it.

    A job that is resumed earlier all the same must wait by itself, as `done.result()` does.
    """

    done: Future


Event: TypeAlias = Progress | Checkpoint
Steps: TypeAlias = Generator[Event | Waiting, None, Result_co]


def finished(steps: Steps[Result]) -> Result:
    """Run steps to their end on the calling thread: their result. Raises what they raise."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


@runtime_checkable
class Job(Protocol[Result_co]):
    """A piece of device work: its name (for statistics), how urgent it is, and its steps."""

    name: str
    priority: Priority

    def run(self, ctx: JobContext) -> Generator[Event | Waiting, None, Result_co]:
        """Do the work between yields; the value returned is the job's result."""
        ...
