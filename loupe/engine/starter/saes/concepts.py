"""How well single features know the world's concepts, beside two ways that need no SAE.

Every value of who, object, place and feeling is a concept: it holds at every token from where the text has said it
until the text says another. Features and thresholds are chosen on the even documents and scored on the odd ones.

- the same search over as many random directions, that fire as often: what searching alone finds;
- a linear probe on the activation itself (one softmax over the values and "none of them", a fixed number of steps):
  what weighing all d_model numbers finds. It is no ceiling: a feature was trained on far more tokens and need tell one
  value alone, the probe all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.sae.probing import ConceptScore, best_threshold, f1_score, probe_concepts
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.threshold import ThresholdCount
from loupe.engine.sae.topk import SparseActs
from loupe.engine.starter.corpus import STATE, Row, make_rows
from loupe.engine.starter.saes.activations import activations_of

CONCEPTS = {"who": "who", "object": "thing", "place": "place", "feeling": "mood"}
LEAST_TOKENS = 50  # a value needs so many in both halves to be scored
PROBE_STEPS, PROBE_ROWS, PROBE_LR = 500, 2048, 0.02
ROWS_AT_ONCE = 2048


class Labelled(NamedTuple):
    """Tokens of held-out documents: activations at every hook point, what the text has said, which half they are in."""

    activations: dict[HookPoint, Float[Tensor, "tokens d_model"]]
    state: Int[Tensor, "tokens slots"]
    is_scored: Bool[Tensor, " tokens"]


def concept_tables(
    lm: LanguageModel, saes: Mapping[HookPoint, SAE], first_document: int, documents: int
) -> dict[HookPoint, dict[str, Any]]:
    """F1 of the best single feature for every value of every concept that occurs often enough, for every SAE."""
    assert lm.tokenizer is not None
    rows = make_rows(lm.tokenizer, range(first_document, first_document + documents))
    tokens = _labelled(lm, list(saes), rows)
    return {point: _table(tokens, point, sae) for point, sae in saes.items()}


def _labelled(lm: LanguageModel, points: list[HookPoint], rows: list[Row]) -> Labelled:
    """Every token but the first of each document."""
    found = list(activations_of(lm, points, (row.ids for row in rows)))
    return Labelled(
        {point: torch.cat([each[point] for each in found]) for point in points},
        torch.cat([torch.from_numpy(row.state[1:]) for row in rows]),
        torch.cat([torch.full((len(row.ids) - 1,), number % 2 == 1) for number, row in enumerate(rows)]),
    )


def _table(tokens: Labelled, point: HookPoint, sae: SAE) -> dict[str, Any]:
    x = tokens.activations[point]
    code, floor = _encoded(sae, x), _encoded(_random_directions(sae, x), x)
    table = {}
    for concept, slot in CONCEPTS.items():
        values = tokens.state[:, list(STATE).index(slot)]
        labels = {value: values == index for index, value in enumerate(STATE[slot])}
        scores = probe_concepts(code, sae.d_sae, labels, tokens.is_scored, least=LEAST_TOKENS)
        if not scores:
            table[concept] = {"values": 0}
            continue
        told = {score.concept: labels[score.concept] for score in scores}
        random = probe_concepts(floor, sae.d_sae, told, tokens.is_scored, least=LEAST_TOKENS)
        table[concept] = _summary(scores) | {
            "mean_f1_random": _mean(score.f1 for score in random),
            "mean_f1_linear": _mean(_linear_probe(x, told, tokens.is_scored)),
        }
    return table


def _summary(scores: tuple[ConceptScore, ...]) -> dict[str, Any]:
    found = sorted((score.f1 for score in scores), reverse=True)
    return {
        "values": len(found),
        "mean_f1": _mean(found),
        "median_f1": found[len(found) // 2],
        "mean_chance": _mean(score.chance for score in scores),
        "above_0.5": sum(f1 > 0.5 for f1 in found),
        "above_0.8": sum(f1 > 0.8 for f1 in found),
        "each": [score.to_dict() for score in sorted(scores, key=lambda score: -score.f1)],
    }


def _mean(values: Any) -> float:
    known = list(values)
    return sum(known) / len(known)


@torch.no_grad()
def _encoded(sae: SAE, x: Float[Tensor, "tokens d_in"]) -> SparseActs:
    parts = [sae.encode_sparse(part) for part in x.split(ROWS_AT_ONCE)]
    width = max(part.values.shape[1] for part in parts)

    def padded(tensor: Tensor) -> Tensor:
        return F.pad(tensor, (0, width - tensor.shape[1]))

    return SparseActs(
        torch.cat([padded(part.values) for part in parts]), torch.cat([padded(part.indices) for part in parts])
    )


@torch.no_grad()
def _random_directions(sae: SAE, x: Float[Tensor, "tokens d_in"]) -> SAE:
    """As many latents that read random directions of the centred activations, and as many active per token."""
    blank = SAE(sae.config)
    directions = torch.randn(sae.d_sae, sae.d_in, generator=torch.Generator().manual_seed(0))
    blank.W_enc.copy_(F.normalize(directions, dim=1).t())
    blank.b_dec.copy_(x.mean(0))
    count = ThresholdCount(blank)
    for part in x[:: max(1, len(x) // 8192)].split(ROWS_AT_ONCE):
        count.add(part)
    assert sae.config.k is not None
    blank.threshold.fill_(count.threshold(sae.config.k))
    return blank


def _linear_probe(
    x: Float[Tensor, "tokens d"], labels: Mapping[str, Bool[Tensor, " tokens"]], is_scored: Bool[Tensor, " tokens"]
) -> list[float]:
    """F1 per value of a softmax over the values and "none", with a threshold for each as the features have."""
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-6)
    told = torch.stack(list(labels.values()), dim=1)
    target = torch.where(told.any(1), told.int().argmax(1), told.shape[1])
    weight, bias = _softmax_fit(x[~is_scored], target[~is_scored], told.shape[1] + 1)
    sure = torch.softmax(x @ weight + bias, dim=1)
    found = []
    for column, label in zip(sure.t(), told.t(), strict=False):
        _, threshold = best_threshold(column[~is_scored], label[~is_scored])
        found.append(f1_score(column[is_scored] > threshold, label[is_scored])[0])
    return found


def _softmax_fit(
    x: Float[Tensor, "tokens d"], target: Int[Tensor, " tokens"], classes: int
) -> tuple[Float[Tensor, "d classes"], Float[Tensor, " classes"]]:
    """Softmax regression by Adam, its rate falling to 0."""
    weight, bias = torch.zeros(x.shape[1], classes), torch.zeros(classes)
    for each in (weight, bias):
        each.requires_grad_(True)
    optimizer = torch.optim.Adam([weight, bias], lr=PROBE_LR)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, PROBE_STEPS)
    generator = torch.Generator().manual_seed(0)
    for _ in range(PROBE_STEPS):
        rows = torch.randint(len(x), (PROBE_ROWS,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(x[rows] @ weight + bias, target[rows]).backward()
        optimizer.step()
        falling.step()
    return weight.detach(), bias.detach()
