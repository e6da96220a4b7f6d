"""Steering a sparsity penalty so that L0 arrives at its target, and stays there.

The target moves: from the L0 of the first batch, geometrically, to the one that is wanted, over the first part of the
run. The weight of the penalty is multiplied by exp(u), and u follows e = log(L0 / moving target): by its change at
once, by its size slowly. A target that moves keeps e small, so u never winds up while L0 is still far away, which would
drive it past the target and kill latents. All of it happens on the device: nothing is read back.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

RAMP = 0.3  # share of the run over which the target moves
GAIN = 2.0  # of u by a change of e
SMOOTHING = 0.9
LIMIT = math.log(1e5)


class L0Controller:
    """A factor for the penalty, one update per step of a run of `steps`."""

    def __init__(self, target: float, steps: int, device: torch.device | str = "cpu") -> None:
        self.target, self.ramp = target, max(1.0, RAMP * steps)
        self.rate = 30.0 / max(300, steps)  # the slow part has a thirtieth of the run to act
        self.state = torch.zeros(4, dtype=torch.float64, device=device)  # u, smoothed log L0, its start, steps done

    @torch.no_grad()
    def update(self, l0: Float[Tensor, ""]) -> None:
        """Take note of a batch's L0."""
        u, smooth, start, done = self.state.unbind()
        now = torch.log(l0.double() + 1e-2)
        is_first = done == 0
        start = torch.where(is_first, now, start)
        before = torch.where(is_first, now, smooth)
        smooth = SMOOTHING * before + (1 - SMOOTHING) * now
        change = (smooth - before) - (self._wanted(start, done + 1) - self._wanted(start, done))
        error = (smooth - self._wanted(start, done + 1)).clamp(-1, 1)
        u = (u + GAIN * change + self.rate * error).clamp(-LIMIT, LIMIT)
        self.state.copy_(torch.stack([u, smooth, start, done + 1]))

    def factor(self) -> Float[Tensor, ""]:
        """What to multiply the penalty by now."""
        return torch.exp(self.state[0]).float()

    def _wanted(self, start: Tensor, step: Tensor) -> Tensor:
        return start + (math.log(self.target) - start) * (step / self.ramp).clamp(max=1.0)
