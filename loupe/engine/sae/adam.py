"""Adam with everything around it: project, clip, step, renormalise; in compiled kernels, cut into slices.

The same numbers as removing each row's own direction, `clip_grad_norm_`, `torch.optim.Adam` on every row, and division
by the rows' lengths, one after the other; here two walks over the weights instead of a dozen.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.sae.linked import kernels
from loupe.engine.sae.workers import run_pieces

BLOCK_ELEMENTS = 1 << 17


@dataclass(frozen=True, slots=True)
class AdamNumbers:
    """What one step is made with; `step` counts from 1, `clip` is the largest gradient norm (0: none)."""

    step: int
    lr: float
    beta1: float
    beta2: float
    eps: float = 1e-8
    clip: float = 0.0


class _Piece(NamedTuple):
    """Some rows of a weight and of all that belongs to it."""

    first: int
    last: int
    weight: np.ndarray
    grad: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    has_unit_rows: bool


class CompiledAdam:
    """One step on contiguous fp32 weights, in place: first `norm`, which may be abandoned, then `move`.

    `moments` are those of `torch.optim.Adam`, by name of the weight (exp_avg, exp_avg_sq); `unit_rows_of` names the
    weight whose rows have length one and keep it.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        grads: Mapping[str, Tensor],
        moments: Mapping[str, Mapping[str, Tensor]],
        unit_rows_of: str = "",
    ) -> None:
        self._pieces = [
            _Piece(first, last, *arrays, has_unit_rows=name == unit_rows_of)
            for name, weight in weights.items()
            for arrays in [_arrays(weight, grads[name], moments[name]["exp_avg"], moments[name]["exp_avg_sq"])]
            for first, last in _blocks(arrays[0])
        ]

    def norm(self) -> Generator[None, None, Float[Tensor, ""]]:
        """The norm of the gradients, after what lies along unit rows was removed from them."""
        squares = np.zeros(len(self._pieces))

        def measure(at: int) -> None:
            piece = self._pieces[at]
            if piece.has_unit_rows:
                kernels.remove_along(piece.first, piece.last, piece.grad, piece.weight)
            squares[at] = kernels.sum_of_squares(piece.first, piece.last, piece.grad)

        yield from run_pieces(measure, len(squares))
        return torch.tensor(np.sqrt(squares.sum()), dtype=torch.float32)

    def move(self, norm: Float[Tensor, ""], numbers: AdamNumbers) -> Generator[None, None, None]:
        """Clip and step. Carried to its end even if it is closed: there is no half of a step to come back to."""
        floats = _floats(numbers, float(norm))

        def step(at: int) -> None:
            piece = self._pieces[at]
            kernels.adam_rows(*piece[:-1], floats)
            if piece.has_unit_rows:
                kernels.unit_rows(piece.first, piece.last, piece.weight)

        rest = run_pieces(step, len(self._pieces))
        for _ in rest:
            try:
                yield
            except GeneratorExit:
                list(rest)
                return


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Views, a bias as one row."""
    assert all(each.is_contiguous() for each in tensors)
    weight, grad, mean, square = (each if each.dim() == 2 else each.view(1, -1) for each in tensors)
    return weight.detach().numpy(), grad.numpy(), mean.numpy(), square.numpy()


def _blocks(weight: np.ndarray) -> list[tuple[int, int]]:
    size = max(1, BLOCK_ELEMENTS // max(1, weight.shape[1]))
    return [(at, min(at + size, len(weight))) for at in range(0, len(weight), size)]


def _floats(numbers: AdamNumbers, norm: float) -> tuple[np.float32, ...]:
    factor = min(1.0, numbers.clip / (norm + 1e-6)) if numbers.clip else 1.0
    unbias1, unbias2 = 1 - numbers.beta1**numbers.step, 1 - numbers.beta2**numbers.step
    floats = (
        factor,
        1 - numbers.beta1,
        numbers.beta2,
        1 - numbers.beta2,
        numbers.lr / unbias1,
        unbias2**-0.5,
        numbers.eps,
    )
    return tuple(np.float32(each) for each in floats)
