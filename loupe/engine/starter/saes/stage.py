"""The starter's SAEs: two on the residual stream, and a transcoder for every MLP, from one pass over the model.

All are trained by the same job that users run, on documents that the language model has not seen, written in the
SAELens format in fp16 without the latents that died, read back, and judged as read, their thresholds settled once more:
an evaluation card lies beside each.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from loupe.engine.context import JobContext
from loupe.engine.jobs import Progress
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model
from loupe.engine.sae.formats.saelens import facts_of, write_saelens
from loupe.engine.sae.measures import Measures
from loupe.engine.sae.plan import SAERun, TrainingPlan
from loupe.engine.sae.pruning import fires, pruned
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.stream import ActivationStream
from loupe.engine.sae.trainer import TrainedSAE, TrainingJob
from loupe.engine.starter.corpus import plain_rows
from loupe.engine.starter.saes.activations import activations_of, documents
from loupe.engine.starter.saes.checkpoints import Checkpoints
from loupe.engine.starter.saes.recipe import SAERecipe, folder_of, training_plan
from loupe.engine.starter.saes.score import judge, judged_rows
from loupe.engine.starter.saes.thresholds import settle_thresholds
from loupe.engine.starter.stages import StageProgress, Workshop

MODEL_NAME = "loupe-starter"


def saes(workshop: Workshop, recipe: SAERecipe) -> Iterator[StageProgress]:
    """Train, write, read back and judge; leaves `saes/<hook point>/` folders."""
    lm = load_model(workshop.result("language_model"), dtype="fp32")
    plan = training_plan(recipe, lm)
    trained = _without_dead(lm, (yield from _trained(workshop, recipe, plan, lm)), recipe)
    judged = judged_rows(lm, recipe.judged_documents)
    with workshop.publishing("saes") as folder:
        places = [folder / folder_of(each.run) for each in trained]
        for place, each in zip(places, trained, strict=True):
            _write(place, each.run, each.sae, lm, plan)
        settle_thresholds(lm, places, documents(lm, recipe.settling))
        for place in places:
            card = judge(lm, place, judged).to_dict()
            (place / "evals.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
            measures = {f"{place.name} {name}": card[name] for name in ("explained_variance", "l0", "dead_share")}
            yield StageProgress("saes", plan.training.steps, plan.training.steps, measures)


def _trained(
    workshop: Workshop, recipe: SAERecipe, plan: TrainingPlan, lm: LanguageModel
) -> Generator[StageProgress, None, tuple[TrainedSAE, ...]]:
    """Run the training job, from the last checkpoint in the workshop where there is one."""
    assert lm.tokenizer is not None
    first = recipe.first_document
    rows = plain_rows(lm.tokenizer, range(first, first + recipe.documents))
    stream = ActivationStream(lm, rows, plan.points, seed=recipe.seed, buffer_rows=recipe.buffer_rows)
    kept = Checkpoints(workshop.checkpoint("saes"))
    job = TrainingJob(plan, stream, state=kept.newest(plan), saves_beside=False)
    steps = job.run(JobContext(writer=kept.write))
    points: dict[str, Measures] = {}
    while True:
        try:
            event = next(steps)
        except StopIteration as finished:
            return finished.value.saes
        if isinstance(event, Progress) and isinstance(event.item, Measures):
            points[event.item.name] = event.item
            if len(points) == len(plan.runs):
                yield StageProgress("saes", event.done, plan.training.steps, _measures(points))
                points = {}


def _measures(points: Mapping[str, Measures]) -> dict[str, float]:
    explained = [point.explained_variance or 0.0 for point in points.values()]
    return {
        "explained_variance": sum(explained) / len(explained),
        "least_explained": min(explained),
        "dead_share": max(point.dead_share for point in points.values()),
    }


def _without_dead(lm: LanguageModel, trained: tuple[TrainedSAE, ...], recipe: SAERecipe) -> tuple[TrainedSAE, ...]:
    """The same without the latents that fire on none of the tokens of further documents."""
    points = [each.run.reads[0] for each in trained]
    seen = [torch.zeros(each.sae.d_sae, dtype=torch.bool) for each in trained]
    for found in activations_of(lm, points, documents(lm, recipe.census)):
        seen = [each | fires(it.sae, found[it.run.reads[0]]) for each, it in zip(seen, trained, strict=True)]
    return tuple(replace(it, sae=pruned(it.sae, each)) for each, it in zip(seen, trained, strict=True))


def _write(folder: Path, run: SAERun, sae: SAE, lm: LanguageModel, plan: TrainingPlan) -> None:
    folder.mkdir(parents=True)
    write_saelens(
        folder,
        sae,
        run.reads,
        facts_of(lm, MODEL_NAME),
        hook_point_out=run.writes[0] if run.sae.is_transcoder else None,
        store_dtype=torch.float16,
        training=plan.settled(run).to_dict(),
    )
