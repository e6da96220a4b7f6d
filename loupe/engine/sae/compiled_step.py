"""The phases of a k-sparse step in compiled kernels, for fp32 weights on a CPU: `step.SparseStep`, only faster.

What makes it fast: the encoder's product runs in bf16 where the processor has instructions for it, on chunks of rows
whose pre-activations stay in cache, and only chooses candidates: their values are computed again in fp32, so that code,
loss and gradients are those of fp32 weights. Selection reads each pre-activation once. Gradients are gathered latent by
latent over the code turned around, and each row is projected, measured and later stepped by one thread. Everything is
bit for bit the same whatever the number of threads and wherever the step was cut.
"""

import threading
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from loupe.engine.sae import compiled
from loupe.engine.sae.step import Compared, SparseStep, Weights
from loupe.engine.sae.topk import SparseActs
from loupe.engine.sae.workers import Workers

CHUNK_ROWS = 512
CHUNK_ELEMENTS = 1 << 22  # pre-activations of a chunk
BLOCK_LATENTS = 512


def runs_here(weights: Weights) -> bool:
    """Whether the kernels can work on these tensors in place."""
    rows = (weights.W_enc.t(), weights.b_enc, weights.W_dec, weights.b_dec)
    return all(each.device.type == "cpu" and each.dtype == torch.float32 and each.is_contiguous() for each in rows)


def coarse_dtype() -> torch.dtype:
    """What the encoder's product is computed in: bf16 where the processor multiplies it faster than fp32."""
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


@dataclass
class CompiledStep(SparseStep):
    """The step in compiled kernels; see `SparseStep` for what it does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.workers = Workers()
        self.coarse = coarse_dtype()
        self.scratch = threading.local()

    def see(self, x: Tensor) -> Generator[None, None, Tensor]:
        if not self.centred and x.dtype is torch.float32 and x.is_contiguous():
            return x
        seen = torch.empty(x.shape)

        def task(piece: int) -> None:
            rows = slice(piece * CHUNK_ROWS, (piece + 1) * CHUNK_ROWS)
            torch.sub(x[rows], self.weights.b_dec, out=seen[rows]) if self.centred else seen[rows].copy_(x[rows])

        yield from self.workers.run(task, -(-len(x) // CHUNK_ROWS))
        return seen

    def encode(self, seen: Tensor, of: Weights, k: int, batchwise: bool) -> Generator[None, None, SparseActs]:
        d_sae = len(of.b_enc)
        if batchwise:
            return (yield from super().encode(seen, of, k, batchwise))
        chunk, groups = _chunk_rows(d_sae), _groups(k, d_sae)
        W_rows, b_enc = of.W_enc.t().contiguous(), of.b_enc
        W_coarse, b_coarse = W_rows.to(self.coarse), b_enc.to(self.coarse)
        values = torch.empty(len(seen), k)
        indices = torch.empty(len(seen), k, dtype=torch.int32)

        def task(piece: int) -> None:
            rows = slice(piece * chunk, min(len(seen), (piece + 1) * chunk))
            x = seen[rows]
            pre = self._buffer(chunk, d_sae)[: len(x)]
            torch.addmm(b_coarse, x.to(self.coarse), W_coarse.t(), out=pre)
            bits = pre.view(torch.int16 if self.coarse is torch.bfloat16 else torch.int32)
            parts = (x, W_rows, b_enc)
            compiled.select_rows(bits.numpy(), *_arrays(*parts), k, groups, *_arrays(values[rows], indices[rows]))

        yield from self.workers.run(task, -(-len(seen) // chunk))
        return SparseActs(values, indices)

    def compare(
        self, acts: SparseActs, target: Tensor, of: Weights, scale: float, level_of: Tensor
    ) -> Generator[None, None, Compared]:
        if level_of is self.level_of and self.levels > 1:
            return (yield from super().compare(acts, target, of, scale, level_of))
        pieces = -(-len(target) // CHUNK_ROWS)
        pull, grad_values = torch.empty(target.shape), torch.empty(acts.values.shape)
        sums, grad_b_dec = torch.zeros(pieces, dtype=torch.float64), torch.zeros(pieces, target.shape[1])

        def task(piece: int) -> None:
            rows = slice(piece * CHUNK_ROWS, (piece + 1) * CHUNK_ROWS)
            sums[piece] = compiled.compare_rows(
                *_arrays(acts.values[rows], acts.indices[rows], of.W_dec, of.b_dec, target[rows]),
                np.float32(scale),
                *_arrays(pull[rows], grad_values[rows], grad_b_dec[piece]),
            )

        yield from self.workers.run(task, pieces)
        return Compared(sums.sum().float(), grad_values, pull[None], grad_b_dec.sum(0))

    def add_gradients(
        self, seen: Tensor, acts: SparseActs, compared: Compared, of: Weights, to: Weights, level_of: Tensor
    ) -> Generator[None, None, Tensor]:
        if compared.pull.shape[0] > 1:
            return (yield from super().add_gradients(seen, acts, compared, of, to, level_of))
        d_sae = len(of.b_enc)
        blocks = -(-d_sae // BLOCK_LATENTS)
        starts, slots = torch.empty(d_sae + 1, dtype=torch.int64), torch.empty(acts.values.numel(), dtype=torch.int32)
        compiled.by_latent(*_arrays(acts.values, acts.indices, starts, slots))
        yield
        grad_seen = torch.zeros(blocks, seen.shape[1])
        grads = (to.W_enc.t().numpy(), to.b_enc.numpy(), to.W_dec.numpy())

        def task(piece: int) -> None:
            compiled.gradients_of(
                *_block(piece, d_sae),
                *_arrays(starts, slots, acts.values, compared.grad_values, compared.pull[0], seen, of.W_enc.t()),
                grads,
                grad_seen[piece].numpy(),
            )

        yield from self.workers.run(task, blocks)
        if of is self.weights:
            to.b_dec.add_(compared.grad_b_dec)
        if self.centred:
            self.grads.b_dec.add_(grad_seen.sum(0))
        return starts.diff()

    def step(self, lr: float) -> Generator[None, None, Tensor]:
        weights, grads, adam = self.weights, self.grads, self.adam
        d_sae = len(weights.b_enc)
        blocks = -(-d_sae // BLOCK_LATENTS)
        squares = torch.zeros(blocks, dtype=torch.float64)
        W_dec, grad_dec, grad_enc = weights.W_dec.numpy(), grads.W_dec.numpy(), grads.W_enc.t().numpy()

        def measure(piece: int) -> None:
            block = _block(piece, d_sae)
            if adam.unit_norm:
                compiled.along_rows(*block, grad_dec, W_dec)
            squares[piece] = compiled.squares_of(*block, grad_dec) + compiled.squares_of(*block, grad_enc)

        yield from self.workers.run(measure, blocks)
        biases = grads.b_enc.double().square().sum() + grads.b_dec.double().square().sum()
        norm = (squares.sum() + biases).sqrt().float()
        numbers = self._numbers(lr, float(norm))
        rows = [_arrays(of.W_enc.t(), of.W_dec) for of in (weights, grads, self.means, self.squares)]

        def move(piece: int) -> None:
            block = _block(piece, d_sae)
            for arrays in zip(*rows, strict=True):
                compiled.adam_rows(*block, *arrays, numbers)
            if adam.unit_norm:
                compiled.unit_rows(*block, W_dec)

        yield from self.workers.run(move, blocks)
        biases = [_arrays(of.b_enc[None], of.b_dec[None]) for of in (weights, grads, self.means, self.squares)]
        for arrays in zip(*biases, strict=True):
            compiled.adam_rows(0, 1, *arrays, numbers)
        return norm

    def _numbers(self, lr: float, norm: float) -> tuple[np.float32, ...]:
        adam = self.adam
        factor = min(1.0, adam.clip / (norm + 1e-6)) if adam.clip else 1.0
        unbias1, unbias2 = 1 - adam.beta1**self.steps, 1 - adam.beta2**self.steps
        numbers = (factor, 1 - adam.beta1, adam.beta2, 1 - adam.beta2, lr / unbias1, unbias2**-0.5, adam.eps)
        return tuple(np.float32(each) for each in numbers)

    def _buffer(self, rows: int, d_sae: int) -> Tensor:
        """This thread's own pre-activations."""
        kept = getattr(self.scratch, "pre", None)
        if kept is None or kept.shape[1] != d_sae:
            kept = self.scratch.pre = torch.empty(rows, d_sae, dtype=self.coarse)
        return kept


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(each.numpy() for each in tensors)


def _block(piece: int, d_sae: int) -> tuple[int, int]:
    return piece * BLOCK_LATENTS, min(d_sae, (piece + 1) * BLOCK_LATENTS)


def _chunk_rows(d_sae: int) -> int:
    return max(32, min(CHUNK_ROWS, CHUNK_ELEMENTS // d_sae))


def _groups(k: int, d_sae: int) -> int:
    """Into how many groups a row is split: enough that its largest values seldom share one."""
    return min(d_sae, 1 << (8 * (k + 4)).bit_length())
