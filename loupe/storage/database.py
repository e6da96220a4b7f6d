"""The database: many readers, one writer at a time, transactions of milliseconds.

Writers of this process take turns on a lock, so none of them ever meets SQLITE_BUSY from a sibling; readers see the
last commit and wait for nobody.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from loupe.storage.complaints import understood
from loupe.storage.connection import BUSY_TIMEOUT_S, connect, patient, prepare
from loupe.storage.errors import StoreBusy, StoreFailed, StoreFull

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Database:
    """An open database file; it must have been migrated. Close it, or SQLite's log stays beside it.

    `busy_timeout_s` is how long to wait for a writer of another process before StoreBusy; `on_full` makes some room
    when the disk is full, for `insist`.
    """

    def __init__(
        self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S, on_full: Callable[[], object] = lambda: None
    ):
        self.path = path
        self._on_full = on_full
        self._engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}", json_serializer=_to_json, connect_args={"async_creator_fn": connect}
        )
        prepare(self._engine.sync_engine, busy_timeout_s=busy_timeout_s)
        reading = self._engine.execution_options(readonly=True)
        self._writers = async_sessionmaker(self._engine, expire_on_commit=False)
        self._readers = async_sessionmaker(reading, expire_on_commit=False)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction that is committed when the block ends, and undone when it raises.

        A task that is cancelled inside the block learns of it at the end, after the commit. Never await the engine, the
        network or a person inside. Raises StoreBusy, StoreFull, CorruptDatabase.
        """
        async with self._turn:
            with understood(self.path), patient():
                async with self._writers() as session, session.begin():
                    yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A view of the last commit that does not change during the block. Raises StoreBusy, CorruptDatabase."""
        with understood(self.path), patient():
            async with self._readers() as session, session.begin():
                yield session

    async def insist(self, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """Do `work` in a transaction; on a full disk make room and do it once more. For what must be written down."""
        try:
            async with self.write() as session:
                return await work(session)
        except StoreFull:
            self._on_full()
        async with self.write() as session:
            return await work(session)

    async def close(self) -> None:
        """Let SQLite tidy its statistics and its log, unless another writer or the disk forbids it; close all."""
        try:
            async with self.write() as session:
                await session.execute(text("PRAGMA optimize"))
        except (StoreBusy, StoreFull, StoreFailed) as error:  # nothing is lost: the next close tidies
            log.info("the database was closed untidied: %s", error)
        finally:
            await self._engine.dispose()


def _to_json(value: object) -> str:
    """Absent values are absent: NaN and infinity, which are not JSON, raise ValueError instead of being stored."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
