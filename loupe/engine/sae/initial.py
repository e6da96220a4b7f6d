"""Where training starts: centred, tied, and with the encoder scaled so that the first reconstruction is the best one.

- b_dec is the mean of the rows (or their geometric median): latents die where activations are not centred
  (arXiv 2605.31518 measures a rank correlation of 0.8 to 0.9).
- Decoder rows are random directions, the encoder is their transpose. k rows that are not orthogonal add up to too much,
  so the encoder gets the scale c = <y - b, r> / |r|^2 that is best for the first rows (r: the centred reconstruction
  at c = 1); with b_enc = 0 codes are homogeneous, which makes that exact.
- A transcoder's encoder is random and blind to the mean, which is taken from its rows (`scaling.py`); a latent's
  decoder row starts as what the output does when it fires, sum_rows f (y - mean(y)), the first step of a regression.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.randomness import seed_of
from loupe.engine.sae.config import TrainingConfig
from loupe.engine.sae.kinds import Activation, Centring
from loupe.engine.sae.losses import naive_codes
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.scaling import ROWS_AT_ONCE, Scales, mean_of

WEISZFELD_STEPS = 20
SCALE_ROWS = 1024  # rows the encoder's scale is taken from, at most
SCALE_PRODUCTS = 1 << 28  # multiplications that may take, of three products in one slice


def initialise(
    sae: SAE,
    training: TrainingConfig,
    x: Float[Tensor, "rows d_in"],
    y: Float[Tensor, "rows d_out"],
    key: str,
    scales: Scales,
) -> Generator[None, None, None]:
    """Give an SAE its starting values from raw rows; random numbers depend on (seed, key) alone.

    There are many rows: they are scaled some at a time, so that no copy of all exists.
    """
    centre = yield from _centre(training.centring, y, scales.y)
    _random_directions(sae, training, key)
    _set_biases(sae, training, scales.read(mean_of(x)[None])[0], centre)
    yield
    some = max(64, min(SCALE_ROWS, SCALE_PRODUCTS // (sae.d_sae * sae.d_in)))
    some_x, some_y = scales.read(x[:some]), y[:some] * scales.y
    if sae.config.is_transcoder:
        _regressed_decoder(sae, training, some_x, some_y)
        yield
    _scale_encoder(sae, training, some_x, some_y)


def _centre(centring: Centring, rows: Tensor, scale: Tensor) -> Generator[None, None, Tensor]:
    if centring is Centring.ZERO:
        return torch.zeros_like(rows[0])
    centre = mean_of(rows) * scale
    if centring is Centring.GEOMETRIC_MEDIAN:
        for _ in range(WEISZFELD_STEPS):
            centre = _nearer(rows, scale, centre)
            yield
    return centre


@torch.no_grad()
def _nearer(rows: Tensor, scale: Tensor, centre: Tensor) -> Tensor:
    """One step of Weiszfeld's algorithm."""
    total, weight = torch.zeros_like(centre), centre.new_zeros(())
    for part in rows.split(ROWS_AT_ONCE):
        scaled = part * scale
        weights = 1 / (scaled - centre).norm(dim=1).clamp(min=1e-6)
        total += weights @ scaled
        weight += weights.sum()
    return total / weight


@torch.no_grad()
def _random_directions(sae: SAE, training: TrainingConfig, key: str) -> None:
    generator = torch.Generator().manual_seed(seed_of(training.seed, "initial", key))
    directions = torch.randn(sae.d_sae, sae.d_out, generator=generator)
    sae.W_dec.copy_(directions / directions.norm(dim=1, keepdim=True))
    if sae.config.is_transcoder:
        read = torch.randn(sae.d_sae, sae.d_in, generator=generator)
        sae.W_enc.t().copy_(read / read.norm(dim=1, keepdim=True))
    else:
        sae.W_enc.t().copy_(sae.W_dec)


@torch.no_grad()
def _set_biases(sae: SAE, training: TrainingConfig, mean: Tensor, centre: Tensor) -> None:
    sae.b_dec.copy_(centre)
    if not sae.config.apply_b_dec_to_input:
        sae.b_enc.copy_(-(mean @ sae.W_enc))
    if sae.config.activation is Activation.JUMPRELU:
        assert training.initial_threshold is not None
        sae.threshold.fill_(training.initial_threshold)


@torch.no_grad()
def _codes(sae: SAE, training: TrainingConfig, x: Tensor) -> Tensor:
    pre = sae.pre_activations(x)
    return torch.relu(pre) if sae.config.activation is Activation.JUMPRELU else naive_codes(sae, training, pre)


@torch.no_grad()
def _regressed_decoder(sae: SAE, training: TrainingConfig, x: Tensor, y: Tensor) -> None:
    moved = _codes(sae, training, x).t() @ (y - y.mean(0))
    lengths = moved.norm(dim=1, keepdim=True)
    sae.W_dec.copy_(torch.where(lengths > 0, moved / lengths, sae.W_dec))


@torch.no_grad()
def _scale_encoder(sae: SAE, training: TrainingConfig, x: Tensor, y: Tensor) -> None:
    rebuilt = _codes(sae, training, x) @ sae.W_dec
    best = (rebuilt * (y - sae.b_dec)).sum() / rebuilt.square().sum()
    best = torch.where(torch.isfinite(best) & (best > 0), best, 1.0)
    sae.W_enc.mul_(best)
    if sae.config.activation is not Activation.GATED:
        sae.b_enc.mul_(best)
