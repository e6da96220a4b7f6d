"""The inference threshold of BatchTopK: one pass that counts, instead of a running average that lags.

Over rows that training did not see, every pre-activation lands in a histogram with bins of a thousandth; the threshold
is where the mean number of latents above it is k. While training runs, an average of each batch's least kept value
stands in for it, so that a checkpoint can be used at any time.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.sae.sae import SAE

LOWEST, HIGHEST, BIN = 1e-6, 1e6, 1e-3
BINS = int(math.log(HIGHEST / LOWEST) / BIN) + 1


class ThresholdCount:
    """Counts pre-activations of an SAE, tile by tile; `threshold()` interpolates inside a bin."""

    def __init__(self, sae: SAE) -> None:
        self._sae = sae
        self._counts = torch.zeros(BINS, dtype=torch.int64, device=sae.W_enc.device)
        self.rows = 0

    @torch.no_grad()
    def add(self, x: Float[Tensor, "rows d_in"]) -> None:
        """Count rows, scaled as the SAE reads them."""
        pre = self._sae.pre_activations(x).flatten()
        above = pre[pre > LOWEST]
        places = (torch.log(above / LOWEST) / BIN).long().clamp_(max=BINS - 1)
        self._counts += torch.bincount(places, minlength=BINS)
        self.rows += len(x)

    def threshold(self, k: float) -> float:
        """Where k latents per row are above, on average; 0 when fewer than that are ever positive."""
        wanted = k * self.rows
        above = self._counts.flip(0).cumsum(0).flip(0).cpu()  # entries in this bin or a higher one
        if int(above[0]) < wanted:
            return 0.0
        place = int((above >= wanted).nonzero()[-1])
        inside = int(self._counts[place])
        spare = (int(above[place]) - wanted) / inside if inside else 0.0
        return LOWEST * math.exp((place + spare) * BIN)
