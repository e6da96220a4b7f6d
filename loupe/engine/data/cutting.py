"""From documents to token rows: packed end to end, or each document in windows of its own.

Packing fills every row: documents follow each other with a separator between them, and attention sees across it, as it
did when most models were trained. Windows keep documents apart; a long one becomes several rows, each beginning with
`overlap` tokens of the one before, which are context and flagged as such. `bos` stands at the start of every row, or of
every document, or nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from loupe.engine.data.chats import Message
from loupe.engine.data.rows import TokenFlag
from loupe.engine.errors import BadOption
from loupe.engine.models.chat import render_chat_text
from loupe.engine.models.chat_contents import chat_frame, content_positions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Mode(StrEnum):
    """Whether rows are filled across documents."""

    PACK = "pack"
    WINDOW = "window"


class Bos(StrEnum):
    """Where the beginning-of-text token stands."""

    ROW = "row"
    DOCUMENT = "document"
    NONE = "none"


class Separator(StrEnum):
    """What stands between packed documents."""

    EOS = "eos"
    BOS = "bos"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class CutOptions:
    """How documents become rows. None takes what the tokenizer has: its BOS at every row, its EOS between documents.

    `max_tokens` is the length of a row, `overlap` how many tokens of a row the next window repeats, `min_tokens` the
    shortest row that is kept. Raises BadOption.
    """

    mode: Mode = Mode.PACK
    max_tokens: int = 128
    overlap: int = 0
    min_tokens: int = 2
    bos: Bos | None = None
    separator: Separator | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.max_tokens <= 1 << 20:
            raise BadOption(f"max_tokens = {self.max_tokens}: a row has at least 2 tokens and at most {1 << 20}.")
        if not 0 <= self.overlap < self.max_tokens - 1:
            raise BadOption(f"overlap = {self.overlap} must be at least 0 and leave room in {self.max_tokens} tokens.")
        if self.overlap and self.mode is Mode.PACK:
            raise BadOption("Packed rows have no overlap: choose windows, or overlap 0.")
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise BadOption(f"min_tokens = {self.min_tokens} must be 1 to {self.max_tokens}.")

    def settled(self, tokenizer: PreTrainedTokenizerBase, model_max: int | None = None) -> CutOptions:
        """The same with every None replaced. Raises BadOption where the tokenizer lacks what is asked for."""
        has_bos, has_eos = tokenizer.bos_token_id is not None, tokenizer.eos_token_id is not None
        bos = self.bos or (Bos.ROW if has_bos and _adds_bos(tokenizer) else Bos.NONE)
        separator = self.separator or (Separator.EOS if has_eos else Separator.NONE)
        if (bos is not Bos.NONE or separator is Separator.BOS) and not has_bos:
            raise BadOption("This tokenizer has no beginning-of-text token: choose none.")
        if separator is Separator.EOS and not has_eos:
            raise BadOption("This tokenizer has no end-of-text token: choose another separator.")
        if model_max is not None and self.max_tokens > model_max:
            raise BadOption(f"max_tokens = {self.max_tokens}, and this model reads at most {model_max}.")
        return CutOptions(self.mode, self.max_tokens, self.overlap, self.min_tokens, bos, separator)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CutOptions:
        """The reverse of `to_dict`. Raises BadOption."""
        names = [each.name for each in fields(cls)]
        if unknown := sorted(values.keys() - set(names)):
            raise BadOption(f"{', '.join(unknown)} is no option of a tokenisation; it has {', '.join(names)}.")
        known: dict[str, Any] = dict(values)
        try:
            for name, kind in (("mode", Mode), ("bos", Bos), ("separator", Separator)):
                if known.get(name) is not None:
                    known[name] = kind(known[name])
            return cls(**known)
        except BadOption:
            raise
        except (ValueError, TypeError) as error:
            raise BadOption(f"This is no way to cut documents: {error}.") from error


class CutRow(NamedTuple):
    """One row: ids, a flag byte for each, and the document it begins in."""

    ids: list[int]
    flags: list[int]
    document: int


class Encoded(NamedTuple):
    """One document without BOS: ids and the flags of each."""

    ids: list[int]
    flags: list[int]


def encode_documents(tokenizer: PreTrainedTokenizerBase, documents: Sequence[str | list[Message]]) -> list[Encoded]:
    """Documents as tokens, chats through the model's own template. Raises BadOption (no template), BadInput."""
    chats = [not isinstance(document, str) for document in documents]
    texts = [
        document if isinstance(document, str) else render_chat_text(tokenizer, document, add_generation_prompt=False)
        for document in documents
    ]
    encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    special = frozenset(tokenizer.all_special_ids)
    found = []
    for text, document, ids, chat in zip(texts, documents, encoded, chats, strict=True):
        flags = [int(TokenFlag.SPECIAL) if token in special else 0 for token in ids]
        if chat and not isinstance(document, str):
            frame = chat_frame(tokenizer, document, add_generation_prompt=False)
            contents = content_positions(tokenizer, document, text, ids, frame) or [range(len(ids))]
            said = {position for content in contents for position in content}
            flags = [flag if place in said else flag | TokenFlag.TEMPLATE for place, flag in enumerate(flags)]
        found.append(Encoded(list(ids), flags))
    return found


class Cutter:
    """Rows from encoded documents, in order; packing keeps what does not fill a row yet."""

    def __init__(self, options: CutOptions, bos: int | None, eos: int | None) -> None:
        self.options = options
        self._bos = bos
        self._separator = {Separator.EOS: eos, Separator.BOS: bos}.get(options.separator or Separator.NONE)
        self._ids: list[int] = []
        self._flags: list[int] = []
        self._document = 0
        self.dropped = 0

    def add(self, document: int, encoded: Encoded) -> Iterator[CutRow]:
        """The rows that this document completes."""
        encoded = self._with_bos(encoded)
        rows = self._windows(document, encoded) if self.options.mode is Mode.WINDOW else self._packed(document, encoded)
        yield from (row for row in rows if self._kept(row))

    def finish(self) -> Iterator[CutRow]:
        """The last, shorter row of packing."""
        if len(self._ids) > self._prefix:
            row = CutRow(self._ids, self._flags, self._document)
            self._ids, self._flags = [], []
            if self._kept(row):
                yield row

    @property
    def _prefix(self) -> int:
        return int(self.options.bos is Bos.ROW)

    def _with_bos(self, encoded: Encoded) -> Encoded:
        if self.options.bos is not Bos.DOCUMENT or self._bos is None or encoded.ids[:1] == [self._bos]:
            return encoded
        return Encoded([self._bos, *encoded.ids], [int(TokenFlag.SPECIAL), *encoded.flags])

    def _row_start(self) -> tuple[list[int], list[int]]:
        if self.options.bos is Bos.ROW:
            assert self._bos is not None
            return [self._bos], [int(TokenFlag.SPECIAL)]
        return [], []

    def _windows(self, document: int, encoded: Encoded) -> Iterator[CutRow]:
        ids, flags = encoded
        if self.options.bos is Bos.ROW and ids[:1] == [self._bos]:
            ids, flags = ids[1:], flags[1:]
        room, start = self.options.max_tokens - self._prefix, 0
        while start < len(ids):
            repeated = min(self.options.overlap, start)
            begin, end = start - repeated, start - repeated + room
            head, head_flags = self._row_start()
            marks = [flag | TokenFlag.OVERLAP for flag in flags[begin:start]] + flags[start:end]
            yield CutRow(head + ids[begin:end], head_flags + marks, document)
            start = end

    def _packed(self, document: int, encoded: Encoded) -> Iterator[CutRow]:
        ids, flags = list(encoded.ids), list(encoded.flags)
        if self._separator is not None and ids[-1:] != [self._separator]:
            ids.append(self._separator)
            flags.append(int(TokenFlag.SPECIAL))
        at = 0
        while at < len(ids):
            if not self._ids:
                self._ids, self._flags = self._row_start()
                self._document = document
            room = self.options.max_tokens - len(self._ids)
            self._ids += ids[at : at + room]
            self._flags += flags[at : at + room]
            at += room
            if len(self._ids) == self.options.max_tokens:
                row = CutRow(self._ids, self._flags, self._document)
                self._ids, self._flags = [], []
                yield row

    def _kept(self, row: CutRow) -> bool:
        own = len(row.ids) - self._prefix
        keep = len(row.ids) >= self.options.min_tokens and own > 0
        self.dropped += not keep
        return keep


def _adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer itself puts BOS before a text: a model that never saw one there should not see it here."""
    return tokenizer.encode("a", add_special_tokens=True)[:1] == [tokenizer.bos_token_id]
