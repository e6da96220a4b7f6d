"""How long jobs of the starter hold the device at once: the promise is 100 ms, and the longest slice of each is told.

    python benchmarks/bench_slices.py            analysis, training (d_sae 8192, batch 4096), loading, scoring and more
    python benchmarks/bench_slices.py --quick    a short text, small SAEs

Each slice is driven as the device thread drives it, with the budget of 100 ms. `longest_cpu_ms` beside the wall clock
says how much of a long slice was spent waiting for a busy machine. `beside` asks a real device thread for an analysis
while a training runs: how long it waited for its first slice, and what the training lost beyond what it took.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loupe.engine.context import JobContext
from loupe.engine.data.rows import token_rows
from loupe.engine.device import DeviceThread
from loupe.engine.jobs import Job, Priority, Progress, Steps
from loupe.engine.models.certify import CertifyJob
from loupe.engine.models.generate import GenerateOptions
from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model
from loupe.engine.models.reply import ReplyJob
from loupe.engine.nla.analysis import AnalysisJob, AnalysisRequest
from loupe.engine.nla.load_job import LoadJob, LoadPart, Role
from loupe.engine.nla.pair import load_pair
from loupe.engine.sae.config import TrainingConfig
from loupe.engine.sae.evaluation import evaluate
from loupe.engine.sae.plan import TrainingPlan, one_sae
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.stream import ActivationStream, MemoryRows
from loupe.engine.sae.trainer import TrainingJob
from loupe.engine.slices import quantile
from loupe.engine.task import Task

STARTER = Path(__file__).parents[1] / "assets" / "starter"
TEXT = "Once upon a time a small fox found a lantern by the river and carried it home. " * 3
BUDGET_S = 0.1


class Scoring:
    """An SAE judged on token rows."""

    name, priority = "scoring", Priority.BATCH

    def __init__(self, lm: LanguageModel, plan: TrainingPlan, rows: int) -> None:
        self.lm, self.run_, self.rows = lm, plan.runs[0], random_text(lm, rows)

    def run(self, ctx: JobContext) -> Steps[Any]:
        """As the service runs it: one yield per forward."""
        for _ in evaluate(self.lm, SAE(self.run_.sae), self.run_.reads, self.rows):
            yield Progress(0)


class Noted:
    """A job that notes when it got its first slice."""

    def __init__(self, job: Job[Any]) -> None:
        self.job, self.name, self.priority, self.began = job, job.name, job.priority, 0.0

    def run(self, ctx: JobContext) -> Steps[Any]:
        """The job's own steps."""
        self.began = time.monotonic()
        return (yield from self.job.run(ctx))


def random_text(lm: LanguageModel, rows: int) -> Any:
    """Rows of 128 random ids."""
    ids = np.random.default_rng(0).integers(10, lm.model.config.vocab_size, (rows, 128))
    return token_rows(ids.tolist())


def measured(job: Job[Any], seed: int = 0) -> dict[str, Any]:
    """Drive a job slice by slice; how long slices took by the wall clock and by the process's own time."""
    task = Task(job, JobContext(seed=seed, slice_budget_s=BUDGET_S))
    slices: list[tuple[float, float]] = []
    while True:
        started, used = time.monotonic(), time.process_time()
        outcome = task.run_slice()
        slices.append((time.monotonic() - started, time.process_time() - used))
        if outcome is not None:
            break
        if task.waiting_for is not None:
            task.waiting_for.exception()
    if outcome.error is not None:
        raise outcome.error
    wall = sorted(wall for wall, _ in slices)
    return {
        "slices": len(slices),
        "seconds": round(sum(wall), 3),
        "p50_ms": round(quantile(wall, 0.5) * 1000, 1),
        "p95_ms": round(quantile(wall, 0.95) * 1000, 1),
        "longest_ms": round(wall[-1] * 1000, 1),
        "longest_cpu_ms": round(max(used for _, used in slices) * 1000, 1),
        "over_110_ms": sum(each > BUDGET_S * 1.1 for each in wall),
    }


def beside(training: Callable[[], Job[Any]], analysis: Callable[[], Job[Any]]) -> dict[str, float]:
    """The same training alone, then with an analysis asked for in its first half, on a device thread."""
    with DeviceThread(slice_budget_s=BUDGET_S) as device:
        began = time.monotonic()
        device.submit(training()).result()
        alone, began = time.monotonic() - began, time.monotonic()
        trained = device.submit(training())
        time.sleep(alone / 4)
        noted, asked = Noted(analysis()), time.monotonic()
        analysed = device.submit(noted)
        analysed.result()
        trained.result()
        both = time.monotonic() - began
    lost = both - alone - analysed.device_seconds
    return {
        "waited_ms": round((noted.began - asked) * 1000, 1),
        "training_alone_s": round(alone, 3),
        "training_beside_s": round(both, 3),
        "analysis_s": round(analysed.device_seconds, 3),
        "lost_beyond_the_analysis_s": round(lost, 3),
    }


def main() -> None:
    """Measure each kind of job and print one JSON document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    model = load_model(STARTER / "model")
    pair = load_pair(model, STARTER / "nla/av", STARTER / "nla/ar")
    text = TEXT[:60] if quick else TEXT
    point, d_sae, batch = HookPoint(model.n_layers // 2), 1024 if quick else 8192, 1024 if quick else 4096
    rows = torch.randn(4 * batch, model.d_model)

    def analysis(**options: Any) -> AnalysisJob:
        return AnalysisJob(model, pair, AnalysisRequest(text=text, **options))

    def plan(steps: int) -> TrainingPlan:
        fields = {"steps": steps, "batch_rows": batch, "initial_rows": 2 * batch, "threshold_rows": batch}
        fields |= {"checkpoint_interval": 0, "evaluation_interval": 0, "log_interval": 5}
        return one_sae("batchtopk", point, model.d_model, d_sae, k=32, training=TrainingConfig.from_dict(fields))

    def training(steps: int = 5 if quick else 60) -> TrainingJob:
        return TrainingJob(plan(steps), MemoryRows(rows, point=point))

    streamed = ActivationStream(model, random_text(model, 64 * batch // 128), [point], buffer_rows=4 * batch)
    av, ar = STARTER / "nla/av", STARTER / "nla/ar"
    parts = [LoadPart(Role.MODEL, STARTER / "model", "model"), LoadPart(Role.VERBALIZER, av, "verbalizer")]
    parts += [LoadPart(Role.RECONSTRUCTOR, ar, "reconstructor", beside=av)]
    jobs: dict[str, Job[Any]] = {
        "analysis": analysis(),
        "analysis without KL and salience": analysis(kl=False, salience="none"),
        "generation of 60 tokens": ReplyJob(model, range(5, 40), GenerateOptions(60, 1.0, 1.0, 0)),
        "certification": CertifyJob(model),
        "loading model and pair": LoadJob(parts),
        f"training, d_sae {d_sae}, batch {batch}": training(),
        "the same, streamed from the model": TrainingJob(plan(3 if quick else 20), streamed),
        "scoring an SAE on held-out rows": Scoring(model, plan(1), 8 if quick else 64),
    }
    if not quick:
        jobs["analysis, best of 8"] = analysis(best_of=8, temperature=1.0)
    warm = {name: measured(job) for name, job in {"analysis": analysis(), "training": training(2)}.items()}
    found = {name: measured(job) for name, job in jobs.items()}
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg(), "torch": torch.__version__}
    head = {"benchmark": "slices", "budget_ms": 100, "warm_up": warm, "jobs": found}
    print(json.dumps(head | {"beside": beside(training, analysis)} | machine, indent=1))


if __name__ == "__main__":
    main()
