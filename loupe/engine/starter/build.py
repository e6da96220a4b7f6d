"""`loupe starter build`: from a seed to `assets/starter`, in stages that survive being killed.

    tokenizer -> binding_model -> language_model -> lens -> examples
              -> (verbalizer, saes | reconstructors)
              -> refinement -> second_refinement -> third_refinement -> spelling -> fourth_refinement
              -> improvement -> assembly

What does not need each other trains side by side, each in a process of its own on half of the cores. Every stage
appends what it measured and cost to `log.jsonl` in the work folder.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loupe.engine.allocator import keep_freed_memory
from loupe.engine.lens.recipe import LensRecipe
from loupe.engine.nla.training.improvement import ImprovementRecipe
from loupe.engine.nla.training.reconstructor import ReconstructorRecipe
from loupe.engine.nla.training.spelling import SpellingRecipe
from loupe.engine.nla.training.verbalizer import VerbalizerRecipe
from loupe.engine.starter import lens_stage, nla_stages, stages
from loupe.engine.starter.assembly import assemble
from loupe.engine.starter.language_model import LanguageModelRecipe, SettlingRecipe
from loupe.engine.starter.saes.recipe import SAERecipe
from loupe.engine.starter.saes.stage import saes
from loupe.engine.starter.score import Sizes
from loupe.engine.starter.stages import StageProgress, Workshop

BY_TOKENS = (
    "reconstructor", "second_reconstructor", "verbalizer", "refinement", "second_refinement", "third_refinement",
    "fourth_refinement",
)  # fmt: skip
OnProgress = Callable[[StageProgress], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Budgets and seeds of a build.

    `scaled` shrinks the budgets, for tests and trials: the gate holds at full scale only. `seeded` moves every stage to
    other documents and other starting values.
    """

    tokenizer_documents: int = 20_000
    binding_model: LanguageModelRecipe = field(default_factory=LanguageModelRecipe)
    language_model: SettlingRecipe = field(default_factory=SettlingRecipe)
    lens: LensRecipe = lens_stage.RECIPE
    lens_documents: int = 3_000
    saes: SAERecipe = field(default_factory=SAERecipe)
    first_example: int = 100_000_000  # documents the language model is not trained on
    documents: int = 22_000
    reconstructor: ReconstructorRecipe = field(default_factory=lambda: ReconstructorRecipe(tokens=5_600_000, seed=1))
    second_reconstructor: ReconstructorRecipe = field(
        default_factory=lambda: ReconstructorRecipe(tokens=5_600_000, seed=11)
    )
    verbalizer: VerbalizerRecipe = field(default_factory=VerbalizerRecipe)
    refinement: VerbalizerRecipe = field(
        default_factory=lambda: VerbalizerRecipe(tokens=3_750_000, matrix_lr=0.012, seed=21)
    )
    second_refinement: VerbalizerRecipe = field(
        default_factory=lambda: VerbalizerRecipe(tokens=4_000_000, matrix_lr=0.012, emphasis=3.0, seed=22)
    )
    third_refinement: VerbalizerRecipe = field(
        default_factory=lambda: VerbalizerRecipe(tokens=4_000_000, emphasis=3.0, mlp_width=768, seed=23)
    )
    spelling: SpellingRecipe = field(default_factory=SpellingRecipe)
    fourth_refinement: VerbalizerRecipe = field(
        default_factory=lambda: VerbalizerRecipe(tokens=5_800_000, matrix_lr=0.012, emphasis=3.0, spelling=0.3, seed=24)
    )
    improvement: ImprovementRecipe = field(default_factory=ImprovementRecipe)
    gated: bool = True

    def scaled(self, scale: float) -> Plan:
        if scale == 1:
            return self
        binding_model = replace(
            self.binding_model,
            documents=max(64, int(self.binding_model.documents * scale)),
            held_out=max(12, int(self.binding_model.held_out * scale)),
            tokens=int(self.binding_model.tokens * scale),
        )
        language_model = replace(
            self.language_model,
            documents=max(64, int(self.language_model.documents * scale)),
            tokens=int(self.language_model.tokens * scale),
        )
        shrunk = {name: replace(recipe := getattr(self, name), tokens=int(recipe.tokens * scale)) for name in BY_TOKENS}
        return replace(
            self,
            tokenizer_documents=max(300, int(self.tokenizer_documents * scale)),
            binding_model=binding_model,
            language_model=language_model,
            lens=lens_stage.scaled(self.lens, scale),
            lens_documents=max(40, int(self.lens_documents * scale)),
            saes=self.saes.scaled(scale),
            documents=max(16, int(self.documents * scale)),
            spelling=replace(self.spelling, steps=max(1, int(self.spelling.steps * scale))),
            improvement=replace(self.improvement, rounds=max(1, int(self.improvement.rounds * scale))),
            gated=False,
            **shrunk,
        )

    def seeded(self, seed: int) -> Plan:
        moved = {
            name: replace(getattr(self, name), seed=getattr(self, name).seed + 1_000 * seed)
            for name in (*BY_TOKENS, "lens", "spelling", "improvement")
        }
        for name in ("binding_model", "language_model", "saes"):
            recipe = getattr(self, name)
            first = recipe.first_document + 1_000_000 * seed
            moved[name] = replace(recipe, seed=recipe.seed + 1_000 * seed, first_document=first)
        return replace(self, first_example=self.first_example + 1_000_000 * seed, **moved)


def run_stage(name: str, workshop: Workshop, plan: Plan) -> Iterator[StageProgress]:
    """The generator of one stage by name."""
    match name:
        case "tokenizer":
            return stages.tokenizer(workshop, plan.tokenizer_documents)
        case "binding_model":
            return stages.binding_model(workshop, plan.binding_model)
        case "language_model":
            block, held_out = plan.binding_model.read_block, plan.binding_model.held_out
            return stages.language_model(workshop, block, held_out, plan.language_model, gated=plan.gated)
        case "lens":
            return lens_stage.lens(workshop, plan.lens, plan.lens_documents)
        case "saes":
            return saes(workshop, plan.saes)
        case "examples":
            return nla_stages.examples(workshop, plan.first_example, plan.documents)
        case "reconstructor" | "second_reconstructor":
            return nla_stages.reconstructor(workshop, name, getattr(plan, name))
        case "verbalizer":
            return nla_stages.verbalizer(workshop, name, "language_model", plan.verbalizer)
        case "refinement":
            return nla_stages.verbalizer(workshop, name, "verbalizer", plan.refinement)
        case "second_refinement":
            return nla_stages.verbalizer(workshop, name, "refinement", plan.second_refinement)
        case "third_refinement":
            return nla_stages.verbalizer(workshop, name, "second_refinement", plan.third_refinement)
        case "spelling":
            return nla_stages.spelling(workshop, name, "third_refinement", plan.spelling)
        case "fourth_refinement":
            return nla_stages.verbalizer(workshop, name, "spelling", plan.fourth_refinement)
        case "improvement":
            return nla_stages.improvement(workshop, name, "fourth_refinement", "reconstructor", plan.improvement)
    raise ValueError(f"There is no stage {name!r}.")


def build_starter(
    target: Path, work: Path, *, seed: int = 0, scale: float = 1.0, on_progress: OnProgress = lambda progress: None
) -> dict[str, Any]:
    """Build everything that `assets/starter` ships into `target`; returns the held-out scores.

    `work` keeps results and checkpoints: the same call after an interruption goes on from there. `seed` is 0 to 89.
    Raises `GateFailed`, and ValueError for a seed that would reach the held-out documents.
    """
    if not 0 <= seed < 90:
        raise ValueError(f"seed must be between 0 and 89, got {seed}: others would train on held-out documents.")
    keep_freed_memory()
    work.mkdir(parents=True, exist_ok=True)
    workshop, plan = Workshop(work), Plan().seeded(seed).scaled(scale)
    for name in ("tokenizer", "binding_model", "language_model", "lens", "examples"):
        finish_stage(name, workshop, plan, on_progress)
    _side_by_side((("verbalizer", "saes"), ("reconstructor", "second_reconstructor")), workshop, plan, on_progress)
    for name in (
        "refinement", "second_refinement", "third_refinement", "spelling", "fourth_refinement", "improvement",
    ):  # fmt: skip
        finish_stage(name, workshop, plan, on_progress)
    sizes = Sizes() if scale == 1 else Sizes.small()
    return assemble(workshop, target, on_progress, sizes, limited=plan.gated)


def finish_stage(name: str, workshop: Workshop, plan: Plan, on_progress: OnProgress) -> None:
    """Run a stage unless its result is there; note its cost in the log."""
    if _finished(name, workshop):
        return
    began, last = time.monotonic(), None
    for last in run_stage(name, workshop, plan):
        on_progress(last)
        if last.done == last.total or len(last.measures) > 2:
            _note(workshop, last, time.monotonic() - began)
    shutil.rmtree(workshop.checkpoint(name), ignore_errors=True)
    workshop.checkpoint(name).unlink(missing_ok=True)


def _finished(name: str, workshop: Workshop) -> bool:
    result = workshop.result(name)
    return result.exists() or result.with_suffix(".safetensors").exists()


def _note(workshop: Workshop, progress: StageProgress, seconds: float) -> None:
    line = {"stage": progress.stage, "done": progress.done, "total": progress.total, "seconds": round(seconds, 1)}
    with (workshop.folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(line | progress.measures) + "\n")


def _side_by_side(lanes: tuple[tuple[str, ...], ...], workshop: Workshop, plan: Plan, on_progress: OnProgress) -> None:
    """Run lanes of stages, each lane in a process of its own. Raises RuntimeError when a lane dies."""
    context = multiprocessing.get_context("spawn")
    reports: Any = context.Queue()
    threads = max(1, (os.cpu_count() or 1) // len(lanes))
    processes = [context.Process(target=_lane, args=(lane, workshop, plan, threads, reports)) for lane in lanes]
    for process in processes:
        process.start()
    running = len(processes)
    try:
        while running:
            try:
                report = reports.get(timeout=5)
            except queue.Empty:
                _check_alive(processes)
                continue
            if report is None:
                running -= 1
            elif isinstance(report, str):
                raise RuntimeError(report)
            else:
                on_progress(report)
    finally:
        for process in processes:
            process.terminate() if process.exitcode is None and running else process.join()


def _check_alive(processes: list[Any]) -> None:
    for process in processes:
        if process.exitcode not in (None, 0):
            raise RuntimeError(
                f"A training process ended with code {process.exitcode}; build again to go on from there."
            )


def _lane(lane: tuple[str, ...], workshop: Workshop, plan: Plan, threads: int, reports: Any) -> None:
    import torch

    keep_freed_memory()
    torch.set_num_threads(threads)
    try:
        for name in lane:
            finish_stage(name, workshop, plan, reports.put)
    except BaseException as error:  # the parent must hear of whatever ended this process
        reports.put(f"{' and '.join(lane)}: {type(error).__name__}: {error}")
        raise
    reports.put(None)
