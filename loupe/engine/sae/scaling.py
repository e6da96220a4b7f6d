"""Scaling activations while training, and folding that scale into the weights, so that a finished SAE reads raw ones.

One number per hook point: a crosscoder's parts have one each, a transcoder one for what it reads and one for what it
writes. ReLU, TopK, gates and thresholds all keep their meaning when codes are multiplied by a positive number per
latent, so folding may also give every decoder row length 1, which is what other tools expect of an SAE.

What a transcoder reads is centred as well: it has no b_dec there, and a mean that is longer than what varies moves the
pre-activations of all latents together with every step, until most never fire again. Folded, the mean lies in b_enc.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.kinds import Activation, Centring, JumpReLURecipe
from loupe.engine.sae.sae import SAE

ROWS_AT_ONCE = 1024


class Scales(NamedTuple):
    """What each column of x and of y is multiplied by before training sees it, and what is then taken from x."""

    x: Float[Tensor, " d_in"]
    y: Float[Tensor, " d_out"]
    centre: Float[Tensor, " d_in"] | None = None

    def read(self, x: Float[Tensor, "rows d_in"]) -> Float[Tensor, "rows d_in"]:
        """Raw rows as the encoder is trained on them."""
        return x * self.x if self.centre is None else torch.addcmul(-self.centre, x, self.x)


def unscaled(config: SAEConfig, device: torch.device | str = "cpu") -> Scales:
    """Those that change nothing."""
    assert config.d_out is not None
    centre = torch.zeros(config.d_in, device=device) if config.is_transcoder else None
    return Scales(torch.ones(config.d_in, device=device), torch.ones(config.d_out, device=device), centre)


@torch.no_grad()
def measure_scales(
    config: SAEConfig, training: TrainingConfig, x: Float[Tensor, "rows d_in"], y: Float[Tensor, "rows d_out"]
) -> Scales:
    """From raw rows: a mean norm of sqrt(d) afterwards; for DeepMind's JumpReLU a mean squared norm of 1."""
    scales = unscaled(config, x.device)
    is_centred = config.is_transcoder and training.centring is not Centring.ZERO
    mean = mean_of(x) if is_centred else torch.zeros_like(x[0])
    if training.normalise:
        deepmind = config.activation is Activation.JUMPRELU and training.jumprelu_recipe is JumpReLURecipe.DEEPMIND
        scale_y = _scale(y, config.parts, unit=deepmind)
        scale_x = scale_y if x is y and not is_centred else _scale(x, config.parts, unit=deepmind, mean=mean)
        scales = Scales(scale_x, scale_y, scales.centre)
    return scales._replace(centre=mean * scales.x) if is_centred else scales


@torch.no_grad()
def mean_of(rows: Float[Tensor, "rows d"]) -> Float[Tensor, " d"]:
    """In double precision, without a copy of all rows."""
    total = torch.zeros_like(rows[0], dtype=torch.float64)
    for part in rows.split(ROWS_AT_ONCE):
        total += part.sum(0, dtype=torch.float64)
    return (total / len(rows)).to(rows)


def _scale(rows: Tensor, parts: int, *, unit: bool, mean: Tensor | None = None) -> Tensor:
    pieces = rows.split(ROWS_AT_ONCE) if mean is not None else (rows,)
    lengths = [(p if mean is None else p - mean).view(len(p), parts, -1).norm(dim=-1) for p in pieces]
    norms, width = torch.cat(lengths).double(), rows.shape[1] // parts
    wanted = 1 / norms.square().mean(0).sqrt() if unit else math.sqrt(width) / norms.mean(0)
    wanted = torch.where(torch.isfinite(wanted), wanted, 1.0)  # rows that are all zero stay so
    return wanted.repeat_interleave(width).to(rows.dtype)


@torch.no_grad()
def folded(sae: SAE, scales: Scales) -> SAE:
    """The same SAE for raw activations, on the CPU in fp32, with decoder rows of length 1 where its codes allow it."""
    raw = SAE(sae.config)
    raw.load_state_dict({name: tensor.detach().float().cpu() for name, tensor in sae.state_dict().items()})
    x, y = scales.x.float().cpu(), scales.y.float().cpu()
    if scales.centre is not None:
        centre = scales.centre.float().cpu()
        raw.b_enc.sub_(centre @ raw.W_enc)
        if sae.config.has_skip:
            raw.b_dec.sub_(raw.W_skip @ centre)
    raw.W_enc.mul_(x[:, None])
    raw.W_dec.div_(y)
    raw.b_dec.div_(y)
    if sae.config.has_skip:
        raw.W_skip.mul_(x).div_(y[:, None])
    lengths = raw.W_dec.norm(dim=1)
    if sae.config.activation is Activation.TOPK:  # one factor for all, or which latents are largest would change
        lengths = lengths.mean().expand_as(lengths)
    _lengthen_codes(raw, torch.where(lengths > 0, lengths, 1.0))
    return raw


def _lengthen_codes(sae: SAE, factors: Float[Tensor, " d_sae"]) -> None:
    """Multiply every latent's activation by its factor, and its decoder row by the inverse."""
    sae.W_enc.mul_(factors)
    sae.W_dec.div_(factors[:, None])
    for name in ("b_enc", "b_gate", "b_mag", "threshold"):
        if (vector := getattr(sae, name, None)) is not None:
            vector.mul_(factors)
