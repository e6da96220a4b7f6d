"""The keys and values of rows that decode together: buffers allocated ahead, written in place, always dense.

Per layer two buffers [capacity, kv_heads, length, head_dim]. Rows are appended after a prefill; the last row moves
into the place of one that leaves. Buffers grow when rows or tokens need it, one layer at a time, and go when nobody is
left.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from loupe.engine.nla.cascade import CascadeCache
from loupe.engine.nla.paths import LayerKV
from loupe.engine.nla.verbalizer import Prefilled

_GROWTH = 32  # cached tokens by which a buffer is lengthened


class RowCache(CascadeCache):
    """The rows' own keys and values, as the Hugging Face cache of a decode step."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self._buffers: list[LayerKV] = []
        self._write: Tensor | None = None
        self._longest = 0

    @property
    def nbytes(self) -> int:
        """Memory of the buffers."""
        return sum(buffer.nbytes for pair in self._buffers for buffer in pair)

    def admit(self, prefilled: Prefilled, rollouts: int, max_new_tokens: int) -> None:
        """Append rows for prefilled vectors, each `rollouts` times."""
        added = len(prefilled.logits) * rollouts
        self._reserve(prefilled.layers, self.count + added, prefilled.length + min(_GROWTH, max_new_tokens))
        rows = slice(self.count, self.count + added)
        for buffers, new in zip(self._buffers, prefilled.layers, strict=True):
            for buffer, tensor in zip(buffers, new, strict=True):
                buffer[rows, :, : prefilled.length] = tensor.repeat_interleave(rollouts, dim=0)
        self.count += added

    def begin(self, lengths: Tensor, longest: int) -> None:
        """The next forward writes one token per row, at these places; buffers are read up to `longest`."""
        if longest > self._buffers[-1][0].shape[2]:
            self._reserve(self._buffers, self.count, longest + _GROWTH)
        self._write, self._longest = lengths, longest

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: object, **kwargs: object
    ) -> LayerKV:
        keys, values = self._buffers[layer_idx]
        assert self._write is not None, "a decode step says where it writes before it runs"
        rows, places = torch.arange(self.count, device=keys.device), self._write.to(keys.device)
        keys[rows, :, places] = key_states[:, :, 0]
        values[rows, :, places] = value_states[:, :, 0]
        return keys[: self.count, :, : self._longest], values[: self.count, :, : self._longest]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy one row's tokens over another row's."""
        for buffers in self._buffers:
            for buffer in buffers:
                buffer[target, :, :length] = buffer[source, :, :length]

    def release(self) -> None:
        """Give the buffers back; the next admission allocates what it needs."""
        self.count, self._buffers, self._write = 0, [], None

    def _reserve(self, like: Sequence[LayerKV], rows: int, length: int) -> None:
        """Make room; what is there already is copied over, layer by layer.

        Where memory ends on the way, the layers that follow keep what they have: nobody's rows are lost.
        """
        if self._buffers:
            have = self._buffers[-1][0].shape  # the last layer grows last
            if rows <= have[0] and length <= have[2]:
                return
            rows, length = max(rows, have[0]), max(length, have[2])
        grown: list[LayerKV] = []
        for layer, pair in enumerate(like):
            keys, values = (t.new_zeros(rows, t.shape[1], length, t.shape[3]) for t in pair)
            if self._buffers:
                for new, was in zip((keys, values), self._buffers[layer], strict=True):
                    new[: self.count, :, : was.shape[2]] = was[: self.count]
                self._buffers[layer] = keys, values
            grown.append((keys, values))
        self._buffers = grown
