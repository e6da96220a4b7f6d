"""What a training would take, before it is begun: memory and disk by counting, time by trying a few steps."""

import asyncio
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from loupe.app.services.catalogue import Catalogue, ModelEntry
from loupe.app.services.training_job import cached_rows, new_stream, open_token_rows, split_rows
from loupe.app.services.training_request import TrainingRequest
from loupe.app.sizes import size_text
from loupe.engine.errors import WidthMismatch
from loupe.storage.repos.datasets import TokenisationRecord

if TYPE_CHECKING:
    from loupe.engine.context import JobContext
    from loupe.engine.data.rows import TokenRows
    from loupe.engine.device import DeviceThread
    from loupe.engine.jobs import Steps
    from loupe.engine.memory import MemoryBudget
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.sae.plan import TrainingPlan
    from loupe.engine.sae.trainer import TrainingJob

PROBE_STEPS = 3
PROBE_ROWS = 4096
EVALUATION_PASSES = 3  # of the model over the held-out rows: as it is, with the SAE in its place, with nothing there
STATES = 4  # of every weight: itself, its gradient, two moments
FLOAT_BYTES = 4
ADVICE = "use fewer latents or a smaller buffer."


@dataclass(frozen=True, slots=True)
class Fit:
    """Bytes and seconds a training would need, beside what there is. `fits` is False where something is too small."""

    memory_bytes: int
    memory_free_bytes: int
    buffer_bytes: int
    disk_bytes: int
    disk_free_bytes: int
    seconds: float | None  # None where memory does not even do for trying
    tokens_per_s: float | None
    rows: int
    tokens: int
    epochs: float
    fits: bool
    problems: tuple[str, ...]


async def measure_fit(
    device: "DeviceThread",
    lm: "LanguageModel",
    folder: Path,
    request: TrainingRequest,
    home: Path,
    cached: Path | None = None,
) -> Fit:
    """Count, and time a few steps on the device as a job of its own. Raises BadOption, BadInput.

    `cached` is the cache whose rows would be read; the model then only judges.
    """
    rows = await asyncio.to_thread(open_token_rows, folder)
    held_out, training_rows = split_rows(rows, request)
    plan = request.plan(lm.d_model, lm.n_layers)
    needs = needs_of(plan, request, lm.torch_dtype.itemsize)
    free, disk_free = device.memory.available(), shutil.disk_usage(home).free
    problems = _problems(needs, free, disk_free)
    tokens = plan.training.steps * plan.training.batch_rows
    available, stepping_s, judging_s = training_rows.n_tokens, None, None
    if needs.memory <= free:
        probe = await asyncio.to_thread(_Probe, lm, training_rows, plan, request)
        speed = await asyncio.wrap_future(device.submit(probe).future)
        read, read_s = _rows_read(plan, training_rows.n_tokens, request.buffer_rows), speed.read_s
        if cached is not None:
            available, read_s = await asyncio.to_thread(_cached_speed, lm, cached, plan, request)
            read = _rows_read(plan, available, 0)
        stepping_s = plan.training.steps * speed.step_s + read * read_s
        judging_s = EVALUATION_PASSES * _evaluations(plan) * held_out.n_tokens * speed.read_s
    return Fit(
        memory_bytes=needs.memory,
        memory_free_bytes=free,
        buffer_bytes=needs.buffer,
        disk_bytes=needs.disk,
        disk_free_bytes=disk_free,
        seconds=None if stepping_s is None or judging_s is None else stepping_s + judging_s,
        tokens_per_s=None if stepping_s is None else tokens / max(stepping_s, 1e-9),
        rows=len(training_rows),
        tokens=available,
        epochs=tokens / max(1, available),
        fits=not problems,
        problems=problems,
    )


def _cached_speed(
    lm: "LanguageModel", folder: Path, plan: "TrainingPlan", request: TrainingRequest
) -> tuple[int, float]:
    """Rows of a cache, and the seconds that one takes to be read, from filling the buffer once."""
    rows = cached_rows(lm, folder, plan, request)
    began = time.monotonic()
    for _ in rows.next_part(1):
        pass
    return rows.facts.rows, (time.monotonic() - began) / rows.filling[0]


def check_tokenizer(catalogue: Catalogue, rows: TokenisationRecord, entry: ModelEntry) -> None:
    """Refuse token rows that were made for another model. Raises NotFound, WidthMismatch."""
    if rows.model != entry.id and catalogue.get(rows.model).path != entry.path:
        raise WidthMismatch(
            f"These token rows were made for {rows.model}, and {entry.id} has another tokenizer. "
            f"Tokenise the dataset for {entry.id}."
        )


class Needs(NamedTuple):
    """Bytes a training takes; `buffer` is part of `memory`."""

    memory: int
    buffer: int
    disk: int


def needs_of(plan: "TrainingPlan", request: TrainingRequest, item_bytes: int) -> Needs:
    """What a training takes, by counting; `item_bytes` is the size of one number of the model's activations."""
    weights = sum(_parameters(run.sae) for run in plan.runs) * FLOAT_BYTES
    widest = max(run.sae.d_in // run.sae.parts for run in plan.runs)
    buffer = request.buffer_rows * widest * item_bytes * len(plan.points)
    batch = plan.training.batch_rows * max(run.sae.d_sae for run in plan.runs) * FLOAT_BYTES
    memory = weights * STATES + buffer + min(batch, 1 << 30)
    return Needs(memory, buffer, weights * (STATES - 1) * (request.keep_checkpoints + 1) + 2 * weights)


def _rows_read(plan: "TrainingPlan", tokens: int, buffer_rows: int) -> int:
    """Rows that come from the model for starting values, every step and thresholds; text that fits the buffer once."""
    from loupe.engine.sae.trainer import threshold_rows

    steps = plan.training.steps
    wanted = plan.training.initial_rows + steps * plan.training.batch_rows + threshold_rows(plan, steps)
    return min(wanted, tokens) if tokens <= buffer_rows else wanted


def _evaluations(plan: "TrainingPlan") -> int:
    """How many times an SAE is judged: now and then, and at the end."""
    interval = plan.training.evaluation_interval
    return len(plan.runs) * (1 + (plan.training.steps // interval if interval else 0))


def _parameters(sae: Any) -> int:
    skip = sae.d_in * sae.d_out if sae.has_skip else 0
    return sae.d_sae * (sae.d_in + sae.d_out + 1) + sae.d_out + skip


def check_possible(memory: "MemoryBudget", plan: "TrainingPlan", request: TrainingRequest) -> None:
    """Refuse what the device could not hold if it held nothing else. Raises OutOfDeviceMemory.

    What is free is asked for when the training's turn comes: until then others may end.
    """
    needed = needs_of(plan, request, FLOAT_BYTES // 2).memory
    if needed > memory.memory().total * memory.fraction:
        memory.require(needed, "This training", ADVICE.capitalize())


def _problems(needs: Needs, free: int, disk_free: int) -> tuple[str, ...]:
    found = []
    if needs.memory > free:
        found.append(f"{size_text(needs.memory)} of memory are needed, {size_text(free)} are free: {ADVICE}")
    if needs.disk > disk_free:
        found.append(
            f"{size_text(needs.disk)} of disk are needed, {size_text(disk_free)} are free: keep fewer checkpoints."
        )
    return tuple(found)


class _Speed(NamedTuple):
    """Seconds that a row of activations takes to be read from the model, and a step to be trained on rows that are."""

    read_s: float
    step_s: float


class _Probe:
    """A little of the training, thrown away: some rows read from the model, then a few steps on these.

    Reading and stepping are timed apart, because a step that finds its rows in the buffer says nothing about those
    that must wait until it is filled again.
    """

    name = "fit check"

    def __init__(self, lm: "LanguageModel", rows: "TokenRows", plan: "TrainingPlan", request: TrainingRequest) -> None:
        from loupe.engine.jobs import Priority

        self.priority = Priority.BATCH
        longest = int(rows.lengths.max())
        some = max(longest, PROBE_ROWS if lm.device.type == "cpu" else 8 * PROBE_ROWS)
        self._stream = new_stream(lm, rows, plan, request, min(request.buffer_rows, some))
        self._plan = _shortened(plan)

    def run(self, ctx: "JobContext") -> "Steps[_Speed]":
        from loupe.engine.jobs import Progress
        from loupe.engine.sae.stream import MemoryRows
        from loupe.engine.sae.trainer import TrainingJob

        read: list[float] = []
        rows, spent, kept = self._stream.next_part(self._plan.training.batch_rows), 0.0, 0
        while True:
            began = ctx.clock()
            try:
                next(rows)
            except StopIteration as stop:
                held = stop.value
                break
            spent += ctx.clock() - began
            if self._stream.counts.kept > kept:
                read.append(spent / (self._stream.counts.kept - kept))
                spent, kept = 0.0, self._stream.counts.kept
            yield Progress(0, PROBE_STEPS, "reading rows")
        job = TrainingJob(self._plan, MemoryRows(held), name=self.name)
        step_s = yield from self._steps(ctx, job)
        return _Speed(min(read), step_s)

    def _steps(self, ctx: "JobContext", job: "TrainingJob") -> "Steps[float]":
        times: list[float] = []
        spent, step = 0.0, 0
        steps = job.run(ctx)
        while step < PROBE_STEPS:
            began = ctx.clock()
            try:
                event = next(steps)
            except StopIteration:
                break
            spent += ctx.clock() - began
            if job.step > step:
                times.append(spent)
                spent, step = 0.0, job.step
            yield event
        steps.close()
        return min(times[1:] or times)


def _shortened(plan: "TrainingPlan") -> "TrainingPlan":
    short = replace(
        plan.training, steps=PROBE_STEPS, warmup=0, initial_rows=min(PROBE_ROWS, plan.training.initial_rows),
        log_interval=1, threshold_rows=1, evaluation_interval=0, checkpoint_interval=0,
    )  # fmt: skip
    runs = tuple(replace(run, changes={k: v for k, v in run.changes.items() if k != "warmup"}) for run in plan.runs)
    return replace(plan, runs=runs, training=short)
