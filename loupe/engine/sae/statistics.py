"""Activation statistics of a hook point: per dimension mean and variance, and the norms of rows; float64, one pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

NEARLY_ZERO = 0.01


@dataclass(slots=True)
class ActivationStatistics:
    """Sums over all rows seen; `summary` makes the figures of them.

    `severity` is ||mean|| / ||deviation||: large values foretell latents that are dead from the start, unless training
    centres its input (arXiv 2605.31518).
    """

    d_in: int
    rows: int = 0
    nearly_zero: int = 0
    norm_sum: float = 0.0
    norm_min: float = math.inf
    norm_max: float = 0.0
    largest: float = 0.0
    total: Tensor = field(default_factory=lambda: torch.empty(0))
    squares: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        if not len(self.total):
            self.total = torch.zeros(self.d_in, dtype=torch.float64)
            self.squares = torch.zeros(self.d_in, dtype=torch.float64)

    def add(self, rows: Float[Tensor, "rows d_in"]) -> None:
        """Count these rows in."""
        if not len(rows):
            return
        values = rows.float()
        norms = values.norm(dim=1)
        self.rows += len(rows)
        self.total += values.sum(0, dtype=torch.float64).cpu()
        self.squares += values.square().sum(0, dtype=torch.float64).cpu()
        self.norm_sum += float(norms.sum(dtype=torch.float64))
        self.norm_min = min(self.norm_min, float(norms.min()))
        self.norm_max = max(self.norm_max, float(norms.max()))
        self.largest = max(self.largest, float(values.abs().max()))
        self.nearly_zero += int((values.abs() < NEARLY_ZERO).sum())

    @property
    def mean(self) -> Float[Tensor, " d_in"]:
        """Per dimension."""
        return (self.total / max(1, self.rows)).float()

    @property
    def variance(self) -> Float[Tensor, " d_in"]:
        """Per dimension, about the mean."""
        mean = self.total / max(1, self.rows)
        return (self.squares / max(1, self.rows) - mean.square()).clamp_min(0).float()

    def summary(self) -> dict[str, Any]:
        """Plain values; {} before the first row."""
        if not self.rows:
            return {}
        spread = float(self.variance.sum().sqrt())
        return {
            "rows": self.rows,
            "mean_norm": self.norm_sum / self.rows,
            "root_mean_square_norm": math.sqrt(float(self.squares.sum()) / self.rows),
            "min_norm": self.norm_min,
            "max_norm": self.norm_max,
            "largest_value": self.largest,
            "norm_of_mean": float(self.mean.norm()),
            "standard_deviation": math.sqrt(float(self.variance.mean())),
            "severity": float(self.mean.norm()) / spread if spread else None,
            "share_nearly_zero": self.nearly_zero / (self.rows * self.d_in),
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything, to go on from later."""
        return {
            "d_in": self.d_in,
            "rows": self.rows,
            "nearly_zero": self.nearly_zero,
            "norm_sum": self.norm_sum,
            "norm_min": self.norm_min if self.rows else None,
            "norm_max": self.norm_max,
            "largest": self.largest,
            "total": self.total.tolist(),
            "squares": self.squares.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ActivationStatistics:
        """The reverse of `to_dict`."""
        sums = {name: torch.tensor(values[name], dtype=torch.float64) for name in ("total", "squares")}
        lowest = math.inf if values["norm_min"] is None else values["norm_min"]
        return cls(**{**values, **sums, "norm_min": lowest})
