"""The documents of a dataset: on disk as one run of UTF-8 and where each begins, memory-mapped; or made when read.

    texts.bin     all documents end to end; a chat is JSON
    offsets.npy   where each begins, and the end
    dataset.json  kind, counts, fingerprint, statistics

Searching is a scan of the mapped bytes, not an index: 100 MB take a tenth of a second, any substring can be found, and
nothing more lies on disk. ASCII letters match in either case.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from loupe.engine.data.chats import Message
from loupe.engine.errors import BadPositions, CorruptFile

STORY_SOURCE = "starter"
TEXTS, OFFSETS, FACTS = "texts.bin", "offsets.npy", "dataset.json"
_FIRST_WINDOW, _WINDOW = 1 << 14, 1 << 22  # bytes looked at at once: few where hits are near, many where they are rare


class Found(NamedTuple):
    """Documents that contain a text, in order, and the document to search on from (None: all were searched)."""

    documents: tuple[int, ...]
    next: int | None


@runtime_checkable
class Texts(Protocol):
    """Documents by number. A chat dataset has chats, another has texts."""

    is_chat: bool
    fingerprint: str

    def __len__(self) -> int: ...

    def document(self, index: int) -> str | list[Message]:
        """One document: its text, or its messages."""
        ...


class StoredTexts:
    """A dataset folder. Raises CorruptFile when its files contradict each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            self.offsets: NDArray[np.int64] = np.load(folder / OFFSETS, mmap_mode="r", allow_pickle=False)
            size = (folder / TEXTS).stat().st_size
        except (OSError, ValueError) as error:
            raise CorruptFile(f"{folder} is no whole dataset ({type(error).__name__}).") from error
        if self.offsets.ndim != 1 or len(self.offsets) < 2 or int(self.offsets[-1]) != size:
            raise CorruptFile(f"{folder} is no whole dataset: {TEXTS} is not as long as {OFFSETS} says.")
        self.is_chat = bool(self.facts.get("chat"))
        self.fingerprint = str(self.facts["fingerprint"])
        with (folder / TEXTS).open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def raw(self, index: int) -> str:
        """One document as it is stored."""
        if not 0 <= index < len(self):
            raise BadPositions(f"There is no document {index}: this dataset has 0 to {len(self) - 1}.")
        return self._bytes[int(self.offsets[index]) : int(self.offsets[index + 1])].decode("utf-8")

    def document(self, index: int) -> str | list[Message]:
        """One document: its text, or its messages."""
        text = self.raw(index)
        return json.loads(text) if self.is_chat else text

    def find(self, text: str, start: int = 0, limit: int = 50, most_bytes: int = 1 << 29) -> Found:
        """Up to `limit` documents from `start` on that contain `text`; stops after `most_bytes` of text."""
        wanted = _ascii_lower(self._stored(text))
        if not wanted:
            last = min(len(self), start + limit)
            return Found(tuple(range(start, last)), last if last < len(self) else None)
        found: list[int] = []
        at = first = int(self.offsets[min(start, len(self))])
        while at < len(self._bytes):
            place = self._next(wanted, at, first + most_bytes)
            if place is None:
                break
            if place < 0:
                document = int(np.searchsorted(self.offsets, -place, side="right")) - 1
                return Found(tuple(found), min(document, len(self)))
            document = int(np.searchsorted(self.offsets, place, side="right")) - 1
            if place + len(wanted) > int(self.offsets[document + 1]):  # it runs over the end of a document
                at = place + 1
                continue
            found.append(document)
            at = int(self.offsets[document + 1])
            if len(found) == limit:
                return Found(tuple(found), document + 1 if document + 1 < len(self) else None)
        return Found(tuple(found), None)

    def _stored(self, text: str) -> bytes:
        """How a text stands in the file: in a chat, quotes and line breaks are escaped."""
        return (json.dumps(text, ensure_ascii=False)[1:-1] if self.is_chat else text).encode("utf-8", "surrogatepass")

    def _next(self, wanted: bytes, at: int, stop: int) -> int | None:
        """Where `wanted` comes next; minus the place to go on from when `stop` is reached; None at the end."""
        window = _FIRST_WINDOW
        while at < len(self._bytes):
            if at >= stop:
                return -at
            place = _ascii_lower(self._bytes[at : at + window + len(wanted)]).find(wanted)
            if place >= 0:
                return at + place
            at += window
            window = min(2 * window, _WINDOW)
        return None

    def close(self) -> None:
        """Unmap the file."""
        self._bytes.close()


class StoryTexts:
    """Documents of the story world: a function of their seeds, so they take no space."""

    is_chat = False

    def __init__(self, count: int, first_seed: int = 0, genre: str | None = None) -> None:
        self.count, self.first_seed, self.genre = count, first_seed, genre
        self.fingerprint = hashlib.sha256(f"story world 1:{first_seed}:{count}:{genre}".encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return self.count

    def describe(self) -> dict[str, Any]:
        """What `open_texts` needs to make them again."""
        return {"documents": self.count, "first_seed": self.first_seed, "genre": self.genre}

    def document(self, index: int) -> str:
        """The story of one seed."""
        from loupe.engine.starter.world.story import write_document

        if not 0 <= index < self.count:
            raise BadPositions(f"There is no document {index}: this dataset has 0 to {self.count - 1}.")
        return write_document(self.first_seed + index, genre=self.genre).text

    def raw(self, index: int) -> str:
        """As `document`."""
        return self.document(index)

    def find(self, text: str, start: int = 0, limit: int = 50, most: int = 2000) -> Found:
        """Up to `limit` documents from `start` on that contain `text`; at most `most` stories are written for it."""
        wanted, found = text.lower(), []
        for index in range(start, min(self.count, start + most)):
            if wanted in self.document(index).lower():
                found.append(index)
                if len(found) == limit:
                    return Found(tuple(found), index + 1 if index + 1 < self.count else None)
        end = min(self.count, start + most)
        return Found(tuple(found), end if end < self.count else None)


def open_texts(source: str, details: Mapping[str, Any], folder: Path | None) -> StoredTexts | StoryTexts:
    """The documents of a dataset record. Raises CorruptFile (its folder is missing or not whole)."""
    if source == STORY_SOURCE:
        return StoryTexts(int(details["documents"]), int(details["first_seed"]), details.get("genre"))
    if folder is None:
        raise CorruptFile("This dataset has no folder.")
    return StoredTexts(folder)


def shown(document: str | Sequence[Message]) -> str:
    """A document for reading: a chat with its roles before each message."""
    if isinstance(document, str):
        return document
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in document)


def passages(texts: StoredTexts | StoryTexts, documents: Sequence[int], most: int = 2000) -> Iterator[tuple[int, str]]:
    """The beginnings of documents, for a list."""
    for index in documents:
        yield index, shown(texts.document(index))[:most]


def _ascii_lower(raw: bytes) -> bytes:
    return raw.lower()  # of bytes: ASCII letters only, so that no length changes
