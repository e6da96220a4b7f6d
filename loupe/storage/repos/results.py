"""The result cache's table: the sha256 of a question, and the artefact that answers it."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import delete, func, select, update

from loupe.storage.database import Database
from loupe.storage.repos.artefacts import drop_if_unused
from loupe.storage.repos.one_row import columns
from loupe.storage.rows import ArtefactRow, ResultRow

_RESULT, _ARTEFACT = columns(ResultRow), columns(ArtefactRow)


class Results:
    """Entries by key. Which of them are worth keeping is `loupe.storage.cache`'s business."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._database = database
        self._now = now

    async def find(self, key: str) -> str | None:
        """The artefact that answers, now marked as used; None when there is none."""
        query = update(ResultRow).where(_RESULT.key == key).values(last_used_at=self._now())
        async with self._database.write() as session:
            return await session.scalar(query.returning(_RESULT.artefact_id))

    async def put(self, key: str, artefact_id: str) -> None:
        """Enter an answer; a later one replaces an earlier one."""
        now = self._now()
        async with self._database.write() as session:
            await session.execute(delete(ResultRow).where(_RESULT.key == key))
            session.add(ResultRow(key=key, artefact_id=artefact_id, created_at=now, last_used_at=now))

    async def drop(self, key: str) -> str | None:
        """Remove an entry; returns the artefact whose folder may go, because nothing else refers to it."""
        async with self._database.write() as session:
            query = delete(ResultRow).where(_RESULT.key == key).returning(_RESULT.artefact_id)
            return await drop_if_unused(session, await session.scalar(query))

    async def size(self) -> int:
        """Bytes of all artefacts in the cache, those that a run also refers to included."""
        artefact = select(_RESULT.artefact_id).distinct()
        async with self._database.read() as session:
            total = select(func.coalesce(func.sum(_ARTEFACT.size), 0)).where(_ARTEFACT.id.in_(artefact))
            return int(await session.scalar(total) or 0)

    async def oldest(self) -> str | None:
        """The key that has not been used for longest; None when the cache is empty."""
        order = (_RESULT.last_used_at, _RESULT.number)
        async with self._database.read() as session:
            return await session.scalar(select(_RESULT.key).order_by(*order).limit(1))
