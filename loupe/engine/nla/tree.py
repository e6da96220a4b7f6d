"""A trie over token sequences, cut into packed pieces that each fit one forward.

Sequences are sorted, so that those with equal beginnings are neighbours; each contributes only the tokens by which it
differs from the one before. A piece may need ancestors from an earlier piece: those always lie on the path of the last
sequence of that piece, so carrying one path is enough and no token is ever computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens for one packed forward.

    `kept` is how many tokens of the carried path (that of the last sequence of the piece before) are the context.
    `parents[i]` is the token before token i: another token of this piece, or -1 - j for entry j of the context, or
    None at the very beginning. `leaves` maps the number of a sequence to the token of this piece that it ends at.
    `last_path` is the path of the last sequence, encoded like `parents`.
    """

    kept: int
    tokens: tuple[int, ...]
    depths: tuple[int, ...]
    parents: tuple[int | None, ...]
    leaves: dict[int, int]
    last_path: tuple[int, ...]

    def carried(self) -> Int[Tensor, " path"]:
        """The last path as indices into (context + tokens): what the next piece takes its context from."""
        return torch.tensor([self.kept + step if step >= 0 else -1 - step for step in self.last_path], dtype=torch.long)


def cut_into_pieces(sequences: Sequence[Sequence[int]], limit: Callable[[], int]) -> Iterator[Piece]:
    """All sequences, none of them empty, as pieces of about `limit()` new tokens; one long sequence is never split."""
    order = sorted(range(len(sequences)), key=lambda number: tuple(sequences[number]))
    piece, previous = _Growing([]), []
    for number in order:
        sequence = list(sequences[number])
        shared = _shared_length(previous, sequence)
        added = len(sequence) - shared
        if piece.tokens and added and len(piece.tokens) + added > limit():
            yield piece.done()
            piece = _Growing(previous[:shared])
        piece.add(number, sequence, shared)
        previous = sequence
    if piece.leaves:
        yield piece.done()


def ancestry(piece: Piece) -> Bool[Tensor, "tokens reach"]:
    """Which of (kept context + tokens) each token sees: its ancestors and itself."""
    count = len(piece.tokens)
    visible = np.zeros((count, piece.kept + count), dtype=bool)
    for token, parent in enumerate(piece.parents):
        if parent is not None and parent >= 0:
            visible[token] = visible[parent]
        elif parent is not None:
            visible[token, :-parent] = True
        visible[token, piece.kept + token] = True
    return torch.from_numpy(visible)


def positions(piece: Piece, start: int) -> Int[Tensor, " tokens"]:
    """The position of each token when the tree itself begins at position `start`."""
    return torch.tensor(piece.depths) + start


class _Growing:
    """A piece being filled: `path` holds, for the sequence added last, where each of its tokens is."""

    def __init__(self, carried: Sequence[int]) -> None:
        self.path: list[int] = [-1 - index for index in range(len(carried))]
        self.kept = len(carried)
        self.tokens: list[int] = []
        self.depths: list[int] = []
        self.parents: list[int | None] = []
        self.leaves: dict[int, int] = {}

    def add(self, number: int, sequence: Sequence[int], shared: int) -> None:
        del self.path[shared:]
        for depth in range(shared, len(sequence)):
            self.parents.append(self.path[-1] if self.path else None)
            self.path.append(len(self.tokens))
            self.tokens.append(sequence[depth])
            self.depths.append(depth)
        self.leaves[number] = self.path[-1]

    def done(self) -> Piece:
        parts = tuple(self.tokens), tuple(self.depths), tuple(self.parents)
        return Piece(self.kept, *parts, dict(self.leaves), tuple(self.path))


def _shared_length(left: Sequence[int], right: Sequence[int]) -> int:
    shared = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        shared += 1
    return shared
