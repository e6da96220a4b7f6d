"""One step of training, per kind of code: gradients by hand, in pieces short enough to share the device."""

from __future__ import annotations

from collections.abc import Generator

from jaxtyping import Float, Int64
from torch import Tensor

from loupe.engine.sae.architectures.batch import Batch, StepResult
from loupe.engine.sae.architectures.dense import dense_step
from loupe.engine.sae.architectures.ksparse import ksparse_step
from loupe.engine.sae.config import TrainingConfig
from loupe.engine.sae.kernels import can_be_compiled
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.warming import kernels_ready

__all__ = ["Batch", "StepResult", "step_gradients"]


def step_gradients(
    sae: SAE,
    training: TrainingConfig,
    batch: Batch,
    coefficient: Float[Tensor, ""],
    dead: Int64[Tensor, " n_dead"],
) -> Generator[None, None, StepResult]:
    """Loss and gradients of one batch, `losses.naive_loss` to rounding; yields between pieces, changes nothing.

    `coefficient` is the weight of the sparsity penalty now, `dead` the latents that need reviving.
    """
    if sae.config.is_k_sparse and can_be_compiled(sae.W_enc.t(), sae.b_enc, sae.W_dec, sae.b_dec):
        yield from kernels_ready()
        from loupe.engine.sae.compiled_step import compiled_ksparse_step  # brings the compiler, for whom it serves

        return (yield from compiled_ksparse_step(sae, training, batch, dead))
    if sae.config.is_k_sparse:
        return (yield from ksparse_step(sae, training, batch, dead))
    return (yield from dense_step(sae, training, batch, coefficient, dead))
