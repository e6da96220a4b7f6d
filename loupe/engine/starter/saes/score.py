"""How good the starter's SAEs are, on documents nothing was trained on, from their folders alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import torch

from loupe.engine.data.rows import TokenRows
from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.sae.evaluation import EvaluationCard, evaluate
from loupe.engine.sae.formats.loaded import LoadedSAE
from loupe.engine.sae.formats.saelens import read_saelens
from loupe.engine.sae.sae import SAE
from loupe.engine.starter.corpus import HELD_OUT_SEED, plain_rows
from loupe.engine.starter.saes.activations import activations_of
from loupe.engine.starter.saes.concepts import concept_tables

JUDGED_DOCUMENT = HELD_OUT_SEED + 2_000_000


def judged_rows(lm: LanguageModel, documents: int) -> TokenRows:
    """Held-out documents as token rows."""
    assert lm.tokenizer is not None
    return plain_rows(lm.tokenizer, range(JUDGED_DOCUMENT, JUDGED_DOCUMENT + documents))


def judge(lm: LanguageModel, place: Path, rows: TokenRows) -> EvaluationCard:
    """The evaluation card of an SAE as read from its folder."""
    return _card(lm, read_saelens(place), rows)


def score_saes(
    lm: LanguageModel,
    folder: Path,
    documents: int,
    concept_documents: int,
    on_progress: Callable[[str], None] = lambda step: None,
) -> dict[str, Any]:
    """A card per SAE, with the CE of a model whose activation is replaced by its mean, and the concept tables."""
    rows = judged_rows(lm, documents)
    scores: dict[str, Any] = {"cards": {}}
    read = {place.parent.name: read_saelens(place.parent) for place in sorted(folder.glob("*/cfg.json"))}
    on_progress("SAEs")
    for name, loaded in read.items():
        card = _card(lm, loaded, rows).to_dict()
        card["ce_mean"] = _card(lm, _mean_predictor(lm, loaded, rows), rows).ce_sae
        scores["cards"][name] = card | {"k": loaded.sae.config.k, "tokens_trained": _tokens_trained(folder / name)}
    on_progress("concepts in single features")
    residual = {each.hook_points[0]: each.sae for each in read.values() if each.hook_point_out is None}
    tables = concept_tables(lm, residual, JUDGED_DOCUMENT + 500_000, concept_documents) if residual else {}
    return scores | {"concepts": {str(point): table for point, table in tables.items()}}


def _card(lm: LanguageModel, loaded: LoadedSAE, rows: TokenRows) -> EvaluationCard:
    return _finish(evaluate(lm, loaded.sae, loaded.hook_points, rows, writes=_writes(loaded)))


def _writes(loaded: LoadedSAE) -> tuple[HookPoint, ...]:
    return (loaded.hook_point_out,) if loaded.hook_point_out else loaded.hook_points


@torch.no_grad()
def _mean_predictor(lm: LanguageModel, loaded: LoadedSAE, rows: TokenRows) -> LoadedSAE:
    """An SAE of the same kind that always answers with the mean of what it should reconstruct."""
    point = _writes(loaded)[0]
    documents = (rows.ids(row) for row in range(len(rows)))
    blank = SAE(loaded.sae.config)
    blank.b_dec.copy_(torch.cat([each[point] for each in activations_of(lm, [point], documents)]).mean(0))
    return LoadedSAE(blank, loaded.hook_points, loaded.model_name, loaded.source_format, (), loaded.hook_point_out)


def _tokens_trained(place: Path) -> int:
    training = json.loads((place / "training_config.json").read_text(encoding="utf-8"))
    return training["steps"] * training["batch_rows"]


def _finish(steps: Generator[None, None, EvaluationCard]) -> EvaluationCard:
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value
