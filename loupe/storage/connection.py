"""How a connection to the database is set up, and why nobody can be cancelled in the middle of a transaction."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import aiosqlite
from sqlalchemy import Connection, Engine, event

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


_held: ContextVar[list[bool] | None] = ContextVar("cancellations held back", default=None)


@contextmanager
def patient() -> Iterator[None]:
    """Hold cancellation back until the block ends; where the block fails, its error is told first.

    A task that is cancelled inside a transaction would otherwise leave its connection to be closed some time later,
    with the database locked until then.
    """
    held: list[bool] = []
    token = _held.set(held)
    try:
        yield
    except Exception:
        if held:
            _cancel_later()
        raise
    finally:
        _held.reset(token)
    if held:
        raise asyncio.CancelledError


def _cancel_later() -> None:
    """Let the running task be cancelled at its next await instead; whoever counts its cancellations counts one."""
    task = asyncio.current_task()
    assert task is not None, "a transaction runs in a task"
    task.uncancel()
    task.cancel()


class PatientConnection(aiosqlite.Connection):
    """A connection whose calls run to their end inside `patient`; the cancellation is told when the block ends."""

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call = super()._execute(fn, *args, **kwargs)
        if (held := _held.get()) is None:
            return await call
        running = asyncio.ensure_future(call)
        while True:
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                if running.cancelled():
                    raise
                held.append(True)


async def connect(database: str, **options: Any) -> PatientConnection:
    """Open a connection; SQLAlchemy gives the options."""
    connection = PatientConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # as SQLAlchemy does: a forgotten connection must not keep the process alive
    await connection
    return connection
