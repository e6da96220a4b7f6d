"""Files on their way in, piece by piece: each piece has a place and a checksum, and counts as a whole or not at all.

    uploads/<id>/data.csv       what has arrived; bytes beyond what counts mean nothing
                 upload.json    what it is, and how many bytes count; replaced in one rename

A piece is written behind what counts, compared with its checksum and synced; only then is it counted. A process that is
killed in between leaves bytes that do not count, and the next piece is written over them. An upload is no artefact:
it is neither backed up nor kept for long.
"""

import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from loupe.storage.errors import NotFound, WrongChecksum, WrongOffset
from loupe.storage.fs import REAL, FileSystem, replace_file, sync_path, translated, write_all, write_file
from loupe.storage.paths import is_id, new_id

RECORD = "upload.json"
CHECKSUM = r"(sha256:[0-9a-f]{64}|crc32:[0-9a-f]{8})"
_ENDING = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,2}$")


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """One upload. `file` is what its sender calls it, `fingerprint` how its sender knows it again; sizes in bytes."""

    id: str
    file: str
    size: int
    received: int
    author: str
    fingerprint: str
    created_at: datetime
    touched_at: datetime

    @property
    def is_complete(self) -> bool:
        """Whether every byte is here."""
        return self.received == self.size

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return self.size - self.received


class UploadStore:
    """The folder of uploads. One writer per upload at a time; whoever calls sees to that."""

    def __init__(self, root: Path, fs: FileSystem = REAL, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self.root = root
        self._fs = fs
        self._now = now

    def begin(self, file: str, size: int, author: str = "", fingerprint: str = "") -> UploadRecord:
        """Make room for a file of `size` bytes, none of which is here yet. Raises StoreFull, StoreFailed."""
        now = self._now()
        record = UploadRecord(new_id(), file, size, 0, author, fingerprint, now, now)
        folder = self.root / record.id
        with translated("begin an upload", self.root):
            if not self.root.exists():
                self._fs.make_dir(self.root)
                sync_path(self._fs, self.root.parent)
            self._fs.make_dir(folder)
            write_file(self._fs, self.path(record), [])
            sync_path(self._fs, folder)  # before the record, so that there is none without a file
            self._write(record)
            sync_path(self._fs, self.root)
        return record

    def get(self, id: str) -> UploadRecord:
        """An upload. Raises NotFound."""
        try:
            known = json.loads((self.root / id / RECORD).read_bytes()) if is_id(id) else None
        except (FileNotFoundError, NotADirectoryError):
            known = None
        if known is None:
            raise NotFound("upload", id)
        for name in ("created_at", "touched_at"):
            known[name] = datetime.fromisoformat(known[name])
        return UploadRecord(**known)

    def records(self) -> list[UploadRecord]:
        """Every upload, the latest first."""
        found = [self.get(folder.name) for folder in self._folders() if (folder / RECORD).is_file()]
        return sorted(found, key=lambda record: record.created_at, reverse=True)

    def path(self, record: UploadRecord) -> Path:
        """Where its bytes are; the ending is the sender's, as far as it is a harmless one."""
        ending = _ENDING.search(record.file)
        return self.root / record.id / f"data{ending[0] if ending else ''}"

    @contextmanager
    def piece(self, id: str, offset: int, checksum: str | None = None) -> Iterator["Piece"]:
        """Write one piece at `offset`, which must be what has arrived. Raises NotFound, WrongOffset.

        `checksum` is `sha256:…` or `crc32:…` in hexadecimal digits; None where the sender knows none.
        """
        record = self.get(id)
        if offset != record.received:
            raise WrongOffset(f"The next piece begins at byte {record.received}.", received=record.received)
        with translated("take in a piece of an upload", self.root):
            handle = self._fs.open(self.path(record), os.O_WRONLY)
            try:
                os.lseek(handle, offset, os.SEEK_SET)
                yield Piece(self, record, handle, checksum)
            finally:
                os.close(handle)

    def remove(self, id: str) -> None:
        """Forget an upload and its bytes; the record goes first, so that no half is ever found. Raises NotFound."""
        self.get(id)
        with translated("remove an upload", self.root):
            self._fs.remove_file(self.root / id / RECORD)
            self._fs.remove_tree(self.root / id)

    def sweep(self) -> int:
        """Remove what a dead process left without a record, before anything is begun; returns how many went."""
        stray = [folder for folder in self._folders() if not (folder / RECORD).is_file()]
        with translated("clear away uploads", self.root):
            for folder in stray:
                self._fs.remove_tree(folder)
        return len(stray)

    def touch(self, id: str) -> UploadRecord:
        """Note that it was used just now. Raises NotFound."""
        touched = replace(self.get(id), touched_at=self._now())
        with translated("note the use of an upload", self.root):
            self._write(touched)
        return touched

    def free_bytes(self) -> int:
        """Bytes that may still be written there."""
        return self._fs.free_bytes(self.root.parent)

    def count(self, record: UploadRecord, handle: int, more: int) -> UploadRecord:
        """Sync what was written and let it count."""
        self._fs.sync(handle)
        counted = replace(record, received=record.received + more, touched_at=self._now())
        self._write(counted)
        return counted

    def write(self, handle: int, data: bytes) -> None:
        """Write all of `data` where the file stands."""
        write_all(self._fs, handle, data)

    def _write(self, record: UploadRecord) -> None:
        text = json.dumps(asdict(record), default=datetime.isoformat)
        replace_file(self._fs, self.root / record.id / RECORD, text.encode())

    def _folders(self) -> list[Path]:
        return [each for each in self.root.iterdir() if is_id(each.name)] if self.root.is_dir() else []


class Piece:
    """A piece while it arrives."""

    def __init__(self, store: UploadStore, record: UploadRecord, handle: int, checksum: str | None) -> None:
        self._store = store
        self._handle = handle
        self._kind, _, self._expected = (checksum or "crc32:").partition(":")
        self._sum: _Sum = hashlib.sha256() if self._kind == "sha256" else _Crc32()
        self.record = record
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add some bytes. Raises WrongOffset when the file would become longer than was said."""
        if len(data) > self.record.left - self.size:
            told = f"This piece goes beyond the {self.record.size} bytes that the file was to have."
            raise WrongOffset(told, received=self.record.received)
        self._sum.update(data)
        self._store.write(self._handle, data)
        self.size += len(data)

    def finish(self) -> UploadRecord:
        """Compare with the checksum, and let the piece count. Raises WrongChecksum."""
        if self._expected and self._sum.hexdigest() != self._expected:
            told = f"The piece at byte {self.record.received} has another {self._kind} than was said. Send it again."
            raise WrongChecksum(told, received=self.record.received)
        return self._store.count(self.record, self._handle, self.size)


class _Sum(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc32:
    """For browsers: over plain http they have no sha256."""

    def __init__(self) -> None:
        self._sum = 0

    def update(self, data: bytes, /) -> None:
        self._sum = zlib.crc32(data, self._sum)

    def hexdigest(self) -> str:
        return f"{self._sum:08x}"
