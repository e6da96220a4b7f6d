"""Answering while training: how soon an analysis starts, and what it costs the training, as JSON.

    python benchmarks/bench_beside.py            the shipped starter; BatchTopK, d_sae 8192, batches of 4096
    python benchmarks/bench_beside.py --quick    a small SAE, a few seconds

One device thread, as the server has it. The training runs alone for a while, then with an analysis of eight tokens
every second, each submitted at an odd moment, and so on in turns.

- `start_ms`: from submitting an analysis to its first step; the promise is one slice, 100 ms
- `training_slices`, `analysis_slices`: how long each held the device at once
- `lost_s`: training time that is missing beside the rate alone; the promise is that it is no more than `analysis_s`,
  the time that analyses held the device. `lost_by_analysis` is their quotient.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loupe.engine.context import JobContext
from loupe.engine.data.rows import token_rows
from loupe.engine.device import DeviceStats, DeviceThread
from loupe.engine.jobs import Job, Steps
from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model
from loupe.engine.nla.analysis import AnalysisJob, AnalysisRequest
from loupe.engine.nla.pair import load_pair
from loupe.engine.sae.config import TrainingConfig
from loupe.engine.sae.plan import TrainingPlan, one_sae
from loupe.engine.sae.stream import ActivationStream
from loupe.engine.sae.trainer import TrainingJob

STARTER = Path(__file__).parents[1] / "assets" / "starter"
TEXT = "A small fox found a lantern by the river."
BUDGET_S = 0.1
ROW_TOKENS, TEXT_TOKENS = 128, 1 << 17
ENDLESS = 1_000_000  # steps; the training is cancelled
BETWEEN_S = 1.0
ROUNDS = 4


class Started:
    """A job that remembers when its first step began."""

    def __init__(self, job: Job[Any]) -> None:
        self.name, self.priority, self._job = "analysis", job.priority, job
        self.at: float | None = None

    def run(self, ctx: JobContext) -> Steps[Any]:
        """The job's own steps."""
        self.at = time.monotonic()
        return (yield from self._job.run(ctx))


def training_job(lm: LanguageModel, d_sae: int, batch: int) -> TrainingJob:
    """One BatchTopK SAE on random text, at two thirds of the model's depth."""
    ids = np.random.default_rng(0).integers(10, lm.vocab_size, (TEXT_TOKENS // ROW_TOKENS, ROW_TOKENS))
    point = HookPoint(lm.n_layers * 2 // 3)
    training = TrainingConfig(
        steps=ENDLESS, batch_rows=batch, initial_rows=4 * batch, evaluation_interval=0, checkpoint_interval=0
    )
    plan: TrainingPlan = one_sae("batchtopk", point, lm.d_model, d_sae, k=32, training=training)
    stream = ActivationStream(lm, token_rows(ids.tolist()), [point], buffer_rows=max(8 * batch, 4096))
    return TrainingJob(plan, stream, name="training")


def held(stats: DeviceStats, name: str) -> dict[str, Any]:
    """What the device's own log says of the slices of one kind of job."""
    row = next(each for each in stats.slices if each.name == name)
    told = {"p50_ms": row.p50_s, "p95_ms": row.p95_s, "longest_ms": row.longest_s}
    return {"count": row.count, "overruns": row.overruns} | {key: round(1000 * s, 1) for key, s in told.items()}


def seconds_held(stats: DeviceStats, name: str) -> float:
    """How long jobs of this name held the device so far."""
    return next((each.total_s for each in stats.slices if each.name == name), 0.0)


def at_a_step(training: TrainingJob) -> tuple[int, float]:
    """The step that ends next, and when it does: rates are counted from end to end of whole steps."""
    now = training.step
    while training.step == now:
        time.sleep(0.001)
    return training.step, time.monotonic()


def measure(seconds: float, d_sae: int, batch: int) -> dict[str, Any]:
    """Train alone and beside analyses, in turns, since a machine's speed drifts; each for about so many seconds."""
    lm = load_model(STARTER / "model")
    pair = load_pair(lm, STARTER / "nla/av", STARTER / "nla/ar")
    training = training_job(lm, d_sae, batch)

    def analysis(number: int) -> Started:
        request = AnalysisRequest(text=f"{TEXT} {number}", positions=tuple(range(2, 10)), seed=number)
        return Started(AnalysisJob(lm, pair, request))

    waits: list[float] = []
    steps, spent, analysis_s = {"alone": 0, "beside": 0}, {"alone": 0.0, "beside": 0.0}, 0.0
    with DeviceThread("cpu", slice_budget_s=BUDGET_S) as device:
        device.submit(analysis(-1)).result()
        handle = device.submit(training)
        while training.step < 4 and not handle.state.is_final:  # kernels are compiled, the buffer is filled
            time.sleep(0.05)
        for turn in range(2 * ROUNDS):
            name, held_before = ("alone", "beside")[turn % 2], seconds_held(device.stats(), "analysis")
            first, began = at_a_step(training)
            if name == "alone":
                time.sleep(seconds / ROUNDS)
            else:
                for _ in range(max(1, int(seconds / ROUNDS / BETWEEN_S))):
                    time.sleep(BETWEEN_S * (0.5 + (len(waits) * 0.618) % 1))
                    job, asked = analysis(len(waits)), time.monotonic()
                    device.submit(job).result()
                    assert job.at is not None, "an analysis that ended has begun"
                    waits.append(job.at - asked)
            last, ended = at_a_step(training)
            steps[name] += last - first
            spent[name] += ended - began
            analysis_s += seconds_held(device.stats(), "analysis") - held_before
        stats = device.stats()
        if handle.state.is_final:
            handle.result()
        handle.cancel()
    rate = {name: steps[name] / spent[name] for name in steps}
    lost_s = spent["beside"] - steps["beside"] / rate["alone"]
    waits.sort()
    return {
        "analyses": len(waits),
        "start_ms": {
            "p50": round(1000 * waits[len(waits) // 2], 1),
            "p95": round(1000 * waits[min(len(waits) - 1, int(0.95 * len(waits)))], 1),
            "longest": round(1000 * waits[-1], 1),
        },
        "training_slices": held(stats, "training"),
        "analysis_slices": held(stats, "analysis"),
        "alone_tokens_per_s": round(rate["alone"] * batch),
        "beside_tokens_per_s": round(rate["beside"] * batch),
        "seconds": {name: round(value, 1) for name, value in spent.items()},
        "analysis_s": round(analysis_s, 2),
        "lost_s": round(lost_s, 2),
        "lost_by_analysis": round(lost_s / analysis_s, 2),
    }


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=40, help="of each of the two parts")
    parser.add_argument("--d-sae", type=int, default=8192)
    parser.add_argument("--batch", type=int, default=4096)
    options = parser.parse_args()
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    if options.quick:
        options.seconds, options.d_sae, options.batch = 4.0, 512, 512
    found = measure(options.seconds, options.d_sae, options.batch)
    shape = {"d_sae": options.d_sae, "batch": options.batch, "budget_ms": round(1000 * BUDGET_S)}
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg(), "torch": torch.__version__}
    print(json.dumps({"benchmark": "beside", **shape, **found, **machine}, indent=1))


if __name__ == "__main__":
    main()
