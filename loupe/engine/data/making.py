"""Making a dataset: rows in, documents on disk, as a job that can be cancelled at any row and leaves nothing half.

Texts are written as they come, so memory does not grow with the dataset but for 24 bytes a document. A row without text
is counted and skipped; one that is not what its column should hold ends the job with its number.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from array import array
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from loupe.engine.context import JobContext
from loupe.engine.data.columns import document_of, preview
from loupe.engine.data.sources import Source
from loupe.engine.data.statistics import TextStatistics
from loupe.engine.data.tables import Row
from loupe.engine.data.texts import FACTS, OFFSETS, TEXTS, Texts, shown
from loupe.engine.errors import DatasetTooLarge, EmptyDataset, WrongColumn
from loupe.engine.jobs import Event, Priority, Progress

Free = Callable[[Path], int]
_TOGETHER = 200  # rows between two looks at the clock
_SPARE = 256 << 20
_CHECK_EVERY = 64 << 20


@dataclass(frozen=True, slots=True)
class MadeDataset:
    """A finished dataset: its artefact, counts, and how it was read."""

    artefact_id: str
    documents: int
    characters: int
    fingerprint: str
    chat: bool
    column: str
    statistics: dict[str, Any]


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written where `folder` lies."""
    return shutil.disk_usage(folder).free


@dataclass(slots=True)
class MakeDataset:
    """The job. `column` None takes the one that looks like the text or the chat; `chat` None tells by
    its cells; `limit` reads that many documents.

    Raises WrongColumn, EmptyDataset, DatasetTooLarge, and what reading the files raises.
    """

    source: Source
    title: str
    column: str | None = None
    chat: bool | None = None
    limit: int | None = None
    free: Free = free_bytes
    name: str = "dataset"
    priority: Priority = Priority.BATCH
    _at: int = field(default=0, init=False)

    def run(self, ctx: JobContext) -> Generator[Event, None, MadeDataset]:
        """Write the dataset through `ctx.writer`."""
        assert ctx.writer is not None, "a dataset needs somewhere to go"
        with ctx.writer("dataset", self.title, {"source": self.source.kind, **self.source.describe()}) as draft:
            self._check_disk(draft.folder, self.source.needs_bytes if self.limit is None else 0)
            made = yield from self._written(ctx, draft.folder)
            draft.details.update({"documents": made["documents"], "fingerprint": made["fingerprint"]})
            artefact_id = draft.id
        return MadeDataset(artefact_id=artefact_id, **made)

    def _written(self, ctx: JobContext, folder: Path) -> Generator[Event, None, dict[str, Any]]:
        counted, digest, offsets = TextStatistics(), hashlib.sha256(), array("q", [0])
        column, chat = self.column, False
        unchecked = 0
        with (folder / TEXTS).open("wb") as file:
            for place, row in self._rows():
                if column is None or not counted.documents:
                    column, chat = self._choose(row, column)
                text = self._text(row, column, chat, place)
                if text is None:
                    counted.skip()
                    continue
                unchecked += _append(file, text, digest, offsets)
                counted.add(text)
                if unchecked > _CHECK_EVERY:
                    unchecked = 0
                    self._check_disk(folder, 0)
                if counted.documents % _TOGETHER == 0 or ctx.out_of_time():
                    yield self._progress(counted)
                if counted.documents == self.limit:
                    break
        if not counted.documents:
            raise EmptyDataset(f"There is no text in it: {counted.empty} rows were read and all were empty.")
        yield self._progress(counted)
        np.save(folder / OFFSETS, np.frombuffer(offsets, dtype=np.int64))
        facts = {
            "documents": counted.documents,
            "characters": counted.characters,
            "fingerprint": digest.hexdigest()[:16],
            "chat": chat,
            "column": column or "",
            "statistics": counted.summary(),
        }
        (folder / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        return facts

    def _rows(self) -> Iterator[tuple[str, Row]]:
        for piece in self.source.pieces():
            last = 0
            for row in piece.rows:
                self._at += row.done - last
                last = row.done
                yield piece.name, row
            self._at += max(0, piece.weight - last)

    def _choose(self, row: Row, column: str | None) -> tuple[str, bool]:
        seen = preview([row])
        chosen = column or seen.chosen
        if chosen is None:
            names = ", ".join(each.name for each in seen.columns)
            raise WrongColumn(f"None of the columns ({names}) is clearly the text: choose one.")
        kinds = {each.name: each.kind for each in seen.columns}
        return chosen, kinds.get(chosen) == "chat" if self.chat is None else self.chat

    def _text(self, row: Row, column: str, chat: bool, place: str) -> str | None:
        document = document_of(row, column, chat=chat, where=place)
        if document is None or isinstance(document, str):
            return document
        return json.dumps(document, ensure_ascii=False)

    def _progress(self, counted: TextStatistics) -> Progress:
        return Progress(self._at, self.source.weight, f"{counted.documents:,} documents")

    def _check_disk(self, folder: Path, needed: int) -> None:
        free = self.free(folder)
        if free < needed + _SPARE:
            raise DatasetTooLarge(
                f"The dataset needs about {needed >> 20:,} MiB, and {free >> 20:,} MiB are free on that disk, of which "
                f"{_SPARE >> 20} MiB stay free. Take fewer documents, or make room."
            )


@dataclass(slots=True)
class DescribeTexts:
    """The job that counts what a dataset consists of; its result is the statistics."""

    texts: Texts
    name: str = "dataset statistics"
    priority: Priority = Priority.BATCH

    def run(self, ctx: JobContext) -> Generator[Event, None, dict[str, Any]]:
        """Read every document once."""
        counted = TextStatistics()
        for index in range(len(self.texts)):
            counted.add(shown(self.texts.document(index)))
            if index % _TOGETHER == 0 or ctx.out_of_time():
                yield Progress(index + 1, len(self.texts))
        return counted.summary()


def _append(file: BufferedIOBase, text: str, digest: Any, offsets: array[int]) -> int:
    raw = text.encode("utf-8")
    file.write(raw)
    digest.update(len(raw).to_bytes(8, "little") + raw)
    offsets.append(offsets[-1] + len(raw))
    return len(raw)
