"""Will it fit, and how long will it take: memory and disk by arithmetic, time by doing a few steps.

Sizes follow from shapes: weights, gradients and two moments in fp32, the rows of a batch, the pre-activations of what
is computed at once. The model and the stream's buffer are held by others and counted by them.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import torch

from loupe.engine.context import JobContext
from loupe.engine.jobs import Progress
from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.learner import default_micro_rows
from loupe.engine.sae.plan import TrainingPlan
from loupe.engine.sae.stream import RowStream
from loupe.engine.sae.trainer import TrainingJob

FP32 = 4
COPIES = 4  # weights, gradients, two moments
PROBE_STEPS = 4


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes: `memory` while training, `checkpoint` for one of them, `result` for the finished SAEs in fp32."""

    memory: int
    checkpoint: int
    result: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What a probe measured: rows per second of device time, all SAEs and the model together, and the whole run's."""

    rows_per_s: float
    seconds: float


def needs_of(plan: TrainingPlan, device: torch.device | str = "cpu") -> Needs:
    """What a plan takes, from its shapes alone."""
    device = torch.device(device)
    weights = sum(weights_of(run.sae) for run in plan.runs)
    rows = plan.training.batch_rows * sum(3 * (run.sae.d_in + _d_out(run.sae)) for run in plan.runs)
    widest = max(_at_once(run.sae, plan.settled(run), device) for run in plan.runs)
    return Needs(memory=FP32 * (COPIES * weights + rows + widest), checkpoint=FP32 * 3 * weights, result=FP32 * weights)


def weights_of(sae: SAEConfig) -> int:
    """Numbers in an SAE's weights."""
    matrices = sae.d_sae * (sae.d_in + _d_out(sae)) + (sae.d_in * _d_out(sae) if sae.has_skip else 0)
    return matrices + 3 * sae.d_sae + _d_out(sae)


def probe(plan: TrainingPlan, stream: RowStream, ctx: JobContext) -> Generator[Progress, None, Pace]:
    """Do a few steps of the plan and throw them away; the stream ends where it began.

    The first step, which compiles and fills caches, is not counted.
    """
    before = stream.state()
    interval = {"log_interval": 1, "checkpoint_interval": 0, "evaluation_interval": 0, "threshold_rows": 1}
    rows = min(plan.training.initial_rows, 4 * plan.training.batch_rows)
    job = TrainingJob(plan.forked({**interval, "initial_rows": rows}), stream)
    steps, seconds = job.run(JobContext(seed=ctx.seed, clock=ctx.clock)), 0.0
    measured = 0
    try:
        while job.step <= min(PROBE_STEPS, plan.training.steps - 1):
            step, began = job.step, ctx.clock()
            event = next(steps)
            if step >= 1:
                seconds += ctx.clock() - began
                measured = job.step - 1
            if isinstance(event, Progress):
                yield Progress(job.step, PROBE_STEPS, "measuring the pace")
    finally:
        steps.close()
        stream.restore(before)
    rows_per_s = measured * plan.training.batch_rows / seconds if seconds else math.inf
    return Pace(rows_per_s, plan.training.steps * plan.training.batch_rows / rows_per_s)


def _d_out(sae: SAEConfig) -> int:
    assert sae.d_out is not None
    return sae.d_out


def _at_once(sae: SAEConfig, training: TrainingConfig, device: torch.device) -> int:
    """Numbers that exist while one tile is computed: a few copies of its pre-activations where codes are dense."""
    rows = training.micro_rows or default_micro_rows(sae, training, device)
    return rows * sae.d_sae * (2 if sae.is_k_sparse else 8)
