"""The starter's SAEs: two on the residual stream, and a transcoder for every MLP, from one pass over the model.

All are trained by the same job that users run, on documents that the language model has not seen, written in the
SAELens format in fp16, read back, and judged as read: a card each, and for the residual stream a table of how well
single features know the world's concepts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loupe.engine.context import JobContext
from loupe.engine.data.rows import TokenRows, token_rows
from loupe.engine.jobs import Progress
from loupe.engine.models.hooks import HookPoint, Site, capture
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model
from loupe.engine.sae.checkpoint import TrainingState, newest_usable
from loupe.engine.sae.config import Architecture, SAEConfig, TrainingConfig
from loupe.engine.sae.evaluation import evaluate
from loupe.engine.sae.formats.saelens import facts_of, read_saelens, write_saelens
from loupe.engine.sae.measures import Measures
from loupe.engine.sae.plan import SAERun, TrainingPlan
from loupe.engine.sae.probing import ConceptScore, probe_concepts
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.stream import ActivationStream
from loupe.engine.sae.topk import SparseActs
from loupe.engine.sae.trainer import TrainedSAE, TrainingJob
from loupe.engine.starter.corpus import HELD_OUT_SEED, MAX_TOKENS, STATE, Row, make_rows
from loupe.engine.starter.stages import StageProgress, Workshop
from loupe.engine.starter.world.story import write_document

MODEL_NAME = "loupe-starter"
FIRST_DOCUMENT = 200_000_000  # neither the language model nor the NLA has seen these
JUDGED_DOCUMENT = HELD_OUT_SEED + 2_000_000
CONCEPTS = {"who": "who", "object": "thing", "place": "place", "feeling": "mood"}


@dataclass(frozen=True, slots=True)
class SAERecipe:
    """Sizes and budgets: residual SAEs at `layers`, transcoders at every MLP, `tokens` of training for all at once."""

    layers: tuple[int, ...] = (1, 3)
    d_sae: int = 2048
    k: int = 24
    d_transcoder: int = 1024
    k_transcoder: int = 24
    documents: int = 14_000
    tokens: int = 2_000_000
    batch_rows: int = 1024
    lr: float = 1e-3
    judged_documents: int = 120
    probed_documents: int = 500
    seed: int = 41

    @property
    def buffer_rows(self) -> int:
        """Tokens shuffled together: twelve hook points of them are in memory at once."""
        return min(16_384, max(2048, self.tokens))

    def scaled(self, scale: float) -> SAERecipe:
        """For tests and trials."""
        return replace(
            self,
            documents=max(40, int(self.documents * scale)),
            tokens=max(4 * self.batch_rows, int(self.tokens * scale)),
            judged_documents=max(8, int(self.judged_documents * scale)),
            probed_documents=max(40, int(self.probed_documents * scale)),
        )


def saes(workshop: Workshop, recipe: SAERecipe) -> Iterator[StageProgress]:
    """Train, write, read back and judge; leaves `saes/<hook point>/` folders and `saes/scores.json`."""
    lm = load_model(workshop.result("language_model"), dtype="fp32")
    plan = training_plan(recipe, lm)
    rows = _token_rows(lm, range(FIRST_DOCUMENT, FIRST_DOCUMENT + recipe.documents))
    trained = yield from _trained(workshop, recipe, plan, lm, rows)
    with workshop.publishing("saes") as folder:
        for each in trained:
            _write(folder / folder_of(each.run), each.run, each.sae, lm, plan)
        scores: dict[str, Any] = {"tokens": plan.training.steps * plan.training.batch_rows, "cards": {}, "concepts": {}}
        judged = _token_rows(lm, range(JUDGED_DOCUMENT, JUDGED_DOCUMENT + recipe.judged_documents))
        for number, run in enumerate(plan.runs, start=1):
            sae = read_saelens(folder / folder_of(run)).sae
            card = _finish(evaluate(lm, sae, run.reads, judged, writes=run.writes)).to_dict()
            (folder / folder_of(run) / "evals.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
            scores["cards"][folder_of(run)] = card
            if not run.sae.is_transcoder:
                scores["concepts"][folder_of(run)] = concept_table(lm, sae, run.reads[0], recipe.probed_documents)
            yield StageProgress(
                "saes: judging", number, len(trained), {"explained_variance": card["explained_variance"]}
            )
        (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    yield StageProgress("saes", plan.training.steps, plan.training.steps, {})


def training_plan(recipe: SAERecipe, lm: LanguageModel) -> TrainingPlan:
    """Every SAE of the starter in one job."""
    runs = [
        _run(HookPoint(layer), HookPoint(layer), SAEConfig(Architecture.BATCHTOPK, lm.d_model, recipe.d_sae, recipe.k))
        for layer in recipe.layers
    ]
    transcoder = SAEConfig(Architecture.TRANSCODER, lm.d_model, recipe.d_transcoder, recipe.k_transcoder)
    runs += [
        _run(HookPoint(layer, Site.MLP_IN), HookPoint(layer, Site.MLP_OUT), transcoder) for layer in range(lm.n_layers)
    ]
    training = TrainingConfig(
        steps=recipe.tokens // recipe.batch_rows,
        batch_rows=recipe.batch_rows,
        lr=recipe.lr,
        dead_tokens=max(1, min(200_000, recipe.tokens // 10)),
        initial_rows=recipe.buffer_rows,
        threshold_rows=min(1 << 17, recipe.tokens),
        checkpoint_interval=200,
        seed=recipe.seed,
    )
    return TrainingPlan(tuple(runs), training)


def folder_of(run: SAERun) -> str:
    """The hook point that is reconstructed: `blocks.3.resid_post`, `blocks.0.mlp_out`."""
    return str(run.writes[0])


def concept_table(lm: LanguageModel, sae: SAE, point: HookPoint, documents: int) -> dict[str, Any]:
    """F1 of the best single feature for every value of who, object, place and feeling that occurs often enough.

    Features and thresholds are chosen on the even documents and scored on the odd ones. Where the text has not said
    yet who, what or where, the token counts as "not this one".
    """
    assert lm.tokenizer is not None
    rows = make_rows(lm.tokenizer, range(JUDGED_DOCUMENT + 500_000, JUDGED_DOCUMENT + 500_000 + documents))
    acts = _codes(lm, sae, point, rows)
    is_scored = torch.cat([torch.full((len(row.ids) - 1,), number % 2 == 1) for number, row in enumerate(rows)])
    state = torch.cat([torch.from_numpy(row.state[1:]) for row in rows])
    table = {}
    for concept, slot in CONCEPTS.items():
        column = state[:, list(STATE).index(slot)]
        labels = {value: column == index for index, value in enumerate(STATE[slot])}
        table[concept] = _summary(probe_concepts(acts, sae.d_sae, labels, is_scored, least=50))
    return table


def _summary(scores: tuple[ConceptScore, ...]) -> dict[str, Any]:
    found = sorted((score.f1 for score in scores), reverse=True)
    if not found:
        return {"values": 0}
    return {
        "values": len(found),
        "mean_f1": sum(found) / len(found),
        "median_f1": found[len(found) // 2],
        "mean_chance": sum(score.chance for score in scores) / len(scores),
        "above_0.5": sum(f1 > 0.5 for f1 in found),
        "above_0.8": sum(f1 > 0.8 for f1 in found),
        "each": [score.to_dict() for score in sorted(scores, key=lambda score: -score.f1)],
    }


def _run(reads: HookPoint, writes: HookPoint, sae: SAEConfig) -> SAERun:
    return SAERun(str(writes), sae, (reads,), (writes,))


def _trained(
    workshop: Workshop, recipe: SAERecipe, plan: TrainingPlan, lm: LanguageModel, rows: TokenRows
) -> Generator[StageProgress, None, tuple[TrainedSAE, ...]]:
    """Run the training job, from the last checkpoint in the workshop where there is one."""
    stream = ActivationStream(lm, rows, plan.points, seed=recipe.seed, buffer_rows=recipe.buffer_rows)
    kept = _Folders(workshop.checkpoint("saes"))
    state = kept.newest(plan)
    job = TrainingJob(plan, stream, state=state, saves_beside=False)
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


class _Folders:
    """Checkpoints as plain folders of the workshop; only the newest two are kept."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def write(self, kind: str, name: str, details: Mapping[str, object] | None = None) -> Iterator[Any]:
        step = (details or {}).get("step", 0)
        aside = self.root / ".part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield _Draft(f"{step:08d}", aside)
        target = self.root / f"{step:08d}"
        shutil.rmtree(target, ignore_errors=True)
        aside.replace(target)
        for old in self._all()[2:]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self, plan: TrainingPlan) -> TrainingState | None:
        """The newest checkpoint of this very plan."""
        state, _ = newest_usable(self._all())
        return state if state is not None and state.plan == plan else None

    def _all(self) -> list[Path]:
        return sorted((path for path in self.root.glob("[0-9]*") if path.is_dir()), reverse=True)


@dataclass(slots=True)
class _Draft:
    id: str
    folder: Path
    details: dict[str, object] = field(default_factory=dict)

    def write(self, name: str, data: bytes) -> Path:
        (self.folder / name).write_bytes(data)
        return self.folder / name


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


def _token_rows(lm: LanguageModel, seeds: range) -> TokenRows:
    """One document a row. What the documents say is not looked at here, which is most of what `make_rows` costs."""
    assert lm.tokenizer is not None
    backend: Any = lm.tokenizer.backend_tokenizer
    encodings = backend.encode_batch([write_document(seed).text for seed in seeds])
    return token_rows([encoding.ids[:MAX_TOKENS] for encoding in encodings])


def _codes(lm: LanguageModel, sae: SAE, point: HookPoint, rows: list[Row]) -> SparseActs:
    """The active latents of every token but the first of each document."""
    parts = [_encoded(lm, sae, point, row) for row in rows]
    width = max(part.values.shape[1] for part in parts)

    def padded(tensor: Tensor) -> Tensor:
        return torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]))

    return SparseActs(
        torch.cat([padded(part.values) for part in parts]), torch.cat([padded(part.indices) for part in parts])
    )


@torch.no_grad()
def _encoded(lm: LanguageModel, sae: SAE, point: HookPoint, row: Row) -> SparseActs:
    with capture(lm, [point], stop=True) as store:
        lm.forward(torch.from_numpy(row.ids)[None])
    return sae.encode_sparse(store[point][0, 1:])


def _finish(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value


def card_section(scores: Mapping[str, Any]) -> str:
    """The paragraphs about SAEs in the starter's model card, from `saes/scores.json`."""
    cards = "\n".join(_card_line(name, card) for name, card in scores["cards"].items())
    concepts = "\n".join(
        f"| {place} | {concept} | {found['values']} | {found['mean_f1']:.2f} | {found['median_f1']:.2f} "
        f"| {found['mean_chance']:.2f} | {found['above_0.5']} | {found['above_0.8']} |"
        for place, table in scores["concepts"].items()
        for concept, found in table.items()
        if found["values"]
    )
    return CARD.format(tokens=scores["tokens"], cards=cards, concepts=concepts)


def _card_line(name: str, card: Mapping[str, Any]) -> str:
    recovered = [card["ce_recovered"], card["kl_recovered"]]
    ratios = " | ".join("" if value is None else f"{value:.3f}" for value in recovered)
    return (
        f"| `saes/{name}` | {sum(card['density'])} | {card['l0']:.1f} | {card['explained_variance']:.3f} "
        f"| {card['ce_clean']:.3f} / {card['ce_sae']:.3f} / {card['ce_zero']:.3f} | {ratios} "
        f"| {card['dead_share']:.1%} | {card['shrinkage']:.3f} |"
    )


CARD = """\
## Sparse autoencoders
BatchTopK SAEs on the residual stream and BatchTopK transcoders for every MLP, trained together on {tokens} tokens of
documents that the language model has not seen; scores on held-out documents, of the shipped fp16 weights.
"Dead" counts latents that fired on none of the tokens evaluated.

| folder | latents | L0 | explained variance | CE clean / SAE / zero | CE recovered | KL recovered | dead | shrinkage |
|---|---|---|---|---|---|---|---|---|
{cards}

How well the best single feature tells what the text has said so far, by F1 on documents it was not chosen on; "chance"
is the F1 of always saying yes.

| SAE | concept | values | mean F1 | median F1 | chance | above 0.5 | above 0.8 |
|---|---|---|---|---|---|---|---|
{concepts}
"""
