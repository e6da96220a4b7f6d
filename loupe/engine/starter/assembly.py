"""Put the starter together: the folders that ship, their scores, sample runs and the model card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.engine.starter.card import write_card
from loupe.engine.starter.score import Sizes, score_starter
from loupe.engine.starter.stages import StageProgress, Workshop

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = {
    "model": "language_model",
    "nla/av": "improvement",
    "nla/ar": "reconstructor",
    "nla/ar2": "second_reconstructor",
}
SAMPLES = 3
SIZE_LIMIT = 20 * 2**20


def assemble(
    workshop: Workshop, target: Path, on_progress: Callable[[StageProgress], None], sizes: Sizes
) -> dict[str, Any]:
    """Write the whole starter beside `target`, then put it in its place; returns the scores."""
    aside = target.with_name(f"{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    for place, stage in SHIPPED.items():
        shutil.copytree(workshop.result(stage), aside / place)
    (aside / "runs").mkdir()
    steps: list[str] = []

    def report(step: str) -> None:
        steps.append(step)
        on_progress(StageProgress(f"assembly: {step}", len(steps), 7, {}))

    scores = score_starter(aside, sizes, report)
    (aside / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
    report("sample runs")
    write_sample_runs(aside)
    write_card(aside, scores, workshop.folder / "log.jsonl")
    size = sum(file.stat().st_size for file in aside.rglob("*") if file.is_file())
    if size > SIZE_LIMIT:
        raise ValueError(f"The starter weighs {size / 2**20:.1f} MB, {SIZE_LIMIT / 2**20:.0f} MB are allowed.")
    shutil.rmtree(target, ignore_errors=True)
    aside.replace(target)
    return scores
