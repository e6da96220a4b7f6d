"""One job being driven, slice by slice, by whoever owns the device: the device thread, a test, a notebook."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, NamedTuple, TypeVar

import torch

from loupe.engine.context import ArtefactWriter, JobContext
from loupe.engine.errors import Cancelled
from loupe.engine.failures import settle_failure
from loupe.engine.jobs import Event, Job, JobState, Steps, Waiting
from loupe.engine.memory import MemoryBudget
from loupe.engine.modes import GlobalModes

Result = TypeVar("Result")
Observer = Callable[[Event], object]


class Outcome(NamedTuple):
    """How a job ended: its final state, with the result or the exception."""

    state: JobState
    result: object = None
    error: BaseException | None = None


class Task(Generic[Result]):
    """The suspended generator of a job, its context and its observer. Not thread-safe: one driver at a time."""

    def __init__(
        self,
        job: Job[Result],
        context: JobContext,
        observer: Observer | None = None,
        device: torch.device | str = "cpu",
    ):
        self.name = job.name
        self._job: Job[Result] | None = job
        self._context = context
        self._observer = observer or (lambda event: None)
        self._device = torch.device(device)
        self._steps: Steps[Result] | None = None
        self.waiting_for: Future | None = None  # what must be done before the next slice has anything to do

    @property
    def is_started(self) -> bool:
        """Whether the job has had a slice."""
        return self._steps is not None

    def run_slice(self, is_stopped: Callable[[], bool] = lambda: False) -> Outcome | None:
        """Resume the job until its slice budget is used or `is_stopped`; None means it can be resumed again."""
        modes = GlobalModes.read()
        self._context.begin_slice()
        try:
            self._advance(modes, is_stopped)
            return None
        except StopIteration as stop:
            leaked = _leak(self.name, "returned", modes)
            return self._end(Outcome(JobState.FAILED, error=leaked) if leaked else Outcome(JobState.DONE, stop.value))
        except BaseException as error:  # whatever ends a job must not end its driver
            return self._end(Outcome(JobState.FAILED, error=settle_failure(error, self.name, self._device)))
        finally:
            modes.restore()

    def close(self) -> Outcome:
        """Cancel: run the job's `finally` blocks and end it. A failing clean-up is a failure, not a cancellation."""
        modes = GlobalModes.read()
        try:
            if self._steps is not None:
                self._steps.close()
            return self._end(Outcome(JobState.CANCELLED, error=Cancelled(f"{self.name} was cancelled.")))
        except BaseException as error:  # as above
            return self._end(Outcome(JobState.FAILED, error=settle_failure(error, self.name, self._device)))
        finally:
            modes.restore()

    def _advance(self, modes: GlobalModes, is_stopped: Callable[[], bool]) -> None:
        if self._steps is None:
            assert self._job is not None, "a job that has ended cannot be resumed"
            self._steps = self._job.run(self._context)
        spent, self.waiting_for = 0.0, None
        while True:
            event = next(self._steps)
            if leaked := _leak(self.name, "yielded", modes):
                self._steps.close()
                raise leaked
            if isinstance(event, Waiting):
                self.waiting_for = event.done
                return
            self._observer(event)
            if is_stopped() or self._context.out_of_time():
                return
            spent, step = self._context.slice_seconds(), self._context.slice_seconds() - spent
            if spent + step > self._context.slice_budget_s:  # the next step would probably not fit
                return

    def _end(self, outcome: Outcome) -> Outcome:
        """Let go of everything that may hold tensors; the outcome outlives the task."""
        self._steps = self._job = None
        self._observer = lambda event: None
        return outcome


def run_here(
    job: Job[Result],
    *,
    seed: int = 0,
    on_event: Observer | None = None,
    writer: ArtefactWriter | None = None,
    memory: MemoryBudget | None = None,
    device: torch.device | str = "cpu",
) -> Result:
    """Run a job to its end on the calling thread: for tests, the command line and notebooks.

    Raises what the job raises; running out of memory is OutOfDeviceMemory here too.
    """
    context = JobContext(seed=seed, writer=writer, memory=memory or MemoryBudget(device))
    task = Task(job, context, on_event, device)
    while (outcome := task.run_slice()) is None:
        if task.waiting_for is not None:
            wait([task.waiting_for])
    if outcome.error is not None:
        raise outcome.error
    return outcome.result  # type: ignore[return-value]  # Outcome is not generic; the job's own type is


def _leak(name: str, how: str, before: GlobalModes) -> AssertionError | None:
    if not (differences := before.differences(GlobalModes.read())):
        return None
    return AssertionError(
        f"{name} {how} with a global mode of torch changed ({'; '.join(differences)}): "
        "open and close it between two yields, another job runs next."
    )
