"""What the learning rate and the sparsity penalty are multiplied by, as functions of the step alone."""

from __future__ import annotations

from loupe.engine.sae.config import TrainingConfig


def lr_factor(training: TrainingConfig, step: int) -> float:
    """Linear warm-up, constant, then linear to 0 over the last share `decay` of the run. Steps count from 0."""
    assert training.warmup is not None
    rise = min(1.0, (step + 1) / (training.warmup + 1))
    falling = int(training.steps * training.decay)
    fall = min(1.0, (training.steps - step) / falling) if falling else 1.0
    return rise * fall


def sparsity_factor(training: TrainingConfig, step: int) -> float:
    """Linear from 0 to 1 over the first share `sparsity_warmup` of the run."""
    assert training.sparsity_warmup is not None
    rising = training.steps * training.sparsity_warmup
    return min(1.0, (step + 1) / rising) if rising else 1.0
