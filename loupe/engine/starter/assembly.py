"""Put the starter together: the folders that ship, their scores, sample runs and the model card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.engine.models.lens import TunedLens
from loupe.engine.models.loading import load_model
from loupe.engine.nla.analysis import AnalysisJob, AnalysisRequest
from loupe.engine.nla.pair import load_pair
from loupe.engine.starter.card import write_card
from loupe.engine.starter.score import TEST_SEED, Sizes, score_starter
from loupe.engine.starter.stages import StageProgress, Workshop
from loupe.engine.starter.world.story import PLOTS, write_document
from loupe.engine.task import run_here

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = {
    "model": "language_model",
    "lens": "lens",
    "saes": "saes",
    "nla/av": "improvement",
    "nla/ar": "reconstructor",
    "nla/ar2": "second_reconstructor",
}
SAMPLES = ("handing_over", "story_of_a_skill", "letter_of_thanks")  # a scene, a chat, a letter
SAMPLE_SEED = TEST_SEED + 500_000
SIZE_LIMIT = 30_000_000


def assemble(
    workshop: Workshop,
    target: Path,
    on_progress: Callable[[StageProgress], None],
    sizes: Sizes,
    *,
    limited: bool = True,
) -> dict[str, Any]:
    """Write the starter beside `target`, then put it in its place; returns the scores. ValueError when too large."""
    aside = target.with_name(f"{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    for place, stage in SHIPPED.items():
        shutil.copytree(workshop.result(stage), aside / place)
    (aside / "runs").mkdir()
    steps: list[str] = []

    def report(step: str) -> None:
        steps.append(step)
        on_progress(StageProgress(f"assembly: {step}", len(steps), 8, {}))

    scores = score_starter(aside, sizes, report)
    (aside / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    for tokenizer in aside.rglob("tokenizer.json"):
        write_compactly(tokenizer)
    report("sample runs")
    write_sample_runs(aside)
    write_card(aside, scores, workshop.folder / "log.jsonl")
    size = sum(file.stat().st_size for file in aside.rglob("*") if file.is_file())
    if limited and size > SIZE_LIMIT:
        raise ValueError(f"The starter weighs {size / 1e6:.1f} MB, {SIZE_LIMIT / 1e6:.0f} MB are allowed.")
    shutil.rmtree(target, ignore_errors=True)
    aside.replace(target)
    return scores


def write_compactly(file: Path) -> None:
    """The same JSON without white space: half the bytes of a tokenizer, which ships with every part."""
    found = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def write_sample_runs(folder: Path) -> None:
    """Analyse held-out stories with best of four, as a user would, and keep the exported results."""
    model = load_model(folder / "model", dtype="fp32")
    pair = load_pair(model, folder / "nla/av", folder / "nla/ar", dtype="fp32")
    lens = TunedLens.load(folder / "lens")
    plots = {plot.name.replace(" ", "_"): plot for plot in PLOTS}
    for number, name in enumerate(SAMPLES, start=1):
        text = write_document(SAMPLE_SEED + number, plot=plots[name]).text
        request = AnalysisRequest(
            text=text,
            best_of=4,
            temperature=0.6,
            seed=number,
            max_new_tokens=120,
            salience="line",
            logit_lens_k=5,
            next_token_k=5,
        )
        result = run_here(AnalysisJob(model, pair, request, lens=lens))
        (folder / "runs" / f"{number}-{name.replace('_', '-')}.json").write_text(
            json.dumps(_short(result.to_json()), ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
        )


def _short(value: Any) -> Any:
    """The same JSON with numbers at six significant digits, as much as a page ever shows."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value
