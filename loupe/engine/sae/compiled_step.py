"""The k-sparse step in compiled kernels, for fp32 weights on a CPU: `architectures.ksparse`, only faster.

What makes it fast: the encoder's product runs in bf16 where the processor has instructions for it, on chunks of rows
whose pre-activations stay in cache, and only chooses candidates: their values are computed again in fp32, so that code,
loss and gradients are those of fp32 weights. Selection reads each pre-activation once. Gradients are gathered latent by
latent over the code turned around, each row by one thread. Results are the same bits whatever the number of threads.

The one thing rounding can change is which of two nearly equal latents is kept, and only if the true one of the k
largest is not among `k + k // 4 + 4` candidates (BatchTopK: if bf16 is off by more than `MARGIN` at the threshold).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from loupe.engine.sae.architectures.batch import Batch, StepResult
from loupe.engine.sae.config import TrainingConfig
from loupe.engine.sae.kinds import Activation, Architecture
from loupe.engine.sae.linked import kernels
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.scratch import VECTOR, scratch
from loupe.engine.sae.workers import run_pieces

CHUNK_ROWS = 512
CHUNK_ELEMENTS = 1 << 22  # pre-activations of a chunk
CHUNK_PRODUCTS = 1 << 33  # multiplications of a chunk's product: tens of milliseconds in bf16
BLOCK_LATENTS = 512
MARGIN = 0.02  # by how much a rounded pre-activation may be off at a batch's threshold
GUESS = 0.95  # of the last threshold: what the next batch gathers from

_kept: WeakKeyDictionary[SAE, _Kept] = WeakKeyDictionary()


class _Kept:
    """What an SAE's steps leave to the next: memory, which is dear to get afresh, and a guess. Never a result."""

    def __init__(self) -> None:
        self.threshold_guess = 0.0
        self._tensors: dict[str, Tensor] = {}

    def empty(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Memory for this name; what the step before wrote there is lost."""
        found = self._tensors.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            found = self._tensors[name] = torch.empty(shape, dtype=dtype)
        return found


class _Latents(NamedTuple):
    """The latents in play: all of an SAE's, or the dead ones for AuxK. Weights by latent, rows contiguous."""

    W_rows: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    level_of: Tensor
    levels: int
    kept: _Kept


class _Code(NamedTuple):
    values: Tensor
    indices: Tensor
    used: Tensor

    def arrays(self) -> tuple[np.ndarray, ...]:
        return _arrays(*self)

    def rows(self, rows: slice) -> _Code:
        return _Code(self.values[rows], self.indices[rows], self.used[rows])


class _Compared(NamedTuple):
    squared_errors: float
    table: Tensor
    grad_values: Tensor
    grad_b_dec: Tensor
    scale: float


def coarse_dtype() -> torch.dtype:
    """What candidates are chosen in: bf16 where the processor multiplies it faster than fp32."""
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def compiled_ksparse_step(
    sae: SAE, training: TrainingConfig, batch: Batch, dead: Tensor
) -> Generator[None, None, StepResult]:
    """One batch through a code of k active latents per row, or k on average; changes no weight.

    Gradients and errors lie in memory that the next step of this SAE writes to again.
    """
    assert sae.config.k is not None
    latents = _all_latents(sae)
    seen, y = yield from _prepared(sae, latents.kept, batch)
    if sae.config.activation is Activation.TOPK:
        code = yield from _topk(latents, seen, sae.config.k)
    else:
        code = yield from _batch_topk(latents, seen, sae.config.k)
    compared = yield from _compare(latents, code, y, 1 / (len(y) * latents.levels))
    grads, grad_seen, fired = yield from _gradients(latents, seen, code, compared)
    grads["b_dec"] = compared.grad_b_dec - grad_seen if sae.config.apply_b_dec_to_input else compared.grad_b_dec
    if sae.config.has_skip:
        grads["W_skip"] = (compared.table[0].t() @ batch.x) * compared.scale
    aux = torch.zeros(())
    if len(dead) and training.aux_coefficient:
        aux = yield from _aux(sae, training, latents, seen, compared.table[-1], dead, grads)
    loss = torch.tensor(compared.squared_errors / (len(y) * latents.levels))
    smallest = torch.where(code.values > 0, code.values, torch.inf).min()
    return StepResult(grads, loss, torch.zeros(()), aux, compared.table[-1], fired, smallest)


def _all_latents(sae: SAE) -> _Latents:
    is_matryoshka = sae.config.architecture is Architecture.MATRYOSHKA
    ends = torch.tensor(sae.config.prefix_sizes if is_matryoshka else (sae.d_sae,))
    level_of = torch.bucketize(torch.arange(sae.d_sae), ends, right=True)
    W_rows, b_enc, W_dec, b_dec = (each.detach() for each in (sae.W_enc.t(), sae.b_enc, sae.W_dec, sae.b_dec))
    kept = _kept.setdefault(sae, _Kept())
    return _Latents(W_rows, b_enc, W_dec, b_dec, level_of, len(ends), kept)


def _prepared(sae: SAE, kept: _Kept, batch: Batch) -> Generator[None, None, tuple[Tensor, Tensor]]:
    """What the encoder is given and what the decoder is held to."""
    x, y = batch.x, batch.y
    centred = sae.config.apply_b_dec_to_input
    seen = kept.empty("seen", *x.shape) if centred else x.float().contiguous()
    left = kept.empty("left", *y.shape) if sae.config.has_skip else y.float().contiguous()

    def prepare(piece: int) -> None:
        rows = slice(piece * CHUNK_ROWS, (piece + 1) * CHUNK_ROWS)
        if centred:
            torch.sub(x[rows], sae.b_dec, out=seen[rows])
        if sae.config.has_skip:
            torch.sub(y[rows], sae.skip(x[rows]), out=left[rows])

    yield from run_pieces(prepare, -(-len(x) // CHUNK_ROWS))
    return seen, left


def _encode(latents: _Latents, seen: Tensor, width: int, choose: Callable[..., None]) -> Generator[None, None, _Code]:
    """Pre-activations chunk by chunk; `choose(bits, x, W_rows, b_enc, values, indices, used)` fills a chunk's code."""
    d_sae, rows_at_once = len(latents.b_enc), _chunk_rows(*latents.W_rows.shape)
    code = _new_code(latents.kept, len(seen), width)
    coarse = latents.kept.empty("coarse", *latents.W_rows.shape, dtype=coarse_dtype())
    b_coarse = latents.b_enc.to(coarse.dtype)
    W_rows, b_enc = _arrays(latents.W_rows, latents.b_enc)

    def cast(piece: int) -> None:
        block = slice(*_block(piece, d_sae))
        coarse[block].copy_(latents.W_rows[block])

    def encode(piece: int) -> None:
        rows = slice(piece * rows_at_once, min(len(seen), (piece + 1) * rows_at_once))
        pre = scratch("pre", rows_at_once, d_sae, dtype=coarse.dtype)[: rows.stop - rows.start]
        torch.addmm(b_coarse, seen[rows].to(coarse.dtype), coarse.t(), out=pre)
        choose(_bits(pre), seen[rows].numpy(), W_rows, b_enc, *code.rows(rows).arrays())

    yield from run_pieces(cast, _blocks(d_sae))
    yield from run_pieces(encode, -(-len(seen) // rows_at_once))
    return code


def _topk(latents: _Latents, seen: Tensor, k: int) -> Generator[None, None, _Code]:
    groups = _groups(k, len(latents.b_enc))

    def choose(bits: Any, x: Any, W_rows: Any, b_enc: Any, *code: Any) -> None:
        exact = scratch("exact", len(b_enc) + VECTOR).numpy()
        kernels.select_rows(bits, x, W_rows, b_enc, k, *code, *_room(bits, groups), exact)

    return (yield from _encode(latents, seen, k, choose))


def _batch_topk(latents: _Latents, seen: Tensor, k: int) -> Generator[None, None, _Code]:
    """The rows x k largest of the batch, among all that reach a guess below the threshold of the batch before.

    The guess decides how long this takes, never what comes out: it is lowered until it lies `MARGIN` below the result.
    """
    d_sae, keep, width = len(latents.b_enc), len(seen) * k, min(4 * k, len(latents.b_enc))
    groups = _groups(k, d_sae)
    guess = latents.kept.threshold_guess or _first_guess(latents, seen, k)
    while True:
        level = int(_bits(torch.tensor([max(guess, 0.0)], dtype=coarse_dtype()))[0])

        def choose(bits: Any, x: Any, W_rows: Any, b_enc: Any, *code: Any, level: int = level) -> None:
            kernels.reach_rows(bits, x, W_rows, b_enc, max(level, 1), *code, *_room(bits, groups))

        code = yield from _encode(latents, seen, width, choose)
        if (widest := int(code.used.max())) > width:
            width = min(d_sae, 2 * widest)
            continue
        kept = kernels.level_of_largest(keep, code.values.view(-1).numpy())
        threshold = float(np.int32(kept).view(np.float32))
        if guess > 0 and (int(code.used.sum()) < keep or guess > (1 - MARGIN) * threshold):
            guess = min(guess, threshold) * GUESS**2 if guess > 1e-6 else 0.0
            continue
        yield
        kernels.keep_reaching(kept, *code.arrays())
        latents.kept.threshold_guess = GUESS * threshold
        return code


def _first_guess(latents: _Latents, seen: Tensor, k: int) -> float:
    """From the first rows, each with its own k-th largest: their mean is near the threshold of a batch."""
    some = torch.addmm(latents.b_enc, seen[:64], latents.W_rows.t())
    return GUESS * float(some.topk(k, dim=1).values[:, -1].mean())


def _compare(latents: _Latents, code: _Code, y: Tensor, share: float) -> Generator[None, None, _Compared]:
    pieces = -(-len(y) // CHUNK_ROWS)
    table = latents.kept.empty("table", latents.levels, *y.shape)
    grad_values = latents.kept.empty("grad_values", *code.values.shape)
    squared_errors, grad_b_dec = np.zeros(pieces), torch.zeros(pieces, y.shape[1])
    inputs = (code.arrays(), *_arrays(latents.W_dec, latents.b_dec, y, latents.level_of))
    scale, outs = -2 * share, _arrays(table, grad_values)

    def compare(piece: int) -> None:
        first, last = piece * CHUNK_ROWS, min(len(y), (piece + 1) * CHUNK_ROWS)
        bias, run = grad_b_dec[piece].numpy(), scratch("run", y.shape[1]).numpy()
        squared_errors[piece] = kernels.compare_rows(first, last, *inputs, np.float32(scale), *outs, bias, run)

    yield from run_pieces(compare, pieces)
    return _Compared(float(squared_errors.sum()), table, grad_values, grad_b_dec.sum(0), scale)


def _gradients(
    latents: _Latents, seen: Tensor, code: _Code, compared: _Compared
) -> Generator[None, None, tuple[dict[str, Tensor], Tensor, Tensor]]:
    """By weight; what flows back to the input, summed over rows; and how often each latent fired."""
    d_sae = len(latents.b_enc)
    starts = torch.empty(d_sae + 1, dtype=torch.int64)
    slots = latents.kept.empty("slots", code.values.numel(), dtype=torch.int32)
    kernels.turn_around(code.arrays(), *_arrays(starts, slots))
    yield
    W_dec = latents.kept.empty("grad of W_dec", *latents.W_dec.shape)
    rows, b_enc = latents.kept.empty("grad of rows", *latents.W_rows.shape), torch.empty(d_sae)
    grad_seen = torch.zeros(_blocks(d_sae), seen.shape[1])
    inputs = (
        _arrays(starts, slots),
        _arrays(code.values, compared.grad_values),
        *_arrays(compared.table, latents.level_of, seen, latents.W_rows),
        np.float32(compared.scale),
        _arrays(rows, b_enc, W_dec),
    )

    def gather(piece: int) -> None:
        rows_of = scratch("rows", len(seen), dtype=torch.int64).numpy()
        weights = (scratch(name, len(seen)).numpy() for name in ("by value", "by grad"))
        kernels.gradients_of(*_block(piece, d_sae), *inputs, grad_seen[piece].numpy(), rows_of, *weights)

    yield from run_pieces(gather, _blocks(d_sae))
    return {"W_enc": rows.t(), "b_enc": b_enc, "W_dec": W_dec}, grad_seen.sum(0), starts.diff()


def _aux(
    sae: SAE,
    training: TrainingConfig,
    latents: _Latents,
    seen: Tensor,
    errors: Tensor,
    dead: Tensor,
    grads: dict[str, Tensor],
) -> Generator[None, None, Tensor]:
    """AuxK (arXiv 2406.04093, A.2): the same phases over the dead latents alone, with the errors as what to explain."""
    assert training.aux_k is not None
    weights = (latents.W_rows[dead], latents.b_enc[dead], latents.W_dec[dead], torch.zeros_like(latents.b_dec))
    some = _Latents(*weights, torch.zeros_like(dead), 1, _Kept())
    total = float((errors - errors.mean(0)).square().sum())
    if total <= 0:
        return torch.zeros(())
    share = training.aux_coefficient * min(1.0, len(dead) / training.aux_k) / total
    code = yield from _topk(some, seen, min(training.aux_k, len(dead)))
    compared = yield from _compare(some, code, errors, share)
    more, grad_seen, _ = yield from _gradients(some, seen, code, compared)
    for name, grad in more.items():
        by_latent = (lambda each: each.t()) if name == "W_enc" else (lambda each: each)
        by_latent(grads[name]).index_add_(0, dead, by_latent(grad))
    if sae.config.apply_b_dec_to_input:
        grads["b_dec"] -= grad_seen
    return torch.tensor(compared.squared_errors * share)


def _new_code(kept: _Kept, rows: int, width: int) -> _Code:
    indices = kept.empty("indices", rows, width, dtype=torch.int32)
    return _Code(kept.empty("values", rows, width), indices, kept.empty("used", rows, dtype=torch.int32))


def _room(bits: np.ndarray, groups: int) -> tuple[np.ndarray, ...]:
    """What choosing among pre-activations works in: maxima of groups, groups that reach, latents that do."""
    top = _bits(scratch("top", groups, dtype=torch.bfloat16 if bits.itemsize == 2 else torch.float32))
    hits = scratch("hits", groups + 1, dtype=torch.int64).numpy()
    return top, hits, scratch("found", bits.shape[1] + VECTOR, dtype=torch.int64).numpy()


def _bits(floats: Tensor) -> np.ndarray:
    return floats.view(torch.int16 if floats.dtype is torch.bfloat16 else torch.int32).numpy()


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(each.detach().numpy() for each in tensors)


def _blocks(d_sae: int) -> int:
    return -(-d_sae // BLOCK_LATENTS)


def _block(piece: int, d_sae: int) -> tuple[int, int]:
    return piece * BLOCK_LATENTS, min(d_sae, (piece + 1) * BLOCK_LATENTS)


def _chunk_rows(d_sae: int, d_in: int) -> int:
    return max(16, min(CHUNK_ROWS, CHUNK_ELEMENTS // d_sae, CHUNK_PRODUCTS // (d_sae * d_in)))


def _groups(k: int, d_sae: int) -> int:
    """Into how many groups a row is split: enough that its largest values seldom share one."""
    return min(d_sae, 1 << (8 * (k + 4)).bit_length())
