"""A job that waits for something else than the device holds nobody up, and all levers still work on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from loupe.engine.context import JobContext
from loupe.engine.device import DeviceThread
from loupe.engine.errors import Cancelled
from loupe.engine.jobs import JobState, Priority, Progress, Steps, Waiting, finished
from loupe.engine.task import run_here
from tests.engine.jobs_for_tests import TIMEOUT, Count, held


@dataclass
class Waits:
    """Waits for a future, then returns what it holds."""

    awaited: Future = field(default_factory=Future)
    name: str = "waits"
    priority: Priority = Priority.BATCH
    waiting: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def run(self, ctx: JobContext) -> Steps[object]:
        try:
            yield Progress(0)
            self.waiting.set()
            yield Waiting(self.awaited)
            return self.awaited.result(TIMEOUT)
        finally:
            self.closed.set()


@pytest.fixture
def thread() -> Iterator[DeviceThread]:
    with DeviceThread() as thread:
        yield thread


def aside(thread: DeviceThread, job: Waits, **how: object):
    """The job submitted, and set aside."""
    handle = thread.submit(job, **how)
    assert job.waiting.wait(TIMEOUT)
    thread.call(lambda: None).result(TIMEOUT)
    return handle


def test_others_run_while_a_job_waits_and_it_goes_on_by_itself(thread: DeviceThread):
    seen: list[object] = []
    job = Waits()
    handle = aside(thread, job, on_event=seen.append)
    assert thread.submit(Count(3)).result(TIMEOUT) == 3
    assert (handle.state, thread.stats().running, thread.stats().waiting) == (JobState.RUNNING, None, 0)
    job.awaited.set_result("read")
    assert handle.result(TIMEOUT) == "read"
    assert seen == [Progress(0)]


def test_what_is_done_already_is_not_waited_for(thread: DeviceThread):
    job = Waits()
    job.awaited.set_result(1)
    assert thread.submit(job).result(TIMEOUT) == 1


def test_a_failure_that_was_waited_for_is_the_jobs_failure(thread: DeviceThread):
    job = Waits()
    handle = aside(thread, job)
    job.awaited.set_exception(OSError("the disk is gone"))
    with pytest.raises(OSError, match="the disk is gone"):
        handle.result(TIMEOUT)


def test_a_job_that_waits_is_cancelled_without_waiting(thread: DeviceThread):
    job = Waits()
    handle = aside(thread, job)
    handle.cancel()
    with pytest.raises(Cancelled):
        handle.result(TIMEOUT)
    assert job.closed.is_set()
    job.awaited.set_result("too late")
    assert thread.submit(Count(1)).result(TIMEOUT) == 1


def test_a_job_paused_while_it_waits_stays_paused_when_the_wait_is_over(thread: DeviceThread):
    job = Waits()
    handle = aside(thread, job)
    handle.pause()
    job.awaited.set_result("read")
    assert handle.state is JobState.PAUSED
    handle.resume()
    assert handle.result(TIMEOUT) == "read"


def test_its_priority_can_change_meanwhile(thread: DeviceThread):
    first, second = Waits(), Waits(name="second")
    handles = aside(thread, first), aside(thread, second)
    handles[1].set_priority(Priority.INTERACTIVE)
    ended: list[str] = []
    for handle, name in zip(handles, ("first", "second"), strict=True):
        handle.future.add_done_callback(lambda _, name=name: ended.append(name))
    with held(thread):
        first.awaited.set_result(None)
        second.awaited.set_result(None)
    handles[0].result(TIMEOUT)
    assert ended[0] == "second"


def test_closing_cancels_what_waits():
    job = Waits()
    with DeviceThread() as thread:
        handle = aside(thread, job)
    assert handle.state is JobState.CANCELLED


def test_draining_waits_for_what_waits():
    job = Waits()
    thread = DeviceThread()
    handle = aside(thread, job)
    threading.Timer(0, lambda: job.awaited.set_result("read")).start()
    thread.close(drain=True, timeout=TIMEOUT)
    assert handle.result(TIMEOUT) == "read"


def test_without_a_device_thread_the_caller_waits():
    job = Waits()
    threading.Timer(0, lambda: job.awaited.set_result("read")).start()
    assert run_here(job) == "read"
    other = Waits()
    threading.Timer(0, lambda: other.awaited.set_result("too")).start()
    assert finished(other.run(JobContext())) == "too"
