"""What each architecture is trained with unless somebody says otherwise: the papers' values, by architecture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from loupe.engine.sae.kinds import Activation, JumpReLURecipe

if TYPE_CHECKING:
    from loupe.engine.sae.config import SAEConfig, TrainingConfig


class Defaults(NamedTuple):
    """What a paper trains with: peak learning rate, Adam's first beta, share of the run the penalty rises over."""

    lr: float
    beta1: float
    sparsity_warmup: float


DEFAULTS = {
    Activation.RELU: Defaults(3e-4, 0.9, 0.05),  # Bricken et al. 2023; Anthropic, April 2024 update
    Activation.GATED: Defaults(5e-5, 0.0, 0.05),  # Rajamanoharan et al., arXiv 2404.16014
    Activation.TOPK: Defaults(2e-4, 0.9, 0.0),  # Gao et al., arXiv 2406.04093: at d_sae 16384, falling as its root
    Activation.BATCHTOPK: Defaults(3e-4, 0.9, 0.0),  # Bussmann et al., arXiv 2412.06410
}
JUMPRELU_DEFAULTS = {
    JumpReLURecipe.ANTHROPIC: Defaults(2e-4, 0.9, 1.0),  # Anthropic, January 2025 update
    JumpReLURecipe.DEEPMIND: Defaults(7e-5, 0.0, 0.05),  # Rajamanoharan et al., arXiv 2407.14435
}
L1_COEFFICIENT = 5.0
L0_COEFFICIENT = {JumpReLURecipe.ANTHROPIC: 20.0, JumpReLURecipe.DEEPMIND: 1.0}
BANDWIDTH = {JumpReLURecipe.ANTHROPIC: 2.0, JumpReLURecipe.DEEPMIND: 1e-3}
INITIAL_THRESHOLD = {JumpReLURecipe.ANTHROPIC: 0.1, JumpReLURecipe.DEEPMIND: 1e-3}


def defaults_for(sae: SAEConfig, training: TrainingConfig) -> dict[str, Any]:
    """The options of a training that follow from the architecture, for those that were not given."""
    recipe, activation = training.jumprelu_recipe, sae.activation
    assert activation is not None
    paper = JUMPRELU_DEFAULTS[recipe] if activation is Activation.JUMPRELU else DEFAULTS[activation]
    lr = paper.lr * math.sqrt(16384 / sae.d_sae) if activation is Activation.TOPK else paper.lr
    rows = training.steps * training.batch_rows
    return {
        "lr": min(lr, 3e-3),
        "warmup": min(1000, training.steps // 20),
        "beta1": paper.beta1,
        "sparsity_warmup": paper.sparsity_warmup if training.l0_target is None else 0.0,  # the controller's own ramp
        "l1_coefficient": L1_COEFFICIENT,
        "l0_coefficient": L0_COEFFICIENT[recipe],
        "bandwidth": BANDWIDTH[recipe],
        "initial_threshold": INITIAL_THRESHOLD[recipe],
        "aux_k": min(sae.d_sae, 1 << max(0, round(math.log2(max(1, sae.d_in / sae.parts / 2))))),
        "dead_tokens": min(10_000_000, max(1, rows // 10)),
    }
