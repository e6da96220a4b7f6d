"""One optimiser recipe for every small training run here: Muon on matrices, AdamW on the rest, one schedule.

Muon (Jordan 2024; `torch.optim.Muon`) orthogonalises the momentum of every 2-D hidden weight; embeddings, heads, norms
and biases take AdamW. The schedule warms up linearly, holds, then falls linearly. A step's learning rate is a function
of the step alone, so a resumed run continues exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning-rate factor by step: warm-up, constant until `hold` of the run, then linear to `floor`."""

    steps: int
    warmup: int = 60
    hold: float = 0.55
    floor: float = 0.02

    def factor(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / self.warmup
        start = self.hold * self.steps
        if step < start:
            return 1.0
        return max(self.floor, 1 - (1 - self.floor) * (step - start) / max(1.0, self.steps - start))


class Optimizer:
    """Muon and AdamW stepped together under one schedule."""

    def __init__(
        self,
        model: nn.Module,
        schedule: Schedule,
        *,
        matrix_lr: float = 0.02,
        other_lr: float = 3e-3,
        head_lr: float = 1.5e-3,
    ) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        heads = [p for name, p in named if _is_head(name)]
        others = [p for name, p in named if not _is_head(name) and (p.ndim < 2 or "embed" in name)]
        taken = {id(p) for p in heads + others}
        matrices = [p for _, p in named if id(p) not in taken]
        self.parameters = [p for _, p in named]
        self.schedule = schedule
        self.parts: list[torch.optim.Optimizer] = [torch.optim.Muon(matrices, lr=matrix_lr, weight_decay=0.0)]
        groups = [{"params": params, "lr": lr} for params, lr in ((others, other_lr), (heads, head_lr)) if params]
        if groups:
            self.parts.append(torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98), fused=True))
        self.peaks = [[group["lr"] for group in part.param_groups] for part in self.parts]

    def step(self, step: int, clip: float = 1.0) -> float:
        """Apply the gradients of `step` and clear them; returns the gradient norm before clipping."""
        norm = float(nn.utils.clip_grad_norm_(self.parameters, clip))
        factor = self.schedule.factor(step)
        for part, peaks in zip(self.parts, self.peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            part.step()
            part.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict) -> None:
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


def _is_head(name: str) -> bool:
    return "lm_head" in name or name.startswith("reading")
