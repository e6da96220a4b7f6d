"""Copying a SQLite file that may be in use: only ever through SQLite, never as a file."""

import sqlite3
from contextlib import closing
from pathlib import Path

from loupe.storage.errors import CorruptDatabase


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a database that others may be writing to; the copy is checked, and removed if it is bad.

    It is made in one step, from one view: in several, SQLite begins again whenever somebody writes in between, and a
    busy database would never be copied. Writers do not wait for a view.

    The source is opened for reading only: SQLite would otherwise throw away the log of a database that it cannot
    read, which may be the better half of it. Raises sqlite3.Error, CorruptDatabase.
    """
    try:
        readable = sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)
        with closing(readable) as live, closing(sqlite3.connect(target)) as copy:
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            check(copy, source)
    except BaseException:  # however it ended: half a copy must not be taken for one
        target.unlink(missing_ok=True)
        raise


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Have SQLite read every page and index. Raises CorruptDatabase with what it found."""
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise CorruptDatabase(f"{path} is damaged ({verdict}). Run `loupe restore` with the latest backup.")


def settle(database: Path) -> None:
    """Move everything from the write-ahead log into the database file, so that the file stands alone."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
