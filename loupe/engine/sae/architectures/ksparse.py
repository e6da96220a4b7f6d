"""TopK, BatchTopK and Matryoshka codes: only the encoder's product is dense, the rest touches k of d_sae latents.

    encode (tiles of rows) -> select (BatchTopK: in the whole batch) -> decode, errors, gradients of the values (tiles)
    -> AuxK on the errors (tiles) -> weight gradients (ranges of latents, from one sort of the code)

Weight gradients are made latent by latent, so each row of them is written once, whatever the batch. A Matryoshka code
is decoded group by group in one pass over its entries: one bag per row and group, then running sums over the groups.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from loupe.engine.sae import sparse
from loupe.engine.sae.architectures.batch import Batch, StepResult
from loupe.engine.sae.config import TrainingConfig
from loupe.engine.sae.kernels import sparse_decode, topk_encode
from loupe.engine.sae.kinds import Activation, Architecture, Precision
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.topk import SparseActs, topk_of_batch, topk_of_rows

GRADIENT_ELEMENTS = 1 << 24  # multiplications of one piece of a weight gradient, in entries x width


class _Decoded(NamedTuple):
    """Errors y - y_hat, the loss, what a table of output gradients holds per row of it, and which row a slot reads."""

    errors: Tensor
    loss: Tensor
    g_values: Tensor
    g_table: Tensor
    table_rows: Tensor | None
    g_b_dec: Tensor


def ksparse_step(
    sae: SAE, training: TrainingConfig, batch: Batch, dead: Int64[Tensor, " n_dead"]
) -> Generator[None, None, StepResult]:
    """One batch through a code of k active latents per row, or k on average."""
    seen = _seen(sae, batch)
    acts = yield from _encoded(sae, batch, seen, coarse=training.precision is Precision.BF16)
    decode = _decode_levels if sae.config.architecture is Architecture.MATRYOSHKA else _decode
    pieces = []
    for rows in batch.tiles():
        pieces.append(decode(sae, batch, rows, acts))
        yield
    decoded = _joined(pieces)
    g_W_dec, g_W_enc_rows = yield from _weight_gradients(sae, seen, acts, decoded)
    grads = _gradients(sae, batch, acts, decoded, g_W_dec, g_W_enc_rows)
    aux = decoded.loss.new_zeros(())
    if len(dead) and training.aux_coefficient:
        aux = yield from _aux(sae, training, batch, seen, decoded.errors, dead, grads)
    used = acts.values > 0
    fired = torch.zeros(sae.d_sae, dtype=torch.int64, device=seen.device)
    fired.index_add_(0, acts.indices.flatten(), used.flatten().to(torch.int64))
    smallest = torch.where(used, acts.values, torch.inf).min()
    return StepResult(grads, decoded.loss, torch.zeros_like(aux), aux, decoded.errors, fired, smallest)


@torch.no_grad()
def _seen(sae: SAE, batch: Batch) -> Tensor:
    return sae.centred(batch.x)


def _encoded(sae: SAE, batch: Batch, seen: Tensor, *, coarse: bool) -> Generator[None, None, SparseActs]:
    k = sae.config.k
    assert k is not None
    if sae.config.activation is Activation.TOPK:
        return _stacked((yield from _topk_tiles(sae, batch, seen, k, coarse=coarse)))
    width = min(4 * k, sae.d_sae)
    while True:
        candidates = _stacked((yield from _topk_tiles(sae, batch, seen, width, coarse=coarse)))
        acts = _selected(candidates, len(seen) * k)
        if width == sae.d_sae or acts.values.shape[1] < width:
            return acts
        width = min(4 * width, sae.d_sae)  # some row may want more latents than it could offer


def _topk_tiles(
    sae: SAE, batch: Batch, seen: Tensor, k: int, *, coarse: bool
) -> Generator[None, None, list[SparseActs]]:
    tiles = []
    for rows in batch.tiles():
        tiles.append(_topk_tile(sae, seen[rows], k, coarse=coarse))
        yield
    return tiles


@torch.no_grad()
def _topk_tile(sae: SAE, seen: Tensor, k: int, *, coarse: bool = False) -> SparseActs:
    """With `coarse`, bf16 products choose the latents, and what they hold is computed again in full."""
    if not coarse:
        return topk_encode(seen, sae.W_enc, sae.b_enc, k)
    x, W_enc, b_enc = (each.to(torch.bfloat16) for each in (seen, sae.W_enc, sae.b_enc))
    chosen = topk_encode(x, W_enc, b_enc, k)
    exact = sparse.row_dots(seen, chosen.indices, sae.W_enc.t()) + sae.b_enc[chosen.indices]
    return SparseActs(torch.relu(exact) * (chosen.values > 0), chosen.indices)


@torch.no_grad()
def _stacked(tiles: list[SparseActs]) -> SparseActs:
    return SparseActs(torch.cat([each.values for each in tiles]), torch.cat([each.indices for each in tiles]))


@torch.no_grad()
def _selected(candidates: SparseActs, keep: int) -> SparseActs:
    return topk_of_batch(candidates, keep)


@torch.no_grad()
def _decode(sae: SAE, batch: Batch, rows: slice, acts: SparseActs) -> _Decoded:
    x, y, share = batch.x[rows], batch.y[rows], 1 / len(batch.x)
    values, indices = acts.values[rows], acts.indices[rows]
    decoded = sparse_decode(values, indices, sae.W_dec) + sae.b_dec
    errors = y - (decoded + sae.skip(x) if sae.config.has_skip else decoded)
    g_out = errors * (-2 * share)
    g_values = sparse.row_dots(g_out, indices, sae.W_dec) * (values > 0)
    return _Decoded(errors, errors.square().sum() * share, g_values, g_out, None, g_out.sum(0))


@torch.no_grad()
def _decode_levels(sae: SAE, batch: Batch, rows: slice, acts: SparseActs) -> _Decoded:
    """Every Matryoshka level at once: groups are decoded apart, levels are their running sums."""
    y, values, indices = batch.y[rows], acts.values[rows], acts.indices[rows]
    sizes = torch.tensor(sae.config.prefix_sizes, device=indices.device)
    levels, n = len(sizes), len(y)
    bags = torch.bucketize(indices, sizes, right=True) + torch.arange(n, device=indices.device)[:, None] * levels
    order = bags.flatten().argsort(stable=True)
    starts = torch.searchsorted(bags.flatten()[order], torch.arange(n * levels + 1, device=indices.device))
    groups = sparse.weighted_sum(sae.W_dec, indices.flatten()[order], values.flatten()[order], starts)
    errors = y[:, None] - (groups.view(n, levels, -1).cumsum(1) + sae.b_dec)
    share = 1 / (len(batch.x) * levels)
    g_levels = errors * (-2 * share)
    later = g_levels.flip(1).cumsum(1).flip(1)  # a latent's group is part of its own level and of all wider ones
    table = later.reshape(n * levels, -1)
    g_values = _pair_dots(table, bags, sae.W_dec, indices) * (values > 0)
    table_rows = bags + rows.start * levels
    return _Decoded(errors[:, -1], errors.square().sum() * share, g_values, table, table_rows, later[:, 0].sum(0))


def _pair_dots(
    left: Float[Tensor, "m d"],
    left_rows: Int64[Tensor, "batch width"],
    right: Float[Tensor, "n d"],
    right_rows: Int64[Tensor, "batch width"],
) -> Float[Tensor, "batch width"]:
    """The dot products of chosen rows of two tables."""
    step = max(1, sparse.GATHERED_ELEMENTS // (2 * left.shape[1]))
    pairs = zip(left_rows.flatten().split(step), right_rows.flatten().split(step), strict=True)
    return torch.cat([torch.einsum("nd,nd->n", left[a], right[b]) for a, b in pairs]).view(left_rows.shape)


@torch.no_grad()
def _joined(pieces: list[_Decoded]) -> _Decoded:
    first = pieces[0]
    return _Decoded(
        torch.cat([piece.errors for piece in pieces]),
        torch.stack([piece.loss for piece in pieces]).sum(),
        torch.cat([piece.g_values for piece in pieces]),
        torch.cat([piece.g_table for piece in pieces]),
        None if first.table_rows is None else torch.cat([p.table_rows for p in pieces if p.table_rows is not None]),
        torch.stack([piece.g_b_dec for piece in pieces]).sum(0),
    )


def _weight_gradients(
    sae: SAE, seen: Tensor, acts: SparseActs, decoded: _Decoded
) -> Generator[None, None, tuple[Tensor, Tensor]]:
    """Gradients of W_dec and of W_enc by latent, a range of latents at a time."""
    turned = _turned(acts, sae.d_sae)
    g_W_dec, g_W_enc_rows = torch.empty_like(sae.W_dec), torch.empty_like(sae.W_enc.t())
    for latents in _ranges(sae, acts):
        _latent_gradients(latents, turned, acts, seen, decoded, g_W_dec, g_W_enc_rows)
        yield
    return g_W_dec, g_W_enc_rows


@torch.no_grad()
def _turned(acts: SparseActs, d_sae: int) -> sparse.ByLatent:
    return sparse.by_latent(acts.indices, d_sae)


def _ranges(sae: SAE, acts: SparseActs) -> Iterator[slice]:
    pieces = max(1, -(-acts.values.numel() * (sae.d_in + sae.d_out) // GRADIENT_ELEMENTS // 4))
    step = -(-sae.d_sae // pieces)
    return (slice(at, min(at + step, sae.d_sae)) for at in range(0, sae.d_sae, step))


@torch.no_grad()
def _latent_gradients(
    latents: slice,
    turned: sparse.ByLatent,
    acts: SparseActs,
    seen: Tensor,
    decoded: _Decoded,
    g_W_dec: Tensor,
    g_W_enc_rows: Tensor,
) -> None:
    starts = turned.starts[latents.start : latents.stop + 1]
    whole = len(starts) == len(turned.starts)  # then nothing need be read back from the device
    first, last = (0, len(turned.rows)) if whole else (int(starts[0]), int(starts[-1]))
    rows, slots = turned.rows[first:last], turned.slots[first:last]
    table_rows = rows if decoded.table_rows is None else decoded.table_rows.flatten()[slots]
    starts = starts - first
    values, g_values = acts.values.flatten()[slots], decoded.g_values.flatten()[slots]
    g_W_dec[latents] = sparse.weighted_sum(decoded.g_table, table_rows, values, starts)
    g_W_enc_rows[latents] = sparse.weighted_sum(seen, rows, g_values, starts)


@torch.no_grad()
def _gradients(
    sae: SAE, batch: Batch, acts: SparseActs, decoded: _Decoded, g_W_dec: Tensor, g_W_enc_rows: Tensor
) -> dict[str, Tensor]:
    g_b_enc = torch.zeros_like(sae.b_enc)
    g_b_enc.index_add_(0, acts.indices.flatten(), decoded.g_values.flatten())
    g_b_dec = decoded.g_b_dec
    if sae.config.apply_b_dec_to_input:
        g_b_dec = g_b_dec - sae.W_enc @ g_b_enc
    grads = {"W_enc": g_W_enc_rows.t(), "W_dec": g_W_dec, "b_dec": g_b_dec, "b_enc": g_b_enc}
    if sae.config.has_skip:
        grads["W_skip"] = decoded.g_table.t() @ batch.x
    return grads


def _aux(
    sae: SAE,
    training: TrainingConfig,
    batch: Batch,
    seen: Tensor,
    errors: Float[Tensor, "batch d_out"],
    dead: Int64[Tensor, " n_dead"],
    grads: dict[str, Tensor],
) -> Generator[None, None, Float[Tensor, ""]]:
    """AuxK (arXiv 2406.04093, A.2): dead latents explain the errors; adds to `grads`, returns the loss."""
    total = _spread(errors)
    loss = torch.zeros_like(total)
    for rows in batch.tiles():
        loss = loss + _aux_tile(sae, training, seen[rows], errors[rows], dead, total, grads)
        yield
    return loss


@torch.no_grad()
def _spread(errors: Tensor) -> Tensor:
    return (errors - errors.mean(0)).square().sum()


@torch.no_grad()
def _aux_tile(
    sae: SAE,
    training: TrainingConfig,
    seen: Tensor,
    errors: Tensor,
    dead: Tensor,
    total: Tensor,
    grads: dict[str, Tensor],
) -> Tensor:
    assert training.aux_k is not None
    scale = training.aux_coefficient * min(1.0, len(dead) / training.aux_k)
    weight = torch.where(total > 0, scale / total, 0)
    W_enc, W_dec = sae.W_enc.t()[dead], sae.W_dec[dead]
    acts = topk_of_rows(torch.addmm(sae.b_enc[dead], seen, W_enc.t()), min(training.aux_k, len(dead)))
    left = acts.dense(len(dead)) @ W_dec - errors
    g_out = left * (2 * weight)
    g_pre = (g_out @ W_dec.t()) * (acts.dense(len(dead)) > 0)
    grads["W_dec"].index_add_(0, dead, acts.dense(len(dead)).t() @ g_out)
    grads["W_enc"].t().index_add_(0, dead, g_pre.t() @ seen)
    grads["b_enc"].index_add_(0, dead, g_pre.sum(0))
    if sae.config.apply_b_dec_to_input:
        grads["b_dec"] -= g_pre.sum(0) @ W_enc
    return weight * left.square().sum()
