"""What SQLite's complaints mean, whoever passes them on: the standard library or SQLAlchemy."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loupe.storage.errors import CorruptDatabase, StorageError, StoreBusy, StoreFailed, StoreFull


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turn what SQLite reports into StoreBusy, StoreFull, CorruptDatabase or StoreFailed; let all else pass."""
    try:
        yield
    except Exception as error:
        original = getattr(error, "orig", error)  # SQLAlchemy keeps the driver's error there
        meaning = _meaning(original, path) if isinstance(original, sqlite3.Error) else None
        if meaning is None:
            raise
        raise meaning from error


def _meaning(error: sqlite3.Error, path: Path) -> StorageError | None:
    """By SQLite's primary result code, which stays when the wording changes."""
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(f"{path} stayed locked by another writer for longer than the wait allows; try again.")
        case sqlite3.SQLITE_FULL:
            return StoreFull(f"There was no space left for {path}; nothing that was saved is lost. Free some space.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return CorruptDatabase(
                f"{path} is damaged ({error}). Leave it where it is and run `loupe restore` with the latest backup."
            )
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return StoreFailed(f"{path} could not be read or written ({error}).")
    return None
