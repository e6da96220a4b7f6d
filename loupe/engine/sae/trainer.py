"""Training as a job: one stream of activations, any number of SAEs, in slices short enough to share the device.

    job = TrainingJob(plan, stream)                      # or TrainingJob.resumed(state, stream)
    result = run_here(job, writer=store.write)           # or device.submit(job, ...)

- Between two yields nothing is half done that anybody else could see; a step yields inside itself (tiles of rows,
  ranges of latents), and what it computes does not depend on where it was interrupted.
- A checkpoint is copied within a step's end and written by a thread beside the training; `Checkpoint` is yielded once
  it is complete, with the artefact's id. A job that is started again from it repeats the points of the curves after
  that step with the same values: whoever keeps curves keeps one point per step.
- Out of memory halves the rows computed at once, never the batch: the step is done again from its beginning.
- `save_now()` and `stop()` may be called from any thread and take effect at the end of a step. Stopping keeps what was
  trained: thresholds are fixed, SAEs are folded and written, as at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.context import ArtefactWriter, JobContext
from loupe.engine.errors import BadOption
from loupe.engine.failures import is_out_of_memory
from loupe.engine.jobs import Checkpoint, Priority, Progress, Steps
from loupe.engine.memory import read_memory
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.checkpoint import TrainingState, write_checkpoint
from loupe.engine.sae.kinds import Activation
from loupe.engine.sae.learner import Learner
from loupe.engine.sae.measures import FeatureStrip, feature_strip
from loupe.engine.sae.plan import SAERun, TrainingPlan
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.speed import Speed
from loupe.engine.sae.stream import RowStream
from loupe.engine.sae.threshold import ThresholdCount

Work = Generator[None, None, Any]
INITIAL_ELEMENTS = 1 << 24  # of the rows that one SAE's starting values are taken from: what a slice has time for
KEPT_ELEMENTS = 1 << 27  # of those rows at all hook points together


@dataclass(frozen=True, slots=True)
class WatchedText:
    """A short text whose features are shown while training: its tokens and their raw activations by hook point."""

    tokens: tuple[str, ...]
    activations: Mapping[HookPoint, Float[Tensor, "tokens d_model"]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A card made while training, of the SAE as it was after `step` steps."""

    name: str
    step: int
    card: Any


@dataclass(frozen=True, slots=True)
class TrainedSAE:
    """What a training leaves of one SAE: the SAE for raw activations, its card where held-out text was given."""

    run: SAERun
    sae: SAE
    card: object | None = None
    artefact: str | None = None


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The SAEs of a job, after how many steps, and whether it was stopped before its end."""

    saes: tuple[TrainedSAE, ...]
    step: int
    stopped: bool


@runtime_checkable
class Evaluate(Protocol):
    """Judges an SAE on held-out text; a generator, whose value is the card."""

    def __call__(self, run: SAERun, sae: SAE, /) -> Generator[None, None, Any]: ...


Export = Callable[[Path, SAERun, SAE, Any], None]


class TrainingJob:
    """Trains the SAEs of a plan. `evaluate` and `export` make cards and folders at the end, where they are given.

    Raises BadOption and WidthMismatch at once where plan and stream do not fit.
    """

    priority = Priority.TRAINING

    def __init__(
        self,
        plan: TrainingPlan,
        stream: RowStream,
        *,
        state: TrainingState | None = None,
        watched: Sequence[WatchedText] = (),
        evaluate: Evaluate | None = None,
        export: Export | None = None,
        name: str = "training",
        saves_beside: bool = True,
    ) -> None:
        plan.check_stream(stream.points, stream.d_in)
        self.plan, self.stream, self.name = plan, stream, name
        self.step = 0
        self._state = state
        self._watched, self._evaluate, self._export = tuple(watched), evaluate, export
        self._saves_beside = saves_beside
        self._save_wanted, self._stop_wanted = Event(), Event()
        self._learners: list[Learner] = []
        self._seconds, self._told_step, self._speed = 0.0, 0, Speed()
        self._saving: Future[str] | None = None
        self._saving_step = 0

    @classmethod
    def resumed(cls, state: TrainingState, stream: RowStream, **options: Any) -> TrainingJob:
        """Go on from a checkpoint, by the plan it was written under; a fork gives `plan=` its own."""
        plan = options.pop("plan", state.plan)
        return cls(plan, stream, state=state, **options)

    def save_now(self) -> None:
        """Ask for a checkpoint at the end of this step."""
        self._save_wanted.set()

    def stop(self) -> None:
        """Ask to end training after this step and to keep the SAEs as they are."""
        self._stop_wanted.set()

    def run(self, ctx: JobContext) -> Steps[TrainingResult]:
        """Train; yields Progress (a point of the curves as `item`, one per SAE) and Checkpoint."""
        pool = ThreadPoolExecutor(1, "loupe-checkpoint") if ctx.writer and self._saves_beside else None
        try:
            yield from self._begin(ctx)
            yield from self._train(ctx, pool)
            yield from self._saved(ctx)
            return (yield from self._finish(ctx, pool))
        finally:
            if pool is not None:
                pool.shutdown(wait=True)

    # Beginning.

    def _begin(self, ctx: JobContext) -> Steps[None]:
        device = getattr(self.stream, "device", torch.device("cpu"))
        rows = None
        if self._state is None:
            rows = yield from self._timed(ctx, self.stream.next_batch(self._initial_rows()), self._filling)
            device = next(iter(rows.values())).device
        self._learners = [Learner(run.name, run.sae, self.plan.settled(run), device) for run in self.plan.runs]
        if self._state is not None:
            self._restore(self._state)
        for run, learner in zip(self.plan.runs, self._learners, strict=True):
            if rows is not None:
                x, y = _inputs(run, rows)
                yield from self._timed(ctx, learner.initialise(x, y), "taking starting values")
        self._state, self._seconds, self._told_step = None, 0.0, self.step

    def _filling(self) -> str:
        """What there is to say while the first buffer fills, which takes long where the model is large."""
        rows, capacity = self.stream.filling
        return f"reading the first rows: {rows:,} of {capacity:,}"

    def _initial_rows(self) -> int:
        training = self.plan.training
        widest = max(run.sae.d_in for run in self.plan.runs)
        fits = min(INITIAL_ELEMENTS // widest, KEPT_ELEMENTS // (self.stream.d_in * len(self.plan.points)))
        return max(1, min(training.initial_rows, training.steps * training.batch_rows, fits))

    def _restore(self, state: TrainingState) -> None:
        names = [run.name for run in self.plan.runs]
        if names != list(state.tensors):
            raise BadOption(f"The checkpoint holds the SAEs {list(state.tensors)}, this training has {names}.")
        for learner in self._learners:
            learner.restore(dict(state.tensors[learner.name]), dict(state.numbers[learner.name]))
        self.stream.restore(state.stream)
        self.step = state.step

    # Stepping.

    def _train(self, ctx: JobContext, pool: ThreadPoolExecutor | None) -> Steps[None]:
        training = self.plan.training
        while self.step < training.steps and not self._stop_wanted.is_set():
            rows = yield from self._timed(ctx, self.stream.next_batch(training.batch_rows), "training")
            for run, learner in zip(self.plan.runs, self._learners, strict=True):
                yield from self._step(ctx, run, learner, rows)
            self.step += 1
            if self.step % training.log_interval == 0 or self.step == training.steps:
                yield from self._points(ctx)
            interval = training.evaluation_interval
            if self._evaluate is not None and interval and self.step % interval == 0 and self.step < training.steps:
                yield from self._evaluations(ctx, self._evaluate)
            yield from self._save_if_due(ctx, pool)

    def _evaluations(self, ctx: JobContext, evaluate: Evaluate) -> Steps[None]:
        seconds = self._seconds
        for run, learner in zip(self.plan.runs, self._learners, strict=True):
            card = yield from self._timed(ctx, evaluate(run, learner.finished()), f"evaluating {run.name}")
            yield Progress(self.step, self.plan.training.steps, item=Evaluation(run.name, self.step, card))
        self._seconds = seconds  # the speed shown is that of training

    def _step(self, ctx: JobContext, run: SAERun, learner: Learner, rows: Mapping[HookPoint, Tensor]) -> Steps[None]:
        x, y = _inputs(run, rows)
        while True:
            try:
                yield from self._timed(ctx, learner.step(x, y), "training")
                break
            except Exception as error:
                if not is_out_of_memory(error) or learner.micro_rows == 1:
                    raise
            learner.micro_rows = max(1, learner.micro_rows // 2)
            _empty_cache(x.device)
            yield self._progress(
                f"{run.name} ran out of memory: {learner.micro_rows} rows are computed at once from now on; the batch "
                f"stays {len(x)}."
            )

    def _points(self, ctx: JobContext) -> Steps[None]:
        speed = self._speed.note((self.step - self._told_step) * self.plan.training.batch_rows, self._seconds)
        for run, learner in zip(self.plan.runs, self._learners, strict=True):
            memory = read_memory(learner.device).used
            measures = learner.measure(speed, memory)
            if (strip := self._strip(run, learner)) is not None:
                measures = replace(measures, strip=strip)
            yield Progress(self.step, self.plan.training.steps, item=measures)
        self._seconds, self._told_step = 0.0, self.step

    @torch.no_grad()
    def _strip(self, run: SAERun, learner: Learner) -> FeatureStrip | None:
        if not self._watched:
            return None
        text = self._watched[self.step // self.plan.training.log_interval % len(self._watched)]
        x, _ = _inputs(run, text.activations)
        return feature_strip(learner.acts(x.to(learner.device)), text.tokens)

    # Checkpoints.

    def _save_if_due(self, ctx: JobContext, pool: ThreadPoolExecutor | None) -> Steps[None]:
        if self._saving is not None and self._saving.done():
            yield from self._saved(ctx)
        interval, last = self.plan.training.checkpoint_interval, self.step == self.plan.training.steps
        is_due = interval and (self.step % interval == 0 or last or self._stop_wanted.is_set())
        if ctx.writer is None or not (is_due or self._save_wanted.is_set()):
            return
        yield from self._saved(ctx)
        self._save_wanted.clear()
        for learner in self._learners:
            learner.check_finite()
        state, writer = (yield from self._copied(ctx)), ctx.writer
        if pool is None:
            yield Checkpoint(self._reference(_write(writer, self.name, state), state.step))
            return
        self._saving = pool.submit(_write, writer, self.name, state)
        yield self._progress("saving a checkpoint")

    def _saved(self, ctx: JobContext) -> Steps[None]:
        """Wait, a slice at a time, for the checkpoint being written, and tell of it."""
        if self._saving is None:
            return
        while not self._saving.done():
            self._wait_a_little(self._saving)
            yield self._progress("saving a checkpoint")
        artefact, step = self._saving.result(), self._saving_step
        self._saving = None
        yield Checkpoint(self._reference(artefact, step))

    def _copied(self, ctx: JobContext) -> Steps[TrainingState]:
        """All of the training as it stands at the end of a step, copied to the CPU tensor by tensor."""
        seconds, tensors = self._seconds, {}
        for learner in self._learners:
            tensors[learner.name] = yield from self._timed(ctx, learner.copying(), "saving a checkpoint")
        self._seconds, self._saving_step = seconds, self.step
        numbers = {learner.name: learner.numbers() for learner in self._learners}
        return TrainingState(self.plan, self.step, self.stream.state(), tensors, numbers)

    @staticmethod
    def _wait_a_little(saving: Future[str]) -> None:
        wait([saving], timeout=0.02)

    @staticmethod
    def _reference(artefact: str, step: int) -> dict[str, Any]:
        return {"artefact": artefact, "step": step}

    # Ending.

    def _finish(self, ctx: JobContext, pool: ThreadPoolExecutor | None) -> Steps[TrainingResult]:
        yield from self._fix_thresholds(ctx)
        saes = []
        for run, learner in zip(self.plan.runs, self._learners, strict=True):
            learner.check_finite()
            sae = learner.finished()
            card = None
            if self._evaluate is not None:
                card = yield from self._timed(ctx, self._evaluate(run, sae), f"evaluating {run.name}")
            artefact = yield from self._exported(ctx, pool, run, sae, card)
            saes.append(TrainedSAE(run, sae, card, artefact))
        return TrainingResult(tuple(saes), self.step, self.step < self.plan.training.steps)

    def _exported(
        self, ctx: JobContext, pool: ThreadPoolExecutor | None, run: SAERun, sae: SAE, card: Any
    ) -> Steps[str | None]:
        """The id of the artefact that an SAE was written to, beside the device where there is a thread for it."""
        writer, export = ctx.writer, self._export
        if writer is None or export is None:
            return None

        def write() -> str:
            with writer("sae", run.name, {"training": self.name, "step": self.step, **run.to_dict()}) as draft:
                export(draft.folder, run, sae, card)
            return draft.id

        if pool is None:
            return write()
        writing = pool.submit(write)
        while not writing.done():
            self._wait_a_little(writing)
            yield self._progress(f"writing {run.name}")
        return writing.result()

    def _fix_thresholds(self, ctx: JobContext) -> Steps[None]:
        counted = [
            (run, learner, ThresholdCount(learner.sae))
            for run, learner in zip(self.plan.runs, self._learners, strict=True)
            if run.sae.activation is Activation.BATCHTOPK
        ]
        left = threshold_rows(self.plan, self.step) if self.step else 0
        while left > 0:
            rows = yield from self._timed(ctx, self.stream.next_batch(min(left, self.plan.training.batch_rows)))
            for run, learner, count in counted:
                x, _ = _inputs(run, rows)
                yield from self._timed(ctx, learner.count_threshold(count, x), "fixing thresholds")
            left -= len(next(iter(rows.values())))
        for _, learner, count in counted:
            if count.rows:
                learner.settle_threshold(count)

    # Time and progress.

    def _timed(self, ctx: JobContext, work: Work, message: str | Callable[[], str] = "") -> Steps[Any]:
        """Drive work, a yield of ours for each of its own, counting the time it held the device."""
        progress = self._progress("" if callable(message) else message)
        while True:
            began = ctx.clock()
            try:
                next(work)
            except StopIteration as stop:
                return stop.value
            finally:
                self._seconds += ctx.clock() - began
            yield self._progress(message()) if callable(message) else progress

    def _progress(self, message: str = "") -> Progress:
        return Progress(self.step, self.plan.training.steps, message)


def threshold_rows(plan: TrainingPlan, step: int) -> int:
    """Rows that are read at the end of a training of so many steps to fix thresholds; 0 where there is none to fix."""
    if not any(run.sae.activation is Activation.BATCHTOPK for run in plan.runs):
        return 0
    return min(plan.training.threshold_rows, max(65_536, step * plan.training.batch_rows // 8))


def checkpointed_sae(state: TrainingState, name: str) -> SAE:
    """One SAE of a checkpoint as it stood, for raw activations. Raises BadOption for an unknown name."""
    run = next((run for run in state.plan.runs if run.name == name), None)
    if run is None:
        raise BadOption(f"The checkpoint holds {', '.join(state.tensors)}; it has no SAE named {name}.")
    learner = Learner(run.name, run.sae, state.plan.settled(run))
    learner.restore(dict(state.tensors[name]), dict(state.numbers[name]))
    return learner.finished()


def _inputs(run: SAERun, rows: Mapping[HookPoint, Tensor]) -> tuple[Tensor, Tensor]:
    """What an SAE reads and reconstructs; the same tensor where both are the same. Parts lie side by side."""
    x = rows[run.reads[0]] if len(run.reads) == 1 else torch.cat([rows[point] for point in run.reads], dim=1)
    if run.reads == run.writes:
        return x, x
    return x, rows[run.writes[0]] if len(run.writes) == 1 else torch.cat([rows[point] for point in run.writes], dim=1)


def _write(writer: ArtefactWriter, name: str, state: TrainingState) -> str:
    with writer("checkpoint", f"{name} at step {state.step}", {"step": state.step}) as draft:
        write_checkpoint(draft, state)
    return draft.id


def _empty_cache(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
