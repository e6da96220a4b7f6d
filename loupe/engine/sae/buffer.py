"""The shuffle buffer: one block of rows per hook point, allocated once, filled in order, read in a seeded order.

Nothing is moved to shuffle: a permutation of indices is drawn per block, and a batch is one gather. A block is read to
its end before the next one is filled, so what a block holds can be computed again from where its filling began; that
is why a stream's state is a few numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.errors import BadInput
from loupe.engine.models.hooks import HookPoint
from loupe.engine.randomness import seed_of

Rows = dict[HookPoint, Float[Tensor, "rows d_in"]]


class ShuffleBuffer:
    """`capacity` rows for every hook point. Fill with `add`, then `shuffle`, then `take` until `left` is 0.

    `held` are rows that exist already: they are read where they lie.
    """

    def __init__(
        self,
        points: Sequence[HookPoint],
        capacity: int,
        d_in: int,
        dtype: torch.dtype,
        device: torch.device,
        held: Rows | None = None,
    ) -> None:
        self.capacity = capacity
        self._store = held or {point: torch.empty(capacity, d_in, dtype=dtype, device=device) for point in points}
        self._order = torch.empty(0, dtype=torch.int64, device=device)
        self.device = device
        self.filled = 0
        self.offset = 0

    @property
    def left(self) -> int:
        """Rows of this block that were not taken yet."""
        return len(self._order) - self.offset

    @property
    def room(self) -> int:
        """Rows that still fit."""
        return self.capacity - self.filled

    @property
    def nbytes(self) -> int:
        """What the buffer takes on its device."""
        return sum(store.nbytes for store in self._store.values())

    def clear(self) -> None:
        """Begin a new block."""
        self.filled = self.offset = 0
        self._order = self._order[:0]

    def add(self, rows: Mapping[HookPoint, Float[Tensor, "rows d_in"]]) -> None:
        """Append rows, the same tokens for every hook point. Raises BadInput for values that are not finite."""
        count = 0
        for point, store in self._store.items():
            count = len(rows[point])
            part = store[self.filled : self.filled + count]
            part.copy_(rows[point])
            if not torch.isfinite(part.sum(dtype=torch.float32)):  # infinities and NaN survive a sum; no mask
                raise BadInput(
                    f"The activations at {point} hold values that are not finite. The model may overflow in its "
                    "dtype: load it as bf16 or fp32."
                )
        self.filled += count

    def shuffle(self, seed: int, block: int) -> None:
        """Draw the order of this block, a function of (seed, block) and of how many rows it has."""
        generator = torch.Generator().manual_seed(seed_of(seed, "block", block))
        self._order = torch.randperm(self.filled, generator=generator).to(self.device)
        self.offset = 0

    def take(self, count: int) -> Rows:
        """The next `count` rows at most, as new tensors in float32."""
        index = self._order[self.offset : self.offset + count]
        self.offset += len(index)
        return {point: store.index_select(0, index).float() for point, store in self._store.items()}
