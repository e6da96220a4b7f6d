"""What a dataset or a tokenisation consists of, counted while it is written: nothing is read a second time."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TextStatistics:
    """Documents, characters, lengths, exact duplicates; memory is 16 bytes a document."""

    def __init__(self) -> None:
        self.characters = self.empty = 0
        self._lengths = array("q")
        self._digests = array("Q")

    def add(self, text: str) -> None:
        """One document."""
        self.characters += len(text)
        self._lengths.append(len(text))
        digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
        self._digests.append(int.from_bytes(digest, "little"))

    def skip(self) -> None:
        """A row without text."""
        self.empty += 1

    @property
    def documents(self) -> int:
        """How many documents were added."""
        return len(self._lengths)

    def summary(self) -> dict[str, Any]:
        """Plain values."""
        different = len(np.unique(np.frombuffer(self._digests, dtype=np.uint64)))
        return {
            "documents": self.documents,
            "characters": self.characters,
            "empty_rows": self.empty,
            "duplicates": self.documents - different,
            "characters_per_document": spread(np.frombuffer(self._lengths, dtype=np.int64)),
        }


class TokenStatistics:
    """Rows, tokens, lengths, and how much of the vocabulary occurs; memory is the vocabulary and 8 bytes a row."""

    def __init__(self, vocabulary: int) -> None:
        self._counts = np.zeros(vocabulary, dtype=np.int64)
        self._row_lengths = array("q")
        self._document_lengths = array("q")
        self.special = self.overlap = self.dropped = 0

    def add_document(self, tokens: int) -> None:
        """One document and its number of tokens."""
        self._document_lengths.append(tokens)

    def add_row(self, tokens: Sequence[int] | NDArray[Any], special: int, overlap: int) -> None:
        """One row, with how many of its tokens are special or repeated from the row before."""
        ids = np.asarray(tokens)
        np.add.at(self._counts, ids, 1)
        self._row_lengths.append(len(ids))
        self.special += special
        self.overlap += overlap

    def summary(self) -> dict[str, Any]:
        """Plain values. `coverage` is the share of the vocabulary that occurs at least once."""
        used = int((self._counts > 0).sum())
        top = np.argsort(-self._counts, kind="stable")[:20]
        return {
            "documents": len(self._document_lengths),
            "rows": len(self._row_lengths),
            "tokens": int(self._counts.sum()),
            "special_tokens": self.special,
            "repeated_tokens": self.overlap,
            "dropped_rows": self.dropped,
            "vocabulary": len(self._counts),
            "vocabulary_used": used,
            "coverage": used / max(1, len(self._counts)),
            "most_frequent": [[int(token), int(self._counts[token])] for token in top if self._counts[token]],
            "tokens_per_document": spread(np.frombuffer(self._document_lengths, dtype=np.int64)),
            "tokens_per_row": spread(np.frombuffer(self._row_lengths, dtype=np.int64)),
        }


def spread(lengths: NDArray[np.int64]) -> dict[str, Any]:
    """Smallest, median, mean, 95th percentile, largest, and a histogram whose bins double: [low, high, count]."""
    if not len(lengths):
        return {}
    bins = np.bincount(np.ceil(np.log2(np.maximum(lengths, 1) + 1)).astype(np.int64))
    return {
        "min": int(lengths.min()),
        "median": float(np.median(lengths)),
        "mean": float(lengths.mean()),
        "p95": float(np.percentile(lengths, 95)),
        "max": int(lengths.max()),
        "histogram": [[1 << max(0, b - 1), (1 << b) - 1, int(count)] for b, count in enumerate(bins) if count],
    }
