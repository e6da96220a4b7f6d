"""Rows of local files, one at a time: txt, jsonl, json, csv, tsv, parquet, and the first four also as .gz.

Every reader yields `Row(values, number, done)`: cells by column, where it stands in the file, bytes read so far. A file
that breaks its own format is an error with the place, never a row less.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from loupe.engine.errors import BrokenEncoding, CorruptFile, DatasetTooLarge, NotADataset, RaggedTable

LARGEST_JSON = 512 << 20  # a JSON array is read whole; jsonl has no limit
_LARGEST_CELL = 64 << 20
_BATCH = 256
TEXT = "text"


class Split(StrEnum):
    """What one document of a text file is."""

    BLANK_LINE = "blank_line"
    LINE = "line"
    FILE = "file"


class Row(NamedTuple):
    """One row: cells by column, its number in the file from 1, and how many bytes of the file were read."""

    values: dict[str, Any]
    number: int
    done: int


def read_rows(file: Path, split: Split = Split.BLANK_LINE) -> Iterator[Row]:
    """The rows of a file by what its name ends in.

    Raises NotADataset (another kind of file), BrokenEncoding, RaggedTable, CorruptFile.
    """
    kind = kind_of(file)
    if kind == "parquet":
        yield from _parquet(file)
        return
    reader: Callable[[_Lines], Iterator[Row]] = {
        "txt": lambda lines: _documents(lines, split),
        "jsonl": _json_lines,
        "json": _json_array,
        "csv": lambda lines: _table(lines, ","),
        "tsv": lambda lines: _table(lines, "\t"),
    }[kind]
    with file.open("rb") as raw:
        try:
            yield from reader(_Lines(file, raw))
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise CorruptFile(f"{file.name} is a damaged or cut-off gzip file: download it again.") from error


def kind_of(file: Path) -> str:
    """ "txt", "jsonl", "json", "csv", "tsv" or "parquet". Raises NotADataset."""
    suffixes = [suffix.lower().lstrip(".") for suffix in file.suffixes]
    if suffixes and suffixes[-1] == "gz":
        suffixes.pop()
    kind = {"ndjson": "jsonl", "text": "txt", "md": "txt"}.get(suffixes[-1], suffixes[-1]) if suffixes else ""
    if kind not in ("txt", "jsonl", "json", "csv", "tsv", "parquet"):
        raise NotADataset(
            f"{file.name} is not a dataset that Loupe reads: expected txt, jsonl, json, csv, tsv or parquet."
        )
    return kind


class _Lines:
    """The lines of a file as text, and how far its bytes were read."""

    def __init__(self, file: Path, raw: io.BufferedIOBase) -> None:
        self.name = file.name
        self._raw = raw
        packed = file.suffix.lower() == ".gz"
        self._bytes: Any = gzip.GzipFile(fileobj=raw) if packed else raw
        self.number = 0

    @property
    def done(self) -> int:
        return self._raw.tell()

    def __iter__(self) -> Iterator[str]:
        for line in self._bytes:
            self.number += 1
            try:
                yield line.decode("utf-8-sig" if self.number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise BrokenEncoding(
                    f"{self.name} is not UTF-8: byte 0x{error.object[error.start]:02x} in line {self.number}. "
                    "Save the file as UTF-8."
                ) from error


def _documents(lines: _Lines, split: Split) -> Iterator[Row]:
    gathered: list[str] = []
    number = 0
    for line in lines:
        if split is Split.LINE or (split is Split.BLANK_LINE and not line.strip()):
            gathered.append("" if split is Split.BLANK_LINE else line)
            number += 1
            if text := "".join(gathered).strip("\r\n"):
                yield Row({TEXT: text}, number, lines.done)
            gathered = []
        else:
            gathered.append(line)
    if text := "".join(gathered).strip("\r\n"):
        yield Row({TEXT: text}, number + 1, lines.done)


def _json_lines(lines: _Lines) -> Iterator[Row]:
    for line in lines:
        if line.strip():
            yield Row(_mapping(_parsed(line, lines), f"line {lines.number} of {lines.name}"), lines.number, lines.done)


def _json_array(lines: _Lines) -> Iterator[Row]:
    gathered, size = [], 0
    for line in lines:
        gathered.append(line)
        size += len(line)
        if size > LARGEST_JSON:
            raise DatasetTooLarge(f"{lines.name} is one JSON value of over {LARGEST_JSON >> 20} MiB: save it as jsonl.")
    value = _parsed("".join(gathered), lines)
    items = value if isinstance(value, list) else _columns(value, lines.name)
    for number, item in enumerate(items, start=1):
        yield Row(_mapping(item, f"entry {number} of {lines.name}"), number, lines.done)


def _parsed(text: str, lines: _Lines) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise NotADataset(f"Line {lines.number} of {lines.name} is not JSON ({error}).") from error


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {TEXT: value}
    if not isinstance(value, dict):
        raise NotADataset(
            f"{where[0].upper()}{where[1:]} holds a {type(value).__name__}; expected an object or a text."
        )
    return value


def _columns(value: Any, name: str) -> Iterator[dict[str, Any]]:
    """{"text": ["a", "b"]} as rows."""
    if not isinstance(value, dict) or not value or not all(isinstance(cells, list) for cells in value.values()):
        raise NotADataset(f"{name} is neither a list of rows nor columns by name.")
    if len({len(cells) for cells in value.values()}) > 1:
        raise RaggedTable(f"The columns of {name} have different lengths.")
    return (dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True))


def _table(lines: _Lines, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        head = next(reader, [])
        if not head:
            return
        if len(set(head)) < len(head):
            raise RaggedTable(f"{lines.name} has two columns of the same name in its first line.")
        for number, cells in enumerate(reader, start=2):
            if not cells:
                continue
            if len(cells) != len(head):
                raise RaggedTable(
                    f"Row {number} of {lines.name} (line {lines.number}) has {len(cells)} cells; its first line names "
                    f"{len(head)} columns. Quote cells that contain commas or line breaks."
                )
            yield Row(dict(zip(head, cells, strict=True)), number, lines.done)
    except csv.Error as error:
        raise RaggedTable(f"{lines.name} breaks off its table in line {lines.number} ({error}).") from error


def _parquet(file: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = file.stat().st_size
    try:
        with pq.ParquetFile(file) as table:
            total, number = max(1, table.metadata.num_rows), 0
            for batch in table.iter_batches(batch_size=_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(values, number, size * number // total)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise CorruptFile(f"{file.name} is no whole parquet file ({error}): download it again.") from error
    except UnicodeDecodeError as error:
        raise BrokenEncoding(f"{file.name} holds text that is not UTF-8.") from error


def rows_of_text(text: str, split: Split = Split.BLANK_LINE) -> Iterator[Row]:
    """The documents of a pasted text."""
    lines = _Lines(Path("the pasted text"), io.BytesIO(text.encode("utf-8")))
    yield from _documents(lines, split)
