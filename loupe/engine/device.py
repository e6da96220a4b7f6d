"""The device thread: the only code that touches an accelerator.

One thread per device resumes suspended jobs, the most urgent first, for one slice each.

- A slice is as many steps of a job as fit its time budget. Python cannot be interrupted, so the budget is kept by
  jobs that yield often; each slice is measured, and `stats()` names the jobs that hold the device too long.
- An interactive job that arrives ends a running batch or training slice at its next safe point.
- A job that waits for something else than the device is set aside until that is done.
- Pausing is not resuming; cancelling is `close()` on the generator, on this thread, so `finally` blocks may touch
  the device.
- No exception ends the thread. It ends the job and lands in its future; so does the discovery that a job yielded
  with a global mode of torch changed.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import torch

from loupe.engine.context import ArtefactWriter, Clock, JobContext
from loupe.engine.errors import DeviceClosed
from loupe.engine.handle import JobHandle
from loupe.engine.jobs import Checkpoint, Event, Job, JobState, Priority, Progress, Steps
from loupe.engine.memory import MemoryBudget
from loupe.engine.ready import ReadyQueue
from loupe.engine.slices import SliceLog, SliceStats
from loupe.engine.task import Observer, Outcome, Task, run_here

__all__ = ["DeviceStats", "DeviceThread", "JobHandle", "run_here"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DeviceStats:
    """The device thread at one moment: who runs, how many wait, and how long slices take."""

    device: str
    running: str | None
    waiting: int
    paused: int
    slice_budget_s: float
    slices: tuple[SliceStats, ...]


class DeviceThread:
    """Runs jobs on one device. Use it as a context manager, or `close()` it."""

    def __init__(
        self,
        device: torch.device | str = "cpu",
        slice_budget_s: float = 0.1,
        clock: Clock = time.monotonic,
        memory: MemoryBudget | None = None,
    ):
        self.device = torch.device(device)
        self.slice_budget_s = slice_budget_s
        self.memory = memory or MemoryBudget(self.device)
        self._clock = clock
        self._log = SliceLog(slice_budget_s)
        self._changed = threading.Condition()
        self._ready: ReadyQueue[JobHandle] = ReadyQueue()
        self._closing: deque[JobHandle] = deque()
        self._paused: set[JobHandle] = set()
        self._aside: set[JobHandle] = set()
        self._running: JobHandle | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._loop, name=f"loupe-device-{self.device}", daemon=True)
        self._thread.start()

    def __enter__(self) -> "DeviceThread":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(
        self,
        job: Job[Result],
        *,
        seed: int = 0,
        on_event: Observer | None = None,
        writer: ArtefactWriter | None = None,
        owner: str = "",
    ) -> JobHandle[Result]:
        """Line a job up. `on_event` is called on the device thread and must be quick; owners share a priority fairly.

        Raises DeviceClosed after `close()`.
        """
        handle: JobHandle[Result] = JobHandle(self, job.name, job.priority, owner)
        context = JobContext(
            seed=seed,
            clock=self._clock,
            writer=writer,
            slice_budget_s=self.slice_budget_s,
            memory=self.memory,
            is_wanted=lambda: self._is_wanted_from(handle.priority),
        )
        handle._task = Task(job, context, _observer_of(handle, on_event), self.device)
        with self._changed:
            if self._is_closed:
                raise DeviceClosed(f"The device thread of {self.device} is shut down; {job.name} was not accepted.")
            self._enqueue(handle)
        return handle

    def call(
        self, function: Callable[[], Result], *, name: str = "call", priority: Priority = Priority.INTERACTIVE
    ) -> Future:
        """Run a short function (a load, a look) on the device thread as one slice; the future has its result."""
        return self.submit(_Call(function, name, priority)).future

    def stats(self) -> DeviceStats:
        """What the System page shows; may be called from any thread."""
        with self._changed:
            running = self._running
            return DeviceStats(
                device=str(self.device),
                running=running.name if running else None,
                waiting=len(self._ready),
                paused=len(self._paused),
                slice_budget_s=self.slice_budget_s,
                slices=self._log.stats(),
            )

    def is_current(self) -> bool:
        """Whether the caller is on the device thread."""
        return threading.current_thread() is self._thread

    def close(self, *, drain: bool = False, timeout: float | None = None) -> None:
        """Take no more work and end the thread: cancel what is left, or with `drain` finish all but paused jobs.

        Raises TimeoutError when a step does not end within `timeout` seconds.
        """
        assert not self.is_current(), "the device thread cannot wait for itself to end"
        with self._changed:
            self._is_closed = True
            unfinished = [] if drain else [*self._ready, *self._aside, *filter(None, [self._running])]
            for handle in [*self._paused, *unfinished]:
                self._mark_cancelled(handle)
            self._changed.notify_all()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"A step on {self.device} did not end within {timeout} s.")

    # Called by handles, from any thread.

    def _pause(self, handle: JobHandle) -> None:
        with self._changed:
            if handle.state.is_final or handle._is_cancelled or self._is_closed:
                return
            handle._is_paused = True
            if self._ready.remove(handle, handle.priority, handle.owner):
                self._park(handle)

    def _resume(self, handle: JobHandle) -> None:
        with self._changed:
            handle._is_paused = False
            if handle in self._paused:
                self._paused.discard(handle)
                self._enqueue(handle)

    def _cancel(self, handle: JobHandle) -> None:
        with self._changed:
            self._mark_cancelled(handle)
            self._changed.notify_all()

    def _set_priority(self, handle: JobHandle, priority: Priority) -> None:
        with self._changed:
            was_waiting = self._ready.remove(handle, handle.priority, handle.owner)
            handle.priority = priority
            if was_waiting:
                self._ready.push(handle, priority, handle.owner)

    def _mark_cancelled(self, handle: JobHandle) -> None:
        if handle.state.is_final or handle._is_cancelled:
            return
        handle._is_cancelled = True
        was_waiting = self._ready.remove(handle, handle.priority, handle.owner)
        if was_waiting or handle in self._paused | self._aside:
            self._paused.discard(handle)
            self._aside.discard(handle)
            self._closing.append(handle)

    def _enqueue(self, handle: JobHandle) -> None:
        handle.state = JobState.RUNNING if handle._task is not None and handle._task.is_started else JobState.QUEUED
        self._ready.push(handle, handle.priority, handle.owner)
        self._changed.notify_all()

    def _park(self, handle: JobHandle) -> None:
        handle.state = JobState.PAUSED
        self._paused.add(handle)

    def _is_wanted_from(self, priority: Priority) -> bool:
        waiting = self._ready.most_urgent
        return bool(self._closing) or (waiting is not None and waiting < priority)

    # The thread itself.

    def _loop(self) -> None:
        while (handle := self._next()) is not None:
            outcome = self._resume_steps(handle)
            self._settle(handle, outcome)
            del handle, outcome  # an idle thread keeps no finished job, and so no tensor, alive

    def _next(self) -> JobHandle | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or len(self._ready) or (self._is_closed and not self._aside))
            self._running = self._closing.popleft() if self._closing else self._ready.pop()
            if self._running is not None:
                self._running.state = JobState.RUNNING
            return self._running

    def _resume_steps(self, handle: JobHandle) -> Outcome | None:
        task = handle._task
        assert task is not None, "a finished job was lined up"
        started = self._clock()
        outcome = task.close() if handle._is_cancelled else task.run_slice(lambda: handle._is_stopped)
        seconds = self._clock() - started
        handle.device_seconds += seconds
        self._log.add(handle.name, seconds)
        return outcome

    def _settle(self, handle: JobHandle, outcome: Outcome | None) -> None:
        with self._changed:
            self._running = None
            if outcome is None:
                self._suspend(handle)
                return
            handle.state = outcome.state
            handle._task = None
        if outcome.error is not None:
            handle.future.set_exception(outcome.error)
        else:
            handle.future.set_result(outcome.result)

    def _suspend(self, handle: JobHandle) -> None:
        if handle._is_cancelled or (handle._is_paused and self._is_closed):
            handle._is_cancelled = True
            self._closing.append(handle)
        elif handle._is_paused:
            self._park(handle)
        elif handle._task is not None and (done := handle._task.waiting_for) is not None and not done.done():
            self._aside.add(handle)
            done.add_done_callback(lambda _: self._back(handle))
        else:
            self._enqueue(handle)

    def _back(self, handle: JobHandle) -> None:
        with self._changed:
            if handle in self._aside:
                self._aside.discard(handle)
                self._suspend(handle)


class _Call:
    """A function as a job of one slice."""

    def __init__(self, function: Callable[[], object], name: str, priority: Priority):
        self.name = name
        self.priority = priority
        self._function = function

    def run(self, ctx: JobContext) -> Steps:
        return self._function()
        yield  # makes this a generator


def _observer_of(handle: JobHandle, observer: Observer | None) -> Observer:
    """Keep the last progress on the handle and pass events on.

    A page that fails to show progress must not end a job; a checkpoint that nobody could keep must, because going on
    would be pretending that the work is safe.
    """

    def observe(event: Event) -> None:
        if isinstance(event, Progress):
            handle.progress = event
        if observer is None:
            return
        try:
            observer(event)
        except Exception:  # what is told of a job must not end it; a checkpoint that is not kept must
            if isinstance(event, Checkpoint):
                raise
            logger.exception("an observer of job %s (%s) failed; the job goes on", handle.id, handle.name)

    return observe
