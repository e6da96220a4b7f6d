"""How good the starter's SAEs are, on documents nothing was trained on, from their folders alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from loupe.engine.data.rows import TokenRows
from loupe.engine.models.hooks import HookPoint, intervene
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.sae.evaluation import EvaluationCard, evaluate
from loupe.engine.sae.formats.loaded import LoadedSAE
from loupe.engine.sae.formats.saelens import read_saelens
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
    means = _means(lm, [_writes(loaded)[0] for loaded in read.values()], rows)
    for name, loaded in read.items():
        card, (point,) = _card(lm, loaded, rows).to_dict(), _writes(loaded)
        card |= {"k": loaded.sae.config.k, "ce_mean": _ce_with(lm, point, means[point], rows)}
        scores["cards"][name] = card | {"tokens_trained": _tokens_trained(folder / name)}
    on_progress("concepts in single features")
    residual = {each.hook_points[0]: each.sae for each in read.values() if each.hook_point_out is None}
    tables = concept_tables(lm, residual, JUDGED_DOCUMENT + 500_000, concept_documents) if residual else {}
    return scores | {"concepts": {str(point): table for point, table in tables.items()}}


def _card(lm: LanguageModel, loaded: LoadedSAE, rows: TokenRows) -> EvaluationCard:
    return _finish(evaluate(lm, loaded.sae, loaded.hook_points, rows, writes=_writes(loaded)))


def _writes(loaded: LoadedSAE) -> tuple[HookPoint, ...]:
    return (loaded.hook_point_out,) if loaded.hook_point_out else loaded.hook_points


def _means(lm: LanguageModel, points: list[HookPoint], rows: TokenRows) -> dict[HookPoint, Tensor]:
    """The mean activation at every hook point, over the tokens that SAEs are judged on."""
    found = list(activations_of(lm, points, _documents(rows)))
    return {point: torch.cat([each[point] for each in found]).mean(0) for point in points}


@torch.no_grad()
def _ce_with(lm: LanguageModel, point: HookPoint, mean: Tensor, rows: TokenRows) -> float:
    """The model's loss per token when all but the first token of each document have this activation."""

    def changed(hidden: Tensor) -> Tensor:
        return torch.cat([hidden[:, :1], mean.to(hidden).expand_as(hidden[:, 1:])], dim=1)

    total, count = 0.0, 0
    for document in _documents(rows):
        ids = torch.from_numpy(document)[None]
        with intervene(lm, point, changed):
            logits = lm.logits(ids)
        total += float(F.cross_entropy(logits[0, :-1].float(), ids[0, 1:], reduction="sum"))
        count += ids.shape[1] - 1
    return total / count


def _documents(rows: TokenRows) -> Iterator[np.ndarray]:
    return (rows.ids(row) for row in range(len(rows)))


def _tokens_trained(place: Path) -> int:
    training = json.loads((place / "training_config.json").read_text(encoding="utf-8"))
    return training["steps"] * training["batch_rows"]


def _finish(steps: Generator[None, None, EvaluationCard]) -> EvaluationCard:
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value
