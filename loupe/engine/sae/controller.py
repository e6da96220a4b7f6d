"""Steering a sparsity penalty so that L0 arrives at its target.

The weight of the penalty is multiplied by exp(u): u follows the logarithm of L0 / target, with memory (so that the
target is met) and without (so that it is met without overshooting). All on the device: nothing is read back.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

GAIN = 1.0  # without memory: half the L0 too many doubles the penalty, nearly
RATE = 0.02  # with memory, per step
SMOOTHING = 0.9
LIMIT = math.log(1e4)


class L0Controller:
    """A factor for the penalty, one update per step."""

    def __init__(self, target: float, device: torch.device | str = "cpu") -> None:
        self.target = target
        self.state = torch.zeros(2, dtype=torch.float64, device=device)  # memory; smoothed error

    @torch.no_grad()
    def update(self, l0: Float[Tensor, ""]) -> None:
        """Take note of a batch's L0."""
        error = torch.log((l0.double() + 1e-3) / self.target).clamp(-2, 2)
        smooth = SMOOTHING * self.state[1] + (1 - SMOOTHING) * error
        self.state[0] = (self.state[0] + RATE * smooth).clamp(-LIMIT, LIMIT)
        self.state[1] = smooth

    def factor(self) -> Float[Tensor, ""]:
        """What to multiply the penalty by now."""
        return torch.exp(self.state[0] + GAIN * self.state[1]).float()
