"""The keys and values of rows that decode together: buffers allocated ahead, written in place, always dense.

Per layer two buffers [capacity, kv_heads, length, head_dim]. Rows are appended after a prefill; the last row moves
into the place of one that leaves. Buffers grow when rows or tokens need it, one layer at a time, shrink where memory
ended, and go when nobody is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from loupe.engine.failures import is_out_of_memory
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

    def trim(self) -> None:
        """Give back the places of rows that left; where there is no memory even for that, they stay."""
        try:
            self._resize(self._buffers, self.count, self._held()[1])
        except Exception as error:
            if not is_out_of_memory(error):
                raise

    def _held(self) -> tuple[int, int]:
        """Rows and tokens that every layer has room for."""
        shapes = [keys.shape for keys, _ in self._buffers]
        return min(shape[0] for shape in shapes), min(shape[2] for shape in shapes)

    def _reserve(self, like: Sequence[LayerKV], rows: int, length: int) -> None:
        """Make room."""
        if self._buffers:
            held_rows, held_length = self._held()
            if rows <= held_rows and length <= held_length:
                return
            rows, length = max(rows, held_rows), max(length, held_length)
        self._resize(like, rows, length)

    def _resize(self, like: Sequence[LayerKV], rows: int, length: int) -> None:
        """Other buffers, layer by layer; what is there already is copied over.

        Where memory ends on the way, the layers that follow keep what they have: nobody's rows are lost.
        """
        resized: list[LayerKV] = []
        for layer, pair in enumerate(like):
            keys, values = (t.new_zeros(rows, t.shape[1], length, t.shape[3]) for t in pair)
            if self._buffers:
                for new, was in zip((keys, values), self._buffers[layer], strict=True):
                    kept = min(length, was.shape[2])
                    new[: self.count, :, :kept] = was[: self.count, :, :kept]
                self._buffers[layer] = keys, values
            resized.append((keys, values))
        self._buffers = resized
