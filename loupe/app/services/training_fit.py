"""What a training would take, before it is begun: memory and disk by counting, time by trying a few steps."""

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.services.training_job import new_stream, open_token_rows, split_rows
from loupe.app.services.training_request import TrainingRequest

if TYPE_CHECKING:
    from loupe.engine.context import JobContext
    from loupe.engine.device import DeviceThread
    from loupe.engine.jobs import Steps
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.sae.plan import TrainingPlan

PROBE_STEPS = 3
STATES = 4  # of every weight: itself, its gradient, two moments
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Fit:
    """Bytes and seconds a training would need, beside what there is. `fits` is False where something is too small."""

    memory_bytes: int
    memory_free_bytes: int
    buffer_bytes: int
    disk_bytes: int
    disk_free_bytes: int
    seconds: float
    tokens_per_s: float
    rows: int
    tokens: int
    epochs: float
    fits: bool
    problems: tuple[str, ...]


async def measure_fit(
    device: "DeviceThread", lm: "LanguageModel", folder: Path, request: TrainingRequest, home: Path
) -> Fit:
    """Count, and time a few steps on the device as a job of its own. Raises BadOption, BadInput."""
    rows = await asyncio.to_thread(open_token_rows, folder)
    _, training_rows = split_rows(rows, request)
    plan = request.plan(lm.d_model, lm.n_layers)
    probe = await asyncio.to_thread(_Probe, lm, training_rows, plan, request)
    seconds_per_step = await asyncio.wrap_future(device.submit(probe).future)
    parameters = sum(_parameters(run.sae) for run in plan.runs)
    buffer = request.buffer_rows * lm.d_model * lm.torch_dtype.itemsize * len(plan.points)
    batch = plan.training.batch_rows * max(run.sae.d_sae for run in plan.runs) * FLOAT_BYTES
    memory = parameters * FLOAT_BYTES * STATES + buffer + min(batch, 1 << 30)
    disk = parameters * FLOAT_BYTES * (STATES - 1) * (request.keep_checkpoints + 1) + parameters * FLOAT_BYTES
    free, disk_free = device.memory.available(), shutil.disk_usage(home).free
    problems = _problems(memory, free, disk, disk_free)
    tokens = plan.training.steps * plan.training.batch_rows
    return Fit(
        memory_bytes=memory,
        memory_free_bytes=free,
        buffer_bytes=buffer,
        disk_bytes=disk,
        disk_free_bytes=disk_free,
        seconds=seconds_per_step * plan.training.steps,
        tokens_per_s=plan.training.batch_rows / max(seconds_per_step, 1e-9),
        rows=len(training_rows),
        tokens=training_rows.n_tokens,
        epochs=tokens / max(1, training_rows.n_tokens),
        fits=not problems,
        problems=problems,
    )


def _parameters(sae: Any) -> int:
    skip = sae.d_in * sae.d_out if sae.has_skip else 0
    return sae.d_sae * (sae.d_in + sae.d_out + 1) + sae.d_out + skip


def _problems(memory: int, free: int, disk: int, disk_free: int) -> tuple[str, ...]:
    found = []
    if memory > free:
        found.append(
            f"{memory:,} bytes of memory are needed, {free:,} are free: use fewer latents or a smaller buffer."
        )
    if disk > disk_free:
        found.append(f"{disk:,} bytes of disk are needed, {disk_free:,} are free: keep fewer checkpoints.")
    return tuple(found)


class _Probe:
    """A few steps of the training with a small buffer, thrown away; its result is seconds per step."""

    name = "fit check"

    def __init__(self, lm: "LanguageModel", rows: Any, plan: "TrainingPlan", request: TrainingRequest) -> None:
        from dataclasses import replace

        from loupe.engine.jobs import Priority
        from loupe.engine.sae.trainer import TrainingJob

        self.priority = Priority.BATCH
        short = replace(
            plan.training, steps=PROBE_STEPS, warmup=0, initial_rows=min(4096, plan.training.initial_rows),
            log_interval=1, threshold_rows=1, evaluation_interval=0, checkpoint_interval=0,
        )  # fmt: skip
        runs = tuple(replace(run, changes={k: v for k, v in run.changes.items() if k != "warmup"}) for run in plan.runs)
        small = replace(plan, runs=runs, training=short)
        stream = new_stream(lm, rows, small, request, min(request.buffer_rows, 16_384))
        self._job = TrainingJob(small, stream, name=self.name)

    def run(self, ctx: "JobContext") -> "Steps[float]":
        times: list[float] = []
        spent, step = 0.0, 0
        steps = self._job.run(ctx)
        while step < PROBE_STEPS:
            began = time.monotonic()
            try:
                event = next(steps)
            except StopIteration:
                break
            spent += time.monotonic() - began
            if self._job.step > step:
                times.append(spent)
                spent, step = 0.0, self._job.step
            yield event
        steps.close()
        return min(times[1:] or times)
