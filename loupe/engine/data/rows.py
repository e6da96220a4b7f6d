"""Token rows: what a tokenisation makes of a dataset and what everything that runs a model over text reads.

Rows are ragged and lie end to end in one flat array, in memory or memory-mapped; padding is never stored. Beside each
token lies a byte of flags, so that who trains on activations can leave out what is not text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from loupe.engine.errors import BadInput


class TokenFlag(IntFlag):
    """What a token is besides a piece of text.

    SPECIAL: a special token of the tokenizer. OVERLAP: also in the row before, kept here as context only.
    TEMPLATE: written by a chat template, not by anybody in the chat.
    """

    SPECIAL = 1
    OVERLAP = 2
    TEMPLATE = 4


@dataclass(frozen=True, slots=True, eq=False)
class TokenRows:
    """Rows `tokens[offsets[i]:offsets[i+1]]`; `flags` has one byte per token, `document[i]` is where row i came from.

    `fingerprint` names the content: a stream that is resumed on other rows refuses.
    """

    tokens: NDArray[np.integer]
    offsets: NDArray[np.int64]
    flags: NDArray[np.uint8]
    document: NDArray[np.integer]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> int:
        """Tokens of all rows together."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return np.diff(self.offsets)

    def ids(self, row: int) -> NDArray[np.int64]:
        """The ids of one row."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]].astype(np.int64)

    def flags_of(self, row: int) -> NDArray[np.uint8]:
        """The flags of one row's tokens."""
        return np.asarray(self.flags[self.offsets[row] : self.offsets[row + 1]])

    def part(self, start: int, stop: int) -> TokenRows:
        """Rows `start` to `stop - 1` over the same memory: held-out text is a part that training never reads."""
        if not 0 <= start < stop <= len(self):
            raise BadInput(f"Rows {start} to {stop} were asked for; there are {len(self)}.")
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        return TokenRows(
            self.tokens[first:last],
            self.offsets[start : stop + 1] - first,
            self.flags[first:last],
            self.document[start:stop],
            f"{self.fingerprint}[{start}:{stop}]",
        )


def token_rows(rows: Sequence[Sequence[int]], flags: Sequence[Sequence[int]] | None = None) -> TokenRows:
    """Rows in memory, from lists of ids. Raises BadInput when there is no token."""
    if not any(len(row) for row in rows):
        raise BadInput("There are no tokens: at least one row with one token is needed.")
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    tokens = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    marks = np.zeros(len(tokens), np.uint8) if flags is None else np.concatenate([np.asarray(f) for f in flags])
    digest = hashlib.sha256(tokens.tobytes() + offsets.tobytes()).hexdigest()[:16]
    return TokenRows(tokens, offsets, marks.astype(np.uint8), np.arange(len(rows)), digest)
