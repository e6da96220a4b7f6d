"""Text that is written token by token: each token costs the same, however long the text has become.

Where a token stands for bytes (`tokens.py`), its bytes are decoded as they come, and a character of which only some
bytes are there waits for the others. Other vocabularies are decoded a few tokens at a time, because a piece may join
the one before it.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from loupe.engine.models.tokens import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CONTEXT = 8  # tokens before the new one that its text may depend on


class GrowingText:
    """The text of the tokens added so far, special ones left out, as the continuation of `before`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, before: Sequence[int] = ()) -> None:
        self.text = ""
        self._tokenizer = tokenizer
        self._vocabulary = Vocabulary.of(tokenizer)
        self._unseen = self._vocabulary.special | {
            token for token, entry in tokenizer.added_tokens_decoder.items() if entry.special
        }
        self._recent = deque((token for token in before if token not in self._unseen), maxlen=_CONTEXT)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for token in self._recent:  # the text before may end in the middle of a character
            self._decoder.decode(self._vocabulary.bytes_of(token))

    def add(self, token: int) -> str:
        """The text with one token more."""
        if token not in self._unseen:
            self.text += self._joined(token) if self._vocabulary.kind == "other" else self._decoded(token)
        return self.text

    def _decoded(self, token: int) -> str:
        return self._decoder.decode(self._vocabulary.bytes_of(token))

    def _joined(self, token: int) -> str:
        """What the token adds to the text of those just before it."""
        known = list(self._recent)
        whole = str(self._tokenizer.decode([*known, token]))
        self._recent.append(token)
        return whole.removeprefix(str(self._tokenizer.decode(known)))
