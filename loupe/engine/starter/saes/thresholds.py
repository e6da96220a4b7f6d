"""The last word on the thresholds of written SAEs: counted on fresh documents, with the weights that their files hold.

A training fixes them on rows of its own and in full precision. What ships has latents left out and matrices in fp16,
and is judged on other documents: small differences, which together moved L0 by a percent or two.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from loupe.engine.models.language_model import LanguageModel
from loupe.engine.sae.formats.saelens import WEIGHTS, read_saelens
from loupe.engine.sae.threshold import ThresholdCount
from loupe.engine.starter.saes.activations import activations_of


def settle_thresholds(lm: LanguageModel, places: Iterable[Path], documents: Iterable[np.ndarray]) -> None:
    """Rewrite BatchTopK SAEs of one hook point each so that k latents fire per token of these documents, on average."""
    read = {place: read_saelens(place) for place in places}
    counts = {place: ThresholdCount(loaded.sae) for place, loaded in read.items()}
    for found in activations_of(lm, [loaded.hook_points[0] for loaded in read.values()], documents):
        for place, loaded in read.items():
            counts[place].add(found[loaded.hook_points[0]])
    for place, loaded in read.items():
        assert loaded.sae.config.k is not None
        tensors = load_file(place / WEIGHTS)
        tensors["threshold"] = torch.full_like(tensors["threshold"], counts[place].threshold(loaded.sae.config.k))
        save_file(tensors, place / WEIGHTS, metadata={"format": "pt"})
