"""A submitted job as everybody else sees it: its state, its progress, its future, and four levers."""

import uuid
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar, runtime_checkable

from loupe.engine.jobs import JobState, Priority, Progress
from loupe.engine.task import Task

Result = TypeVar("Result")


@runtime_checkable
class _Levers(Protocol):
    """What a handle asks of the device thread that runs it."""

    def _pause(self, handle: "JobHandle", /) -> None: ...
    def _resume(self, handle: "JobHandle", /) -> None: ...
    def _cancel(self, handle: "JobHandle", /) -> None: ...
    def _set_priority(self, handle: "JobHandle", priority: Priority, /) -> None: ...
    def is_current(self) -> bool: ...


class JobHandle(Generic[Result]):
    """A submitted job, seen from any thread.

    `future` completes with the result or the job's exception (Cancelled when it was cancelled); cancelling the future
    itself has no effect, so a page that stops waiting does not stop the work. `progress` is the last one yielded,
    `device_seconds` the time the job has held the device so far.
    """

    def __init__(self, thread: _Levers, name: str, priority: Priority, owner: str):
        self.id = uuid.uuid4().hex
        self.name = name
        self.priority = priority
        self.owner = owner
        self.future: Future = Future()
        self.future.set_running_or_notify_cancel()
        self.state = JobState.QUEUED
        self.progress: Progress | None = None
        self.device_seconds = 0.0
        self._thread = thread
        self._task: Task[Result] | None = None
        self._is_cancelled = False
        self._is_paused = False

    def pause(self) -> None:
        """Stop resuming the job after its current step; no effect on a finished job."""
        self._thread._pause(self)

    def resume(self) -> None:
        """Line the job up again after `pause`."""
        self._thread._resume(self)

    def cancel(self) -> None:
        """Close the job after its current step, whatever it is doing; no effect on a finished job."""
        self._thread._cancel(self)

    def set_priority(self, priority: Priority) -> None:
        """Be as urgent as this from the next slice on."""
        self._thread._set_priority(self, priority)

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the result; raises what the job raised."""
        assert not self._thread.is_current(), "a job that waits for another job on the same device waits for ever"
        return self.future.result(timeout)

    @property
    def _is_stopped(self) -> bool:
        return self._is_cancelled or self._is_paused
