"""Leaving out latents that never fire: what is computed stays the same, with fewer numbers."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from loupe.engine.sae.sae import SAE

BY_COLUMN = ("W_enc",)
BY_ROW = ("W_dec", "b_enc", "b_gate", "b_mag", "r_mag", "threshold")


@torch.no_grad()
def fires(sae: SAE, x: Float[Tensor, "rows d_in"]) -> Bool[Tensor, " d_sae"]:
    """Which latents are active on at least one of the rows."""
    return (sae.encode(x) != 0).any(0)


@torch.no_grad()
def pruned(sae: SAE, keep: Bool[Tensor, " d_sae"]) -> SAE:
    """The SAE with the latents in `keep` alone, in their order; the same SAE where that is all of them."""
    if bool(keep.all()):
        return sae
    left = int(keep.sum())
    k = sae.config.k
    smaller = SAE(replace(sae.config, d_sae=left, k=None if k is None else min(k, left)))
    for name, value in sae.state_dict().items():
        chosen = value[:, keep] if name in BY_COLUMN else value[keep] if name in BY_ROW else value
        smaller.state_dict()[name].copy_(chosen)
    return smaller.to(sae.W_enc.device)
