"""Which latents fire: the k largest of every row (TopK), or the rows x k largest of the whole batch (BatchTopK).

Both keep what is positive only, `f = TopK(ReLU(pre))` (arXiv 2406.04093, arXiv 2412.06410),
so a row may hold fewer than its share. A code is never a [batch, d_sae] matrix: it is `SparseActs`, and the matrix of
pre-activations exists for one chunk of rows at a time.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

CHUNK_ELEMENTS = 1 << 22  # of the pre-activations that exist at once: 512 rows of 8192 latents


class SparseActs(NamedTuple):
    """The active latents of every row: `values[row, slot]` is the activation of latent `indices[row, slot]`.

    An unused slot holds the value 0 and a valid index; no latent appears twice in a row with a value other than 0.
    """

    values: Float[Tensor, "batch width"]
    indices: Int64[Tensor, "batch width"]

    def dense(self, d_sae: int) -> Float[Tensor, "batch d_sae"]:
        """The same code with its zeros written out: `feature_acts`."""
        return self.values.new_zeros(len(self.values), d_sae).scatter_add_(1, self.indices, self.values)


def row_chunks(rows: int, d_sae: int) -> Iterator[slice]:
    """Rows in pieces whose pre-activations stay small."""
    size = max(1, CHUNK_ELEMENTS // max(1, d_sae))
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def topk_of_rows(pre: Float[Tensor, "batch d_sae"], k: int) -> SparseActs:
    """The k largest of every row, negative ones as unused slots."""
    values, indices = pre.topk(min(k, pre.shape[1]), dim=1, sorted=False)
    return SparseActs(values.relu(), indices)


def topk_of_batch(candidates: SparseActs, keep: int) -> SparseActs:
    """The `keep` largest values of the whole batch, by exact selection among candidates, packed to the widest row."""
    flat = candidates.values.flatten()
    if keep < flat.numel():
        kept = torch.zeros_like(flat)
        values, places = flat.topk(keep, sorted=False)
        flat = kept.scatter_(0, places, values)
    return packed(SparseActs(flat.view_as(candidates.values), candidates.indices))


def packed(acts: SparseActs) -> SparseActs:
    """Used slots to the front, and as few slots as the fullest row needs (at least one)."""
    used = acts.values != 0
    width = max(1, int(used.sum(1).max())) if used.numel() else 1
    order = used.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :width]
    return SparseActs(acts.values.gather(1, order), acts.indices.gather(1, order))
