"""ReLU, gated and JumpReLU codes: any number of latents may be active, so the products are dense.

Written out by hand because autograd would spend a sixth of the step on the gradient to b_dec through every row of the
encoder's input; its sum over the batch is enough. Formulas: `losses.py`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from loupe.engine.sae.architectures.batch import Batch, StepResult
from loupe.engine.sae.config import TrainingConfig
from loupe.engine.sae.kinds import Activation, JumpReLURecipe
from loupe.engine.sae.losses import rectangle
from loupe.engine.sae.sae import SAE


@dataclass(slots=True)
class _Sums:
    """What is added up over the tiles of a batch. `norms` is the gradient of the decoder norms, `l0` a row count."""

    grads: dict[str, Tensor]
    norms: Tensor
    threshold_l0: Tensor
    fired: Tensor
    reconstruction: Tensor
    sparsity: Tensor
    errors: Tensor
    smallest: Tensor


def dense_step(
    sae: SAE,
    training: TrainingConfig,
    batch: Batch,
    coefficient: Float[Tensor, ""],
    dead: Int64[Tensor, " n_dead"],
) -> Generator[None, None, StepResult]:
    """One batch through a code of any density."""
    sums = _zeros(sae, batch)
    is_dead = torch.zeros(sae.d_sae, dtype=torch.bool, device=dead.device).index_fill_(0, dead, True)
    for rows in batch.tiles():
        _tile(sae, training, batch, rows, coefficient, is_dead, sums)
        yield
    return _finished(sae, training, batch, coefficient, sums)


@torch.no_grad()
def _zeros(sae: SAE, batch: Batch) -> _Sums:
    grads = {name: torch.zeros_like(weight) for name, weight in sae.named_parameters()}
    zero = sae.W_dec.new_zeros(())
    return _Sums(
        grads=grads,
        norms=sae.W_dec.new_zeros(sae.d_sae),
        threshold_l0=sae.W_dec.new_zeros(sae.d_sae),
        fired=torch.zeros(sae.d_sae, dtype=torch.int64, device=zero.device),
        reconstruction=zero.clone(),
        sparsity=zero.clone(),
        errors=torch.empty_like(batch.y),
        smallest=zero + torch.inf,
    )


@torch.no_grad()
def _tile(
    sae: SAE,
    training: TrainingConfig,
    batch: Batch,
    rows: slice,
    coefficient: Tensor,
    is_dead: Bool[Tensor, " d_sae"],
    sums: _Sums,
) -> None:
    x, y, share = batch.x[rows], batch.y[rows], 1 / len(batch.x)
    seen = sae.centred(x)
    pre = sae.pre_activations(x)
    codes = _codes(sae, pre)
    decoded = sae.decode(codes) + (sae.skip(x) if sae.config.has_skip else 0)
    sums.errors[rows] = y - decoded
    g_out = (decoded - y) * (2 * share)
    g_codes = g_out @ sae.W_dec.t()
    match sae.config.activation:
        case Activation.GATED:
            g_pre = _gated(sae, y, pre, g_codes, coefficient * share, share, sums)
        case Activation.JUMPRELU:
            g_pre = _jumprelu(sae, training, pre, codes, g_codes, coefficient * share, share, is_dead, sums)
        case _:
            g_pre = _relu(sae, pre, codes, g_codes, coefficient * share, sums)
    grads = sums.grads
    grads["W_dec"].addmm_(codes.t(), g_out)
    grads["b_dec"] += g_out.sum(0)
    grads["W_enc"].t().addmm_(g_pre.t(), seen)
    if sae.config.activation is not Activation.GATED:
        grads["b_enc"] += g_pre.sum(0)
    if sae.config.apply_b_dec_to_input:
        grads["b_dec"] -= sae.W_enc @ g_pre.sum(0)
    if sae.config.has_skip:
        grads["W_skip"].addmm_(g_out.t(), x)
    sums.reconstruction += sums.errors[rows].square().sum() * share
    sums.fired += (codes > 0).sum(0)


def _codes(sae: SAE, pre: Tensor) -> Tensor:
    match sae.config.activation:
        case Activation.GATED:
            return torch.relu((pre - sae.b_gate) * sae.r_mag.exp() + sae.b_mag) * (pre > 0)
        case Activation.JUMPRELU:
            return torch.relu(pre) * (pre > sae.threshold)
    return torch.relu(pre)


def _relu(sae: SAE, pre: Tensor, codes: Tensor, g_codes: Tensor, weight: Tensor, sums: _Sums) -> Tensor:
    norms, per_latent = sae.decoder_norms, codes.sum(0)
    sums.sparsity += weight * (per_latent @ norms)
    sums.norms += weight * per_latent
    return (g_codes + weight * norms) * (pre > 0)


def _gated(sae: SAE, y: Tensor, pre: Tensor, g_codes: Tensor, weight: Tensor, share: float, sums: _Sums) -> Tensor:
    """The gate learns from the L1 penalty and from a reconstruction of its own, through a decoder held still."""
    scale, is_open = sae.r_mag.exp(), pre > 0
    inner = pre - sae.b_gate
    g_magnitude = g_codes * (is_open & (inner * scale + sae.b_mag > 0))
    opened = torch.relu(pre)
    left = opened @ sae.W_dec + sae.b_dec - y
    g_gate = ((left @ sae.W_dec.t()) * (2 * share) + weight) * is_open
    sums.sparsity += weight * opened.sum() + left.square().sum() * share
    sums.grads["b_mag"] += g_magnitude.sum(0)
    sums.grads["r_mag"] += (g_magnitude * inner).sum(0) * scale
    sums.grads["b_gate"] += g_gate.sum(0)
    return g_magnitude * scale + g_gate


def _jumprelu(
    sae: SAE,
    training: TrainingConfig,
    pre: Tensor,
    codes: Tensor,
    g_codes: Tensor,
    weight: Tensor,
    share: float,
    is_dead: Tensor,
    sums: _Sums,
) -> Tensor:
    assert training.bandwidth is not None
    near = rectangle((pre - sae.threshold) / training.bandwidth) / training.bandwidth
    jump = near * sae.threshold
    passed = (pre > sae.threshold) & (pre > 0)
    if training.jumprelu_recipe is JumpReLURecipe.DEEPMIND:
        sums.threshold_l0 -= near.sum(0) * share
        sums.grads["threshold"] -= (g_codes * jump).sum(0)
        return g_codes * passed
    c, norms = training.tanh_scale, sae.decoder_norms
    squashed = torch.tanh(c * codes * norms)
    slope = weight * c * (1 - squashed.square())
    sums.sparsity += weight * squashed.sum()
    sums.norms += (slope * codes).sum(0)
    g_codes = g_codes + slope * norms
    sums.grads["threshold"] -= (g_codes * jump).sum(0)
    return g_codes * (passed + jump) - _pull_up(sae, training, pre, norms, is_dead, share, sums)


def _pull_up(
    sae: SAE, training: TrainingConfig, pre: Tensor, norms: Tensor, is_dead: Tensor, share: float, sums: _Sums
) -> Tensor:
    """Anthropic's pre-activation loss: what is dead is drawn towards its threshold from below."""
    weight = training.preact_coefficient * share
    below = torch.relu(sae.threshold - pre) * is_dead
    pulled = (below > 0) * (weight * norms)
    sums.sparsity += weight * (below.sum(0) @ norms)
    sums.norms += weight * below.sum(0)
    sums.grads["threshold"] += pulled.sum(0)
    return pulled


@torch.no_grad()
def _finished(sae: SAE, training: TrainingConfig, batch: Batch, coefficient: Tensor, sums: _Sums) -> StepResult:
    if sae.config.activation is Activation.JUMPRELU and training.jumprelu_recipe is JumpReLURecipe.DEEPMIND:
        _l0_penalty(training, coefficient, sums.fired.sum() / len(batch.x), sums)
    parts = sae.W_dec.view(sae.d_sae, sae.config.parts, -1)
    lengths = parts.norm(dim=-1, keepdim=True)
    directions = torch.where(lengths > 0, parts / lengths, 0).view_as(sae.W_dec)
    sums.grads["W_dec"].addcmul_(directions, sums.norms[:, None])
    zero = coefficient.new_zeros(())
    return StepResult(sums.grads, sums.reconstruction, sums.sparsity, zero, sums.errors, sums.fired, sums.smallest)


def _l0_penalty(training: TrainingConfig, coefficient: Tensor, l0: Tensor, sums: _Sums) -> None:
    """lambda L0, or lambda (L0/target - 1)^2; either reaches the thresholds only, so its slope can wait for the L0."""
    if training.l0_target is None:
        sums.sparsity += coefficient * l0
        sums.grads["threshold"] += coefficient * sums.threshold_l0
        return
    off = l0 / training.l0_target - 1
    sums.sparsity += coefficient * off.square()
    sums.grads["threshold"] += coefficient * 2 * off / training.l0_target * sums.threshold_l0
