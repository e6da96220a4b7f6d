"""Do single features, or a few, know a concept? k-sparse probing against labels per token (arXiv 2305.01610).

For every concept (a true or false per token) the best single feature is looked for on one part of the tokens and
scored on the other: F1 of "its activation is above t", with t chosen where it was looked for. With k features, a
logistic probe on the k whose mean differs most between the classes. A search over many features finds some that fit by
chance; only scores on the other part are reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from loupe.engine.errors import BadInput, BadOption
from loupe.engine.sae.topk import SparseActs

CANDIDATES = 32  # features whose thresholds are searched, per concept
NEWTON_STEPS = 25
RIDGE = 1e-2


@dataclass(frozen=True, slots=True)
class ConceptScore:
    """How well features tell one concept: scores are on tokens they were not chosen on.

    `threshold` is for the single feature's activation (k = 1), or for the probe's probability. `chance` is the F1 of
    always saying yes; `positives` counts the tokens, among those scored, that have the concept.
    """

    concept: str
    features: tuple[int, ...]
    f1: float
    precision: float
    recall: float
    threshold: float
    chance: float
    positives: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return asdict(self)


@torch.no_grad()
def probe_concepts(
    acts: SparseActs,
    d_sae: int,
    concepts: Mapping[str, Bool[Tensor, " labelled"]],
    is_scored: Bool[Tensor, " scored_or_not"],
    k: int = 1,
    least: int = 20,
) -> tuple[ConceptScore, ...]:
    """A score per concept that has at least `least` tokens in both parts; `is_scored` marks the part to score on.

    Raises BadInput (lengths differ), BadOption (k below 1 or above d_sae).
    """
    if not 1 <= k <= d_sae:
        raise BadOption(f"A probe of {k} features over {d_sae} latents makes no sense.")
    if any(len(labels) != len(acts.values) for labels in concepts.values()) or len(is_scored) != len(acts.values):
        raise BadInput("Every concept needs one label for each token that was encoded.")
    chosen_on = ~is_scored
    names = [
        name
        for name, labels in concepts.items()
        if int((labels & is_scored).sum()) >= least and int((labels & chosen_on).sum()) >= least
    ]
    ranking = _ranked(acts, d_sae, [concepts[name] for name in names], chosen_on)
    code = _by_latent(acts, d_sae)
    return tuple(
        _score(code, name, concepts[name], is_scored, candidates[: max(k, CANDIDATES)].tolist(), k)
        for name, candidates in zip(names, ranking, strict=True)
    )


def f1_score(said: Bool[Tensor, " tokens"], true: Bool[Tensor, " tokens"]) -> tuple[float, float, float]:
    """(F1, precision, recall); 0 where they are not defined."""
    hits, said_yes, true_yes = int((said & true).sum()), int(said.sum()), int(true.sum())
    precision = hits / said_yes if said_yes else 0.0
    recall = hits / true_yes if true_yes else 0.0
    return (2 * hits / (said_yes + true_yes) if said_yes + true_yes else 0.0), precision, recall


def _ranked(acts: SparseActs, d_sae: int, concepts: Sequence[Tensor], chosen_on: Tensor) -> list[Tensor]:
    """Per concept, features by the F1 of merely firing; one pass over the code for all concepts."""
    fired_with = torch.zeros(d_sae, len(concepts))
    fired = torch.zeros(d_sae)
    labels = torch.stack([each.float() for each in concepts], dim=1) if concepts else torch.zeros(len(acts.values), 0)
    labels = labels * chosen_on[:, None]
    for slot in range(acts.values.shape[1]):
        used = (acts.values[:, slot] > 0) & chosen_on
        latents = acts.indices[used, slot]
        fired.index_add_(0, latents, torch.ones(len(latents)))
        fired_with.index_add_(0, latents, labels[used])
    f1 = 2 * fired_with / (fired[:, None] + labels.sum(0)).clamp(min=1)
    return [column.argsort(descending=True) for column in f1.t()]


class _ByLatent(NamedTuple):
    """A code sorted by latent: where latent i fires is `tokens[starts[i]:starts[i + 1]]`, and how much, `values`."""

    rows: int
    tokens: Int[Tensor, " active"]
    values: Float[Tensor, " active"]
    starts: list[int]


def _by_latent(acts: SparseActs, d_sae: int) -> _ByLatent:
    tokens, slots = (acts.values > 0).nonzero(as_tuple=True)
    latents = acts.indices[tokens, slots]
    order = latents.argsort(stable=True)
    ends = torch.bincount(latents, minlength=d_sae).cumsum(0).tolist()
    return _ByLatent(len(acts.values), tokens[order], acts.values[tokens, slots][order], [0, *ends])


def _columns(code: _ByLatent, features: Sequence[int]) -> Float[Tensor, "tokens k"]:
    """The activation of a few features on every token."""
    columns = torch.zeros(len(features), code.rows)
    for column, feature in zip(columns, features, strict=True):
        fires = slice(code.starts[feature], code.starts[feature + 1])
        column[code.tokens[fires]] = code.values[fires]
    return columns.t()


def _score(
    code: _ByLatent, name: str, labels: Tensor, is_scored: Tensor, candidates: list[int], k: int
) -> ConceptScore:
    if k == 1:
        features, scores, threshold = _best_single(code, labels, ~is_scored, candidates)
    else:
        features, scores, threshold = _probe(code, labels, ~is_scored, candidates, k)
    f1, precision, recall = f1_score(scores[is_scored] > threshold, labels[is_scored])
    positives, scored = int(labels[is_scored].sum()), int(is_scored.sum())
    chance = 2 * positives / (scored + positives)
    return ConceptScore(name, tuple(features), f1, precision, recall, threshold, chance, positives)


def _best_single(
    code: _ByLatent, labels: Tensor, chosen_on: Tensor, candidates: list[int]
) -> tuple[list[int], Tensor, float]:
    columns = _columns(code, candidates)
    found = [best_threshold(column[chosen_on], labels[chosen_on]) for column in columns.t()]
    best = max(range(len(candidates)), key=lambda index: found[index][0])
    return [candidates[best]], columns[:, best], found[best][1]


def best_threshold(scores: Float[Tensor, " tokens"], labels: Bool[Tensor, " tokens"]) -> tuple[float, float]:
    """(F1, threshold): where "above the threshold" agrees best with the labels; never below 0."""
    positive = scores > 0
    ordered, order = scores[positive].sort(descending=True)
    if not len(ordered):
        return 0.0, 0.0
    hits = labels[positive][order].double().cumsum(0)
    said = torch.arange(1, len(ordered) + 1, dtype=torch.float64)
    f1 = 2 * hits / (said + int(labels.sum()))
    last_of_ties = torch.cat([ordered[1:] != ordered[:-1], torch.tensor([True])])
    best = int(torch.where(last_of_ties, f1, -1.0).argmax())
    below = float(ordered[best + 1]) if best + 1 < len(ordered) else 0.0
    return float(f1[best]), (float(ordered[best]) + below) / 2


def _probe(
    code: _ByLatent, labels: Tensor, chosen_on: Tensor, candidates: list[int], k: int
) -> tuple[list[int], Tensor, float]:
    columns = _columns(code, candidates)
    inside, outside = columns[chosen_on & labels], columns[chosen_on & ~labels]
    spread = columns[chosen_on].std(0).clamp(min=1e-6)
    order = ((inside.mean(0) - outside.mean(0)).abs() / spread).argsort(descending=True)[:k]
    x = torch.cat([columns[:, order] / spread[order], torch.ones(len(columns), 1)], dim=1).double()
    weights = _logistic(x[chosen_on], labels[chosen_on].double())
    probability = torch.sigmoid(x @ weights).float()
    _, threshold = best_threshold(probability[chosen_on], labels[chosen_on])
    return [candidates[index] for index in order.tolist()], probability, threshold


def _logistic(x: Float[Tensor, "tokens k"], y: Float[Tensor, " tokens"]) -> Float[Tensor, " k"]:
    """Ridge logistic regression by Newton's method; the last column is the constant and is not shrunk."""
    weights = torch.zeros(x.shape[1], dtype=torch.float64)
    ridge = torch.full((x.shape[1],), RIDGE * len(x) / 1000, dtype=torch.float64)
    ridge[-1] = 1e-9
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(x @ weights)
        slope = x.t() @ (p - y) + ridge * weights
        curve = (x * (p * (1 - p))[:, None]).t() @ x + torch.diag(ridge + 1e-9)
        step = torch.linalg.solve(curve, slope)
        weights = weights - step
        if float(step.abs().max()) < 1e-8:
            break
    return weights
