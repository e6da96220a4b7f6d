"""Products with a sparse code, in torch: the two primitives that every step of a k-sparse SAE is made of.

- `weighted_sum`: for every bag of row numbers, the weighted sum of those rows of a table. Decoding is one (the table is
  the decoder), and so is each weight gradient, once the code is turned around by latent (`by_latent`).
- `row_dots`: for every slot, the dot product of its own row with a row of a table (the gradient of an activation).

Neither builds a [batch, width, d] array or adds to a row from two places at once, so results do not depend on timing.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

GATHERED_ELEMENTS = 1 << 24  # rows of a table copied out at once by `row_dots`


class ByLatent(NamedTuple):
    """A sparse code turned around: entry i of latent f lies in `starts[f] <= i < starts[f + 1]`."""

    rows: Int64[Tensor, " entries"]
    slots: Int64[Tensor, " entries"]  # the place in the flattened code, to pick any array of the same shape
    starts: Int64[Tensor, " d_sae_plus_1"]


def by_latent(indices: Int64[Tensor, "batch width"], d_sae: int) -> ByLatent:
    """Sort a code by latent, rows in order inside each."""
    latents, slots = indices.flatten().sort(stable=True)
    starts = torch.searchsorted(latents, torch.arange(d_sae + 1, device=indices.device))
    return ByLatent(slots // indices.shape[1], slots, starts)


def weighted_sum(
    table: Float[Tensor, "n d"],
    picks: Int64[Tensor, " entries"],
    weights: Float[Tensor, " entries"],
    starts: Int64[Tensor, " bags_plus_1"],
) -> Float[Tensor, "bags d"]:
    """`out[b] = sum of weights[i] * table[picks[i]]` over the entries of bag b; an empty bag gives zeros."""
    return F.embedding_bag(
        picks, table, starts, mode="sum", per_sample_weights=weights.to(table.dtype), include_last_offset=True
    )


def row_dots(
    own: Float[Tensor, "batch d"], indices: Int64[Tensor, "batch width"], table: Float[Tensor, "n d"]
) -> Float[Tensor, "batch width"]:
    """`out[row, slot] = own[row] . table[indices[row, slot]]`."""
    step = max(1, GATHERED_ELEMENTS // max(1, indices.shape[1] * own.shape[1]))
    parts = [
        torch.einsum("bd,bwd->bw", own[at : at + step], table[indices[at : at + step]])
        for at in range(0, len(own), step)
    ]
    return torch.cat(parts) if parts else own.new_zeros(0, indices.shape[1])


def decode(
    values: Float[Tensor, "batch width"], indices: Int64[Tensor, "batch width"], W_dec: Float[Tensor, "d_sae d_out"]
) -> Float[Tensor, "batch d_out"]:
    """The sum of the active decoder directions of every row."""
    return weighted_sum(W_dec, indices.flatten(), values.flatten(), row_starts(indices))


def row_starts(indices: Int64[Tensor, "batch width"]) -> Int64[Tensor, " batch_plus_1"]:
    """Where each row of a flattened code begins."""
    return torch.arange(len(indices) + 1, device=indices.device) * indices.shape[1]
