"""A job while this process works on it: its state, its progress, what it says, and its levers.

The work of a job is an asyncio coroutine that is given one of these. On it the work reports how far it is, from any
thread, and submits what must run on the device; whoever holds the levers (pause, cancel, priority) reaches that through
here too.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from loupe.app import logging as app_logging
from loupe.engine.errors import Cancelled
from loupe.storage.repos.jobs import JobRecord
from loupe.storage.repos.logs import LogLine
from loupe.storage.rows import WorkState

if TYPE_CHECKING:
    from loupe.engine.context import ArtefactWriter, JobContext
    from loupe.engine.device import DeviceThread, JobHandle
    from loupe.engine.jobs import Event, Job, Priority, Waiting

CHECKPOINT_WAIT_S = 60  # for a commit while the disk is busy; a checkpoint that cannot be recorded fails the job


Changed = Callable[["LiveJob"], None]
Kept = Callable[["LiveJob", str], Coroutine[Any, Any, None]]


class LiveJob:
    """What a service's work gets. `given` is whatever the submitter passed along; it is None after a restart.

    `record` is the row as it was when the work was lined up; `result` is what the work returned.
    """

    def __init__(self, record: JobRecord, given: Any, changed: "Changed", kept: "Kept") -> None:
        self.record = record
        self.given = given
        self.id = record.id
        self.state = WorkState.QUEUED
        self.priority = record.priority
        self.done, self.total, self.message = record.done, record.total, record.message
        self.checkpoint_id = record.checkpoint_id
        self.error: dict[str, Any] | None = None
        self.result: Any = None
        self.cancelled = self.paused = self.closing = False
        self.begun = False  # work has got hold of the device, or of whatever it needs
        self.started = False  # ... and the row says so
        self.handle: JobHandle | None = None
        self.task: asyncio.Future | None = None
        self.ended: asyncio.Task | None = None  # done when the end is written down
        self.said: deque[LogLine] = deque(maxlen=500)  # not yet written down
        self._changed = changed
        self._kept = kept
        self._stop: Callable[[], object] | None = None
        self._told = False
        self._submitted_at: float | None = None
        self.waited_s: float | None = None  # from asking for the device to the first slice
        self._first: tuple[float, int] | None = None

    # For the work itself.

    def begin(self) -> None:
        """Say that waiting is over; device jobs say so with their first slice. Any thread."""
        if not self.begun:
            self.begun = True
            if self._submitted_at is not None:
                self.waited_s = time.monotonic() - self._submitted_at
            self._changed(self)

    def report(self, done: int, total: int | None = None, message: str = "") -> None:
        """Say how far the work is, as often as it likes: others are told at most ten times a second. Any thread."""
        is_news = bool(message) and _stage(message) != _stage(self.message)  # a count that grows is none
        if self._first is None or total != self.total or (is_news and done <= self._first[1]):
            self._first = time.monotonic(), done  # another stage counts other things, or what came before did not count
        if is_news:
            self.say(message)
        self.done, self.total, self.message = done, total, message or self.message
        self.begin()
        self._changed(self)

    def note(self, message: str) -> None:
        """Say what the work is about to do or waits for. Any thread."""
        self.message = message
        self._changed(self)

    def say(self, message: str, level: str = "info") -> None:
        """Leave a line in the job's log. Never a prompt or a key: everyone who is signed in may read it. Any thread."""
        self.said.append(LogLine(datetime.now(UTC), level, message))

    def check(self) -> None:
        """Raise Cancelled when the job was cancelled or the server is closing."""
        if self.cancelled or self.closing:
            raise Cancelled(f"{self.record.kind} {self.id} was stopped.")

    def settle(self) -> None:
        """Say that the work is writing down its end: from now on it cannot be stopped any more."""
        self._stop = lambda: None

    @contextmanager
    def stopped_by(self, stop: Callable[[], object]) -> Iterator[None]:
        """In the block, stopping the job calls `stop` instead of cancelling its task: for work in a thread.

        Raises Cancelled at once when the job was stopped before.
        """
        self.check()
        self._stop = stop
        try:
            yield
        finally:
            self._stop = None

    def submit(
        self,
        device: "DeviceThread",
        job: "Job[Any]",
        *,
        seed: int | None = None,
        on_event: "Callable[[Event], object] | None" = None,
        keep: "Callable[[Any], str] | None" = None,
        writer: "ArtefactWriter | None" = None,
    ) -> "JobHandle[Any]":
        """Line device work up in the name of this job, at its priority, with its seed unless another is given.

        Raises Cancelled, DeviceClosed.
        `on_event` and `keep` are called on the device thread; `keep` gets the state of a Checkpoint, writes it to an
        artefact that is recorded, and returns its id. What the device job reports is reported here by itself.
        """
        self.check()
        told, self._submitted_at = _Told(job, self), time.monotonic()
        watch = self._watch(on_event, keep)
        self.handle = device.submit(
            told,
            seed=self.record.seed if seed is None else seed,
            on_event=watch,
            writer=writer,
            owner=self.record.author,
        )
        self._stop = self.handle.cancel
        if self.paused:
            self.handle.pause()
        return self.handle

    async def on_device(self, device: "DeviceThread", job: "Job[Any]", **how: Any) -> Any:
        """`submit`, and wait for the result. Raises what the device job raises, Cancelled among it."""
        return await asyncio.wrap_future(self.submit(device, job, **how).future)

    # For the levers.

    def hold(self) -> None:
        """Stop going on after the present step."""
        self.paused, self.state = True, WorkState.PAUSED
        if self.handle is not None:
            self.handle.pause()

    def go_on(self) -> None:
        """Line up again after `hold`."""
        self.paused, self.started, self.state = False, False, WorkState.QUEUED
        self._first = None
        if self.handle is not None:
            self.handle.resume()

    def stop(self) -> None:
        """End the work at its next safe point; `cancelled` or `closing` says why."""
        if self._stop is not None:
            self._stop()
        elif self.task is not None and not self._told:
            self._told = True  # a second cancellation would break into its tidying up
            self.task.cancel()

    def set_priority(self, priority: int) -> None:
        """How urgent the work is from now on."""
        self.priority = priority
        if self.handle is not None:
            self.handle.set_priority(self._priority())

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the progress since the first report; None before there is any, and when none is known."""
        if self._first is None or not self.total or self.state is not WorkState.RUNNING:
            return None
        since, done = time.monotonic() - self._first[0], self.done - self._first[1]
        return since / done * (self.total - self.done) if done > 0 else None

    def _priority(self) -> "Priority":
        from loupe.engine.jobs import Priority

        return Priority(self.priority)

    def _watch(
        self, on_event: "Callable[[Event], object] | None", keep: "Callable[[Any], str] | None"
    ) -> "Callable[[Event], object]":
        from loupe.engine.jobs import Checkpoint

        loop = asyncio.get_running_loop()

        def watch(event: "Event") -> None:
            if isinstance(event, Checkpoint):
                if keep is not None:
                    kept = self._kept(self, keep(event.state))
                    asyncio.run_coroutine_threadsafe(kept, loop).result(CHECKPOINT_WAIT_S)
            else:
                self.report(event.done, event.total, event.message)
            if on_event is not None:
                on_event(event)

        return watch


def _stage(message: str) -> str:
    """What a message says beside its numbers."""
    return "".join(character for character in message if not (character.isdigit() or character == ","))


class _Told:
    """A device job that says when it begins, runs at the priority of its record, and logs under its job's id."""

    def __init__(self, job: "Job[Any]", live: LiveJob) -> None:
        self.name = job.name
        self.priority = live._priority()
        self._job = job
        self._live = live

    def run(self, ctx: "JobContext") -> "Generator[Event | Waiting, None, Any]":
        self._live.begin()
        steps = self._job.run(ctx)
        try:
            while True:
                token = app_logging.job_id.set(self._live.id)
                try:
                    event = next(steps)
                except StopIteration as stop:
                    return stop.value
                finally:
                    app_logging.job_id.reset(token)
                yield event
        finally:
            steps.close()
