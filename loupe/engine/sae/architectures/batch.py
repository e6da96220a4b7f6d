"""What goes into a training step and what comes out of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor


class Batch(NamedTuple):
    """Scaled activations to read and to reconstruct, and how many rows are computed at once."""

    x: Float[Tensor, "batch d_in"]
    y: Float[Tensor, "batch d_out"]
    micro_rows: int

    def tiles(self) -> Iterator[slice]:
        """The rows in pieces. Where they are cut never depends on time, so results do not either."""
        return (slice(at, min(at + self.micro_rows, len(self.x))) for at in range(0, len(self.x), self.micro_rows))


class StepResult(NamedTuple):
    """Gradients by parameter name; the parts of the loss, weighted; and what the counters need.

    `errors` is y - y_hat, `fired` counts rows per latent, `smallest` is the least active value (infinite if none is).
    """

    grads: dict[str, Tensor]
    reconstruction: Float[Tensor, ""]
    sparsity: Float[Tensor, ""]
    aux: Float[Tensor, ""]
    errors: Float[Tensor, "batch d_out"]
    fired: Int64[Tensor, " d_sae"]
    smallest: Float[Tensor, ""]
