"""How well a reconstruction matches an activation. Definitions: docs/glossary.md.

All vectors arrive raw. Directions are compared after scaling both to the norm `mse_scale` (sqrt(d) unless the sidecar
says otherwise), by *dividing* by (norm / scale) with the norm in fp32: that order of operations is part of the public
format, since multiplying by (scale / norm) gives other last bits.

A value that is undefined is None: the cosine with a zero vector, the relative error against one, `fve_nrm` without a
denominator.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

NORM_FLOOR = 1e-12


@dataclass(frozen=True, slots=True)
class Scores:
    """One reconstruction against one activation.

    `mse_nrm` compares directions, 2(1 - cosine) in [0, 4] at the scale sqrt(d). `fve_nrm` is 1 - mse_nrm/denominator.
    `mse` and `relative_rmse` compare the raw vectors. None: undefined.
    """

    mse_nrm: float
    cosine: float | None
    fve_nrm: float | None
    mse: float
    relative_rmse: float | None


@dataclass(frozen=True, slots=True)
class Denominator:
    """What `mse_nrm` is divided by in `fve_nrm`, and where that number comes from."""

    value: float
    source: str


class Baselines(NamedTuple):
    """mse_nrm of two constant predictions: the mean of the scaled vectors, and that mean scaled back to their norm."""

    variance: float
    renormalised_mean: float


def scale_to_norm(vectors: Float[Tensor, "*rows d_model"], scale: float) -> Float[Tensor, "*rows d_model"]:
    """Rescale rows to the L2 norm `scale`; a zero row stays zero. Same dtype out as in."""
    norm = vectors.float().norm(dim=-1, keepdim=True).clamp_min(NORM_FLOOR)
    return vectors / (norm / scale).to(vectors.dtype)


def baselines(vectors: Float[Tensor, "rows d_model"], mse_scale: float) -> Baselines:
    """What predicting the mean would score; the variance is the denominator of `fve_nrm`."""
    scaled = scale_to_norm(vectors.float(), mse_scale)
    mean = scaled.mean(dim=0, keepdim=True)
    renormalised = scale_to_norm(mean, mse_scale)
    return Baselines((scaled - mean).square().mean().item(), (scaled - renormalised).square().mean().item())


def denominator_from(vectors: Float[Tensor, "rows d_model"], mse_scale: float) -> Denominator | None:
    """The variance of these very vectors as denominator; None for fewer than two, or when they do not vary."""
    if len(vectors) < 2:
        return None
    variance = baselines(vectors, mse_scale).variance
    return Denominator(variance, f"this text, {len(vectors)} positions") if variance > NORM_FLOOR else None


def score(
    predicted: Float[Tensor, "rows d_model"],
    gold: Float[Tensor, "rows d_model"],
    *,
    mse_scale: float | None = None,
    denominator: Denominator | None = None,
) -> list[Scores]:
    """Score raw reconstructions against raw activations, row by row. `mse_scale` None means sqrt(d_model)."""
    predicted, gold = predicted.float(), gold.float()
    scale = mse_scale if mse_scale is not None else math.sqrt(gold.shape[-1])
    mse_nrm = (scale_to_norm(predicted, scale) - scale_to_norm(gold, scale)).square().mean(dim=-1)
    mse = (predicted - gold).square().mean(dim=-1)
    columns = zip(mse_nrm.tolist(), cosine(predicted, gold), mse.tolist(), _relative(predicted, gold), strict=True)
    return [
        Scores(nrm, cos, 1 - nrm / denominator.value if denominator else None, raw, relative)
        for nrm, cos, raw, relative in columns
    ]


def cosine(left: Float[Tensor, "rows d_model"], right: Float[Tensor, "rows d_model"]) -> list[float | None]:
    """Cosine similarity row by row; None where either vector is zero."""
    norms = left.norm(dim=-1) * right.norm(dim=-1)
    products = (left * right).sum(dim=-1)
    return [p / n if n > NORM_FLOOR else None for p, n in zip(products.tolist(), norms.tolist(), strict=True)]


def agreement(reconstructions: Float[Tensor, "rollouts d_model"]) -> float | None:
    """Mean cosine over all pairs of reconstructions of one position; None for fewer than two usable ones."""
    usable = reconstructions[reconstructions.norm(dim=-1) > NORM_FLOOR].float()
    if len(usable) < 2:
        return None
    unit = usable / usable.norm(dim=-1, keepdim=True)
    similarity = unit @ unit.T
    return sum(similarity[i, j].item() for i, j in combinations(range(len(unit)), 2)) / math.comb(len(unit), 2)


def _relative(predicted: Tensor, gold: Tensor) -> list[float | None]:
    errors, norms = (predicted - gold).norm(dim=-1).tolist(), gold.norm(dim=-1).tolist()
    return [error / norm if norm > NORM_FLOOR else None for error, norm in zip(errors, norms, strict=True)]
