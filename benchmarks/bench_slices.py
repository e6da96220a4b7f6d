"""How long an analysis of the starter holds the device at once: the promise is 100 ms, and the longest slice is told.

    python benchmarks/bench_slices.py            the shipped starter, 60 tokens, with and without rollouts
    python benchmarks/bench_slices.py --quick    a short text

Each slice is driven as the device thread drives it, with the budget of 100 ms. `cpu_s` beside the wall clock says how
much of a long slice was spent waiting for a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from loupe.engine.context import JobContext
from loupe.engine.jobs import Job
from loupe.engine.models.certify import CertifyJob
from loupe.engine.models.generate import GenerateOptions
from loupe.engine.models.loading import load_model
from loupe.engine.models.reply import ReplyJob
from loupe.engine.nla.analysis import AnalysisJob, AnalysisRequest
from loupe.engine.nla.pair import load_pair
from loupe.engine.slices import quantile
from loupe.engine.task import Task

STARTER = Path(__file__).parents[1] / "assets" / "starter"
TEXT = "Once upon a time a small fox found a lantern by the river and carried it home. " * 3
BUDGET_S = 0.1


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


def main() -> None:
    """Measure each kind of job and print one JSON document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    model = load_model(STARTER / "model")
    pair = load_pair(model, STARTER / "nla/av", STARTER / "nla/ar")
    text = TEXT[:60] if quick else TEXT

    def analysis(**options: Any) -> AnalysisJob:
        return AnalysisJob(model, pair, AnalysisRequest(text=text, **options))

    ids = range(5, 40)
    jobs: dict[str, Job[Any]] = {
        "analysis": analysis(),
        "analysis without KL and salience": analysis(kl=False, salience="none"),
        "generation of 60 tokens": ReplyJob(model, ids, GenerateOptions(60, 1.0, 1.0, 0)),
        "certification": CertifyJob(model),
    }
    if not quick:
        jobs["analysis, best of 8"] = analysis(best_of=8, temperature=1.0)
    warm = measured(AnalysisJob(model, pair, AnalysisRequest(text="A fox.")))
    found = {name: measured(job) for name, job in jobs.items()}
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg(), "torch": torch.__version__}
    print(json.dumps({"benchmark": "slices", "budget_ms": 100, "warm_up": warm, "jobs": found, **machine}, indent=1))


if __name__ == "__main__":
    main()
