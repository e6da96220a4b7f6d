"""What each architecture minimises, in the order of the papers and as they write it: the naive path.

Dense, differentiable, for reading and for tests: the fast paths in `architectures/` must give the same numbers and
gradients. x and y are scaled activations (y is x except for transcoders), b a batch mean, f the code, W_i the decoder
direction of latent i.

    standard      b |y - y_hat|^2 + lambda sum_i f_i |W_i|                   Bricken et al. 2023; Anthropic, April 2024
    gated         b |x - x_hat|^2 + lambda |relu(pi)|_1 + |x - frozen(relu(pi))|^2       arXiv 2404.16014, eq. 8
    topk          b |x - x_hat|^2, f = TopK(relu(pre)), + alpha auxk            arXiv 2406.04093, 2.3 and A.2
    batchtopk     the same, the B k largest of the batch                        arXiv 2412.06410
    matryoshka    mean over prefixes P of b |x - (f_1..P W_1..P + b_dec)|^2     arXiv 2503.17547
    jumprelu      Anthropic: + lambda sum_i tanh(c f_i |W_i|) + lambda_P sum_dead relu(theta_i - pre_i) |W_i|
                                                                                Circuits Updates, January 2025
                  DeepMind: + lambda |f|_0, or lambda (L0 / target - 1)^2       arXiv 2407.14435, eq. 9; 2408.05147
    transcoder    y is another site's activation, no b_dec on the input         arXiv 2406.11944
    skip          y_hat + x W_skip^T                                            arXiv 2501.18823
    crosscoder    x is several sites side by side, |W_i| the sum over them      Anthropic, October 2024
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from loupe.engine.sae.config import TrainingConfig
from loupe.engine.sae.kinds import Activation, Architecture, JumpReLURecipe
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.topk import topk_of_rows


class Terms(NamedTuple):
    """A loss and its parts, each already weighted, and what it was made of."""

    loss: Tensor
    reconstruction: Tensor
    sparsity: Tensor
    aux: Tensor
    codes: Float[Tensor, "batch d_sae"]
    reconstructed: Float[Tensor, "batch d_out"]


def naive_loss(
    sae: SAE,
    training: TrainingConfig,
    x: Float[Tensor, "batch d_in"],
    y: Float[Tensor, "batch d_out"],
    coefficient: float,
    dead: Bool[Tensor, " d_sae"] | None = None,
) -> Terms:
    """The whole loss of a batch. `coefficient` is lambda now; `dead` marks latents for AuxK or Anthropic's lambda_P."""
    pre = sae.pre_activations(x)
    codes = naive_codes(sae, training, pre)
    decoded = sae.decode(codes) + (sae.skip(x) if sae.config.has_skip else 0)
    reconstruction = _reconstruction(sae, codes, decoded, y)
    sparsity = _sparsity(sae, training, pre, codes, y, coefficient, dead)
    aux = _aux(sae, training, pre, y - decoded, dead)
    return Terms(reconstruction + sparsity + aux, reconstruction, sparsity, aux, codes, decoded)


def naive_codes(sae: SAE, training: TrainingConfig, pre: Float[Tensor, "batch d_sae"]) -> Float[Tensor, "batch d_sae"]:
    """feature_acts as they are while training: BatchTopK over this batch, JumpReLU with its gradient estimators."""
    match sae.config.activation:
        case Activation.TOPK:
            assert sae.config.k is not None
            return topk_of_rows(pre, sae.config.k).dense(sae.d_sae)
        case Activation.BATCHTOPK:
            return _largest(pre, sae.config.k or 1)
        case Activation.JUMPRELU:
            also_pre = training.jumprelu_recipe is JumpReLURecipe.ANTHROPIC
            return _JumpReLU.apply(pre, sae.threshold, training.bandwidth, also_pre)  # type: ignore[return-value]
        case Activation.GATED:
            magnitude = torch.relu((pre - sae.b_gate) * sae.r_mag.exp() + sae.b_mag)
            return magnitude * (pre > 0)
    return torch.relu(pre)


def _largest(pre: Tensor, k: int) -> Tensor:
    flat = torch.relu(pre).flatten()
    values, places = flat.topk(min(len(pre) * k, flat.numel()), sorted=False)
    return torch.zeros_like(flat).scatter(0, places, values).view_as(pre)


def _reconstruction(sae: SAE, codes: Tensor, decoded: Tensor, y: Tensor) -> Tensor:
    if sae.config.architecture is not Architecture.MATRYOSHKA:
        return (y - decoded).square().sum(1).mean()
    levels = [codes[:, :size] @ sae.W_dec[:size] + sae.b_dec for size in sae.config.prefix_sizes]
    return torch.stack([(y - level).square().sum(1).mean() for level in levels]).mean()


def _sparsity(
    sae: SAE,
    training: TrainingConfig,
    pre: Tensor,
    codes: Tensor,
    y: Tensor,
    coefficient: float,
    dead: Tensor | None,
) -> Tensor:
    match sae.config.activation:
        case Activation.RELU:
            return coefficient * (codes * sae.decoder_norms).sum(1).mean()
        case Activation.GATED:
            open_gate = torch.relu(pre)
            frozen = open_gate @ sae.W_dec.detach() + sae.b_dec.detach()
            return coefficient * open_gate.sum(1).mean() + (y - frozen).square().sum(1).mean()
        case Activation.JUMPRELU if training.jumprelu_recipe is JumpReLURecipe.ANTHROPIC:
            norms = sae.decoder_norms
            penalty = coefficient * torch.tanh(training.tanh_scale * codes * norms).sum(1).mean()
            if dead is None:
                return penalty
            below = torch.relu(sae.threshold - pre) * norms * dead
            return penalty + training.preact_coefficient * below.sum(1).mean()
        case Activation.JUMPRELU:
            l0 = _Step.apply(pre, sae.threshold, training.bandwidth).sum(1).mean()  # type: ignore[union-attr]
            return coefficient * (l0 if training.l0_target is None else (l0 / training.l0_target - 1).square())
    return codes.new_zeros(())


def _aux(sae: SAE, training: TrainingConfig, pre: Tensor, error: Tensor, dead: Tensor | None) -> Tensor:
    """AuxK: dead latents explain the error, decoded without b_dec, relative to what there is to explain."""
    if dead is None or not sae.config.is_k_sparse or not bool(dead.any()):
        return error.new_zeros(())
    error, n_dead = error.detach(), int(dead.sum())
    assert training.aux_k is not None
    k = min(training.aux_k, n_dead)
    codes = topk_of_rows(pre.masked_fill(~dead, -torch.inf), k).dense(sae.d_sae)
    scale = training.aux_coefficient * min(1.0, n_dead / training.aux_k)
    left = (error - codes @ sae.W_dec).square().sum()
    total = (error - error.mean(0)).square().sum()
    return scale * torch.nan_to_num(left / total, nan=0.0, posinf=0.0)


def rectangle(u: Tensor) -> Tensor:
    """The kernel of the gradient estimators: 1 on (-1/2, 1/2)."""
    return (u.abs() < 0.5).to(u.dtype)


class _JumpReLU(torch.autograd.Function):
    """pre where it is above theta, else 0; d/dtheta = -(theta/eps) K((pre-theta)/eps), the reverse to pre if asked."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float, also_pre: bool) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth, ctx.also_pre = bandwidth, also_pre
        return torch.relu(pre) * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        pre, threshold = ctx.saved_tensors
        jump = threshold / ctx.bandwidth * rectangle((pre - threshold) / ctx.bandwidth)
        passed = ((pre > threshold) & (pre > 0)).to(pre.dtype)
        return grad * (passed + jump if ctx.also_pre else passed), (-grad * jump).sum(0), None, None


class _Step(torch.autograd.Function):
    """1 where pre is above theta; d/dtheta = -(1/eps) K((pre-theta)/eps), nothing to pre."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return ((pre > threshold) & (pre > 0)).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        pre, threshold = ctx.saved_tensors
        slope = rectangle((pre - threshold) / ctx.bandwidth) / ctx.bandwidth
        return None, (-grad * slope).sum(0), None
