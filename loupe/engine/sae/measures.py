"""What training shows of itself: one point of the curves per interval, summed on the device, read once.

Explained variance is the glossary's: 1 - sum |y - y_hat|^2 / sum |y - y_mean|^2, the mean taken over all rows of the
interval, in double precision. It does not depend on the scale that training uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from loupe.engine.sae.architectures import StepResult

DENSITY_LOW, DENSITY_STEP = -7.0, 0.25
DENSITY_BINS = int(-DENSITY_LOW / DENSITY_STEP)
STRIP_LATENTS = 12


@dataclass(frozen=True, slots=True)
class FeatureStrip:
    """The latents most active on a short text, now: `acts[i][j]` is that of latent i on token j."""

    tokens: tuple[str, ...]
    latents: tuple[int, ...]
    acts: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Measures:
    """One point of the curves of one SAE; means over the steps since the point before.

    `tokens` counts rows trained on so far. `loss` and its parts are in scaled units (mean norm sqrt(d)).
    `density` counts latents by log10 of the share of tokens they fire on: the first entry never fired, then bins of
    0.25 from -7 to 0. What does not apply to the architecture, or was not measured, is None. `tokens_per_s` is
    over the last half minute in which this job held the device, reading included; `memory` is bytes in use there.
    """

    name: str
    step: int
    steps: int
    tokens: int
    loss: float
    reconstruction: float
    sparsity: float | None
    aux: float | None
    l0: float
    l0_target: float | None
    explained_variance: float | None
    dead_share: float
    lr: float
    grad_norm: float
    coefficient: float | None
    threshold: float | None
    density: tuple[int, ...]
    micro_rows: int
    tokens_per_s: float | None
    memory: int | None
    strip: FeatureStrip | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return asdict(self)


class Sums:
    """Running sums of an interval, as tensors: nothing is read back before `Learner.measure`."""

    def __init__(self, d_sae: int, d_out: int, device: torch.device) -> None:
        self.device = device
        self.steps = 0
        self.rows = 0
        self.centre = torch.zeros(d_out, device=device)
        self.totals = torch.zeros(8, dtype=torch.float64, device=device)
        self.shift = torch.zeros(d_out, dtype=torch.float64, device=device)
        self.fired = torch.zeros(d_sae, dtype=torch.int64, device=device)

    @torch.no_grad()
    def add(self, result: StepResult, y: Float[Tensor, "batch d_out"], grad_norm: Tensor) -> None:
        """Take in one step; `centre` keeps the sums of squares small."""
        moved = y - self.centre
        errors, spread = result.errors.reshape(-1), moved.reshape(-1)
        parts = (
            result.reconstruction + result.sparsity + result.aux,
            result.reconstruction,
            result.sparsity,
            result.aux,
            errors @ errors,
            spread @ spread,
            grad_norm,
            torch.ones((), device=self.device),
        )
        self.totals += torch.stack([part.double() for part in parts])
        self.shift += moved.sum(0)
        self.fired += result.fired
        self.steps += 1
        self.rows += len(y)

    def clear(self) -> None:
        """Begin a new interval."""
        self.steps = self.rows = 0
        self.totals.zero_()
        self.shift.zero_()
        self.fired.zero_()

    def means(self) -> list[float]:
        """Loss, reconstruction, sparsity, aux, per step; then errors per row; gradient norm per step."""
        totals = self.totals.tolist()
        per_step = [total / max(1, self.steps) for total in totals]
        return [*per_step[:4], totals[4] / max(1, self.rows), per_step[6]]

    def explained_variance(self) -> float | None:
        """Of the interval; None where the rows do not vary."""
        spread = float(self.totals[5]) - float(self.shift.square().sum()) / max(1, self.rows)
        return 1 - float(self.totals[4]) / spread if spread > 1e-12 * max(1e-12, float(self.totals[5])) else None


def density_histogram(fired: Int64[Tensor, " d_sae"], rows: int) -> tuple[int, ...]:
    """Latents by log10 of how often they fire: never, then bins from 1e-7 to 1."""
    shares = fired.cpu().double() / max(1, rows)
    logs = shares[shares > 0].log10()
    places = ((logs - DENSITY_LOW) / DENSITY_STEP).floor().long().clamp(0, DENSITY_BINS - 1)
    counts = torch.bincount(places, minlength=DENSITY_BINS)
    return (int((shares == 0).sum()), *counts.tolist())


@torch.no_grad()
def feature_strip(acts: Float[Tensor, "tokens d_sae"], tokens: Sequence[str]) -> FeatureStrip:
    """The latents with the largest activation anywhere on a text, strongest first; silent ones are left out."""
    strongest, latents = acts.amax(0).topk(min(STRIP_LATENTS, acts.shape[1]))
    kept = latents[strongest > 0]
    chosen = acts[:, kept].t().float().cpu().tolist()
    return FeatureStrip(
        tuple(tokens), tuple(kept.tolist()), tuple(tuple(_short(value) for value in row) for row in chosen)
    )


def _short(value: float) -> float:
    return float(f"{value:.4g}") if math.isfinite(value) else 0.0
