"""How a connection to the database is set up, and what SQLite's complaints mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from loupe.storage.errors import CorruptDatabase, StorageError, StoreBusy, StoreFailed, StoreFull

BUSY_TIMEOUT_S = 5.0
# synchronous=FULL, although WAL would be consistent with NORMAL: with NORMAL the last commits are lost in a power
# cut, and a job that was shown as accepted is never forgotten.
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "cache_size=-65536",
)


def prepare(engine: Engine, pragmas: tuple[str, ...] = PRAGMAS, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
    """Give every connection the pragmas, and begin every transaction ourselves.

    A writer begins IMMEDIATE: a deferred transaction that reads and then writes cannot wait for the lock, and the
    driver's own late BEGIN loses updates without an error.
    """

    @event.listens_for(engine, "connect")
    def set_pragmas(connection, record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (*pragmas, f"busy_timeout={int(busy_timeout_s * 1000)}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        is_readonly = connection.get_execution_options().get("readonly", False)
        connection.exec_driver_sql("BEGIN" if is_readonly else "BEGIN IMMEDIATE")


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Turn what SQLite reports into StoreBusy, StoreFull, CorruptDatabase or StoreFailed."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        original = error.orig if isinstance(error, DBAPIError) else error
        meaning = _meaning(original, path)
        if meaning is None:
            raise
        raise meaning from error
    except PoolTimeout as error:
        raise StoreBusy(f"All connections to {path} were taken for too long; try again.") from error


def _meaning(error: BaseException | None, path: Path) -> StorageError | None:
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
