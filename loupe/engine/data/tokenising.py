"""Tokenising a dataset as a job, and reading the result back as memory-mapped rows.

tokens.bin    ids end to end, uint16 where the vocabulary allows, else uint32
flags.bin     one byte per token
offsets.npy   where each row begins, and the end
documents.npy the document that each row begins in
rows.json     options, tokenizer, counts, statistics
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loupe.engine.context import JobContext
from loupe.engine.data.chats import Message
from loupe.engine.data.cutting import CutOptions, CutRow, Cutter, encode_documents
from loupe.engine.data.making import Free, free_bytes
from loupe.engine.data.rows import TokenFlag, TokenRows
from loupe.engine.data.statistics import TokenStatistics
from loupe.engine.data.texts import Texts
from loupe.engine.errors import CorruptFile, DatasetTooLarge, NoUsableRows
from loupe.engine.jobs import Event, Priority, Progress
from loupe.engine.models.tokens import TokenView, display_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOKENS, FLAGS, OFFSETS, DOCUMENTS, FACTS = "tokens.bin", "flags.bin", "offsets.npy", "documents.npy", "rows.json"
_TOGETHER = 64  # documents encoded at once
_SPARE = 256 << 20
_BYTES_PER_CHARACTER = 1.0  # of tokens and flags together: a token is about four characters and takes three bytes


@dataclass(frozen=True, slots=True)
class MadeRows:
    """A finished tokenisation: its artefact and counts."""

    artefact_id: str
    rows: int
    tokens: int
    fingerprint: str
    tokenizer_fingerprint: str
    options: dict[str, Any]
    statistics: dict[str, Any]


@dataclass(slots=True)
class Tokenise:
    """The job. `documents` limits how many are read; `vocabulary` is the model's, which may exceed the tokenizer's.

    Raises BadOption, NoUsableRows, DatasetTooLarge.
    """

    texts: Texts
    tokenizer: PreTrainedTokenizerBase
    options: CutOptions
    title: str
    model_max: int | None = None
    documents: int | None = None
    characters: int = 0
    free: Free = free_bytes
    name: str = "tokenisation"
    priority: Priority = Priority.BATCH

    def run(self, ctx: JobContext) -> Generator[Event, None, MadeRows]:
        """Write the rows through `ctx.writer`."""
        assert ctx.writer is not None, "a tokenisation needs somewhere to go"
        options = self.options.settled(self.tokenizer, self.model_max)
        details = {"dataset": self.texts.fingerprint, "options": options.to_dict()}
        with ctx.writer("tokenisation", self.title, details) as draft:
            self._check_disk(draft.folder)
            facts = yield from self._written(ctx, draft.folder, options)
            artefact_id = draft.id
        return MadeRows(artefact_id=artefact_id, **{key: facts[key] for key in MadeRows.__slots__ if key in facts})  # type: ignore[attr-defined]  # slots=True makes them

    def _written(self, ctx: JobContext, folder: Path, options: CutOptions) -> Generator[Event, None, dict[str, Any]]:
        tokenizer = self.tokenizer
        cutter = Cutter(options, _id(tokenizer.bos_token_id), _id(tokenizer.eos_token_id))
        counted = TokenStatistics(len(tokenizer))
        total = min(len(self.texts), self.documents or len(self.texts))
        with (folder / TOKENS).open("wb") as tokens, (folder / FLAGS).open("wb") as flags:
            sink = _Sink(tokens, flags, np.dtype(np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32), counted)
            for start in range(0, total, _TOGETHER):
                numbers = range(start, min(total, start + _TOGETHER))
                encoded = encode_documents(tokenizer, [self.texts.document(number) for number in numbers])
                for number, each in zip(numbers, encoded, strict=True):
                    counted.add_document(len(each.ids))
                    sink.add(cutter.add(number, each))
                yield Progress(numbers.stop, total, f"{sink.rows:,} rows")
            sink.add(cutter.finish())
        counted.dropped = cutter.dropped
        if not sink.rows or sink.longest < 2:
            raise NoUsableRows(
                f"Cut this way, no row has two tokens: {total} documents gave {sink.rows} rows. A single token has no "
                "context. Use longer documents, or pack them."
            )
        return self._facts(folder, sink, options, counted)

    def _facts(self, folder: Path, sink: _Sink, options: CutOptions, counted: TokenStatistics) -> dict[str, Any]:
        np.save(folder / OFFSETS, np.frombuffer(sink.offsets, dtype=np.int64))
        np.save(folder / DOCUMENTS, np.frombuffer(sink.documents, dtype=np.int64))
        facts = {
            "rows": sink.rows,
            "tokens": sink.offsets[-1],
            "fingerprint": sink.digest.hexdigest()[:16],
            "tokenizer_fingerprint": tokenizer_fingerprint(self.tokenizer),
            "dataset": self.texts.fingerprint,
            "dtype": sink.dtype.name,
            "options": options.to_dict(),
            "statistics": counted.summary(),
        }
        (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        return facts

    def _check_disk(self, folder: Path) -> None:
        needed, free = int(self.characters * _BYTES_PER_CHARACTER), self.free(folder)
        if free < needed + _SPARE:
            raise DatasetTooLarge(
                f"The tokens need about {needed >> 20:,} MiB, and {free >> 20:,} MiB are free on that disk, of which "
                f"{_SPARE >> 20} MiB stay free. Tokenise fewer documents, or make room."
            )


class _Sink:
    """The growing files of a tokenisation."""

    def __init__(
        self, tokens: BufferedIOBase, flags: BufferedIOBase, dtype: np.dtype[Any], counted: TokenStatistics
    ) -> None:
        self._tokens, self._flags, self._counted = tokens, flags, counted
        self.dtype = dtype
        self.digest = hashlib.sha256()
        self.offsets, self.documents = array("q", [0]), array("q")
        self.longest = 0

    @property
    def rows(self) -> int:
        return len(self.documents)

    def add(self, rows: Iterator[CutRow]) -> None:
        for row in rows:
            ids = np.asarray(row.ids, dtype=self.dtype)
            flags = np.asarray(row.flags, dtype=np.uint8)
            raw = ids.tobytes()
            self._tokens.write(raw)
            self._flags.write(flags.tobytes())
            self.digest.update(len(raw).to_bytes(8, "little") + raw + flags.tobytes())
            self.offsets.append(self.offsets[-1] + len(ids))
            self.documents.append(row.document)
            self.longest = max(self.longest, len(ids))
            special = int(np.count_nonzero(flags & TokenFlag.SPECIAL))
            self._counted.add_row(ids, special, int(np.count_nonzero(flags & TokenFlag.OVERLAP)))


def open_rows(folder: Path) -> TokenRows:
    """The rows of a tokenisation, memory-mapped. Raises CorruptFile."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        tokens = np.memmap(folder / TOKENS, dtype=np.dtype(facts["dtype"]), mode="r")
        flags = np.memmap(folder / FLAGS, dtype=np.uint8, mode="r")
        offsets = np.load(folder / OFFSETS, mmap_mode="r", allow_pickle=False)
        documents = np.load(folder / DOCUMENTS, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptFile(f"{folder} is no whole tokenisation ({type(error).__name__}).") from error
    if not len(tokens) == len(flags) == int(offsets[-1]) or len(documents) != len(offsets) - 1:
        raise CorruptFile(f"{folder} is no whole tokenisation: its files have different lengths.")
    return TokenRows(tokens, offsets, flags, documents, facts["fingerprint"])


def preview_rows(
    tokenizer: PreTrainedTokenizerBase, document: str | list[Message], options: CutOptions, most: int = 4
) -> list[list[tuple[TokenView, int]]]:
    """The first rows that one document becomes, each token with its flags. Raises BadOption."""
    settled = options.settled(tokenizer)
    cutter = Cutter(settled, _id(tokenizer.bos_token_id), _id(tokenizer.eos_token_id))
    encoded = encode_documents(tokenizer, [document])[0]
    rows = [*cutter.add(0, encoded), *cutter.finish()][:most]
    return [list(zip(display_tokens(tokenizer, row.ids), row.flags, strict=True)) for row in rows]


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """What decides which ids a text gets: vocabulary, rules, template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return hashlib.sha256((rules + str(tokenizer.chat_template)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _id(value: Any) -> int | None:
    return value if isinstance(value, int) else None
