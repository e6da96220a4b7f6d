"""Where the rows of a new dataset come from: files here, a pasted text, or files that somebody fetches one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from loupe.engine.data.tables import Row, Split, kind_of, read_rows, rows_of_text
from loupe.engine.errors import EmptyDataset, NotADataset


class Piece(NamedTuple):
    """Rows of one file: its name, its rows, and how much of the whole source it is (bytes, or rows)."""

    name: str
    rows: Iterator[Row]
    weight: int


@runtime_checkable
class Source(Protocol):
    """Rows, file by file. `weight` is the sum over its pieces, or None where it is not known."""

    @property
    def kind(self) -> str: ...

    @property
    def weight(self) -> int | None: ...

    @property
    def needs_bytes(self) -> int: ...

    def pieces(self) -> Iterator[Piece]:
        """The files in order; each is read before the next is asked for."""
        ...

    def describe(self) -> dict[str, Any]:
        """How to find the same rows again."""
        ...


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Files of one format, or a folder of such. Raises NotADataset, EmptyDataset."""

    files: tuple[Path, ...]
    split: Split = Split.BLANK_LINE
    kind: str = "file"

    @classmethod
    def at(cls, path: Path | str, split: Split = Split.BLANK_LINE) -> LocalFiles:
        """The file at a path, or every file of a readable format in the folder there."""
        place = Path(path)
        if place.is_file():
            kind_of(place)
            return cls((place,), split)
        if not place.is_dir():
            raise NotADataset(f"{place} is neither a file nor a folder.")
        files = tuple(each for each in sorted(place.iterdir()) if each.is_file() and _is_read(each))
        if not files:
            raise NotADataset(f"{place} holds no txt, jsonl, json, csv, tsv or parquet file.")
        kinds = sorted({kind_of(file) for file in files})
        if len(kinds) > 1:
            raise NotADataset(f"{place} holds files of several kinds ({', '.join(kinds)}): name one of them.")
        return cls(files, split)

    @property
    def weight(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files)

    @property
    def needs_bytes(self) -> int:
        """What the texts take at least, as far as can be told before reading: packed files grow."""
        packed = any(file.suffix in (".gz", ".parquet") for file in self.files)
        return self.weight * (2 if packed else 1)

    def pieces(self) -> Iterator[Piece]:
        """The files in order."""
        for file in self.files:
            yield Piece(file.name, read_rows(file, self.split), file.stat().st_size)

    def describe(self) -> dict[str, Any]:
        """Paths and how text files are split."""
        return {"files": [str(file) for file in self.files], "split": str(self.split)}


@dataclass(frozen=True, slots=True)
class PastedText:
    """A text that somebody pasted. Raises EmptyDataset."""

    text: str = field(repr=False)
    split: Split = Split.BLANK_LINE
    kind: str = "pasted"

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise EmptyDataset("The pasted text is empty.")

    @property
    def weight(self) -> int:
        """Bytes of the text."""
        return len(self.text.encode("utf-8", "surrogatepass"))

    @property
    def needs_bytes(self) -> int:
        """Bytes of the text."""
        return self.weight

    def pieces(self) -> Iterator[Piece]:
        """One piece."""
        from loupe.engine.models.tokens import whole_text

        yield Piece("the pasted text", rows_of_text(whole_text(self.text), self.split), self.weight)

    def describe(self) -> dict[str, Any]:
        """How it was split; the text itself is the dataset."""
        return {"split": str(self.split)}


@dataclass(frozen=True, slots=True)
class FetchedFiles:
    """Files that `fetch` brings one by one (from a hub); each is gone when the next one is asked for.

    `sizes` are the bytes of each file by name, `facts` how to find them again: repository, revision, config, split.
    """

    sizes: dict[str, int]
    fetch: Callable[[str], Iterator[Path]]
    facts: dict[str, Any]
    split: Split = Split.BLANK_LINE
    kind: str = "hub"

    @property
    def weight(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())

    @property
    def needs_bytes(self) -> int:
        """The texts unpacked, and the largest file beside them while it is read."""
        return 2 * self.weight + max(self.sizes.values(), default=0)

    def pieces(self) -> Iterator[Piece]:
        """The files in order, each fetched when its turn comes; closing the iterator lets go of the current one."""
        for name, size in self.sizes.items():
            yield Piece(name, self._rows(name), size)

    def _rows(self, name: str) -> Iterator[Row]:
        arrived = self.fetch(name)
        try:
            for path in arrived:
                yield from read_rows(path, self.split)
        finally:
            close = getattr(arrived, "close", None)
            if close is not None:
                close()

    def describe(self) -> dict[str, Any]:
        """The facts given."""
        return dict(self.facts)


def _is_read(file: Path) -> bool:
    try:
        kind_of(file)
    except NotADataset:
        return False
    return True


def names(files: Sequence[Path]) -> str:
    """A few names for a message."""
    return ", ".join(file.name for file in files[:3]) + (", ..." if len(files) > 3 else "")
