"""Activations document by document, for what looks at each token once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from loupe.engine.models.hooks import HookPoint, capture
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.starter.corpus import plain_rows


def documents(lm: LanguageModel, numbers: range) -> Iterator[np.ndarray]:
    """The token ids of plain documents of the corpus, one after the other."""
    assert lm.tokenizer is not None
    rows = plain_rows(lm.tokenizer, numbers)
    return (rows.ids(row) for row in range(len(rows)))


def activations_of(
    lm: LanguageModel, points: Iterable[HookPoint], documents: Iterable[np.ndarray]
) -> Iterator[dict[HookPoint, Tensor]]:
    """For every document of token ids, `[tokens - 1, d_model]` at each hook point: all tokens but the first."""
    points = tuple(points)
    for ids in documents:
        with torch.no_grad(), capture(lm, points, stop=True) as store:
            lm.forward(torch.from_numpy(ids)[None])
        yield {point: store[point][0, 1:].float().cpu() for point in points}
