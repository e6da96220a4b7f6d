"""What people put into the library besides folders: NLA pairs, model groups, certificates, and the default pair.

One table for all of them: an entry is a kind, an id that is unique within its kind, a name, and a body of plain values.
Deleting marks an entry; until it is purged it can be restored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from loupe.storage.database import Database
from loupe.storage.errors import NotFound
from loupe.storage.records import as_record
from loupe.storage.repos.one_row import columns
from loupe.storage.rows import LibraryRow

_ENTRY = columns(LibraryRow)


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """One entry; `deleted_at` is set while it can still be restored."""

    kind: str
    id: str
    name: str
    body: dict[str, Any]
    author: str
    created_at: datetime
    changed_at: datetime
    deleted_at: datetime | None


class Library:
    """The table of entries."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._database = database
        self._now = now

    async def put(
        self, kind: str, id: str, body: Mapping[str, Any], *, name: str = "", author: str = ""
    ) -> LibraryEntry:
        """Write an entry; one of the same kind and id is replaced, and is no longer deleted."""
        now = self._now()
        async with self._database.write() as session:
            row = await _find(session, kind, id)
            if row is None:
                row = LibraryRow(kind=kind, id=id, name=name, body={}, author=author, created_at=now, changed_at=now)
                session.add(row)
            row.name, row.body, row.changed_at, row.deleted_at = name or id, dict(body), now, None
            await session.flush()
            return as_record(LibraryEntry, row)

    async def list(self, kind: str, *, deleted: bool = False) -> tuple[LibraryEntry, ...]:
        """The entries of a kind in the order they came, or those that are in the bin."""
        there = _ENTRY.deleted_at.is_not(None) if deleted else _ENTRY.deleted_at.is_(None)
        query = select(LibraryRow).where(_ENTRY.kind == kind, there).order_by(_ENTRY.number)
        async with self._database.read() as session:
            return tuple(as_record(LibraryEntry, row) for row in await session.scalars(query))

    async def find(self, kind: str, id: str) -> LibraryEntry | None:
        """One entry that is not deleted, or None."""
        async with self._database.read() as session:
            row = await _find(session, kind, id)
            return as_record(LibraryEntry, row) if row is not None and row.deleted_at is None else None

    async def delete(self, kind: str, id: str) -> LibraryEntry:
        """Mark an entry as deleted. Raises NotFound."""
        return await self._mark(kind, id, self._now())

    async def restore(self, kind: str, id: str) -> LibraryEntry:
        """Take an entry back out of the bin. Raises NotFound."""
        return await self._mark(kind, id, None)

    async def purge(self, older_than: timedelta) -> int:
        """Forget what was deleted longer ago than that; returns how many entries."""
        gone = _ENTRY.deleted_at < (self._now() - older_than)
        async with self._database.write() as session:
            found = await session.execute(delete(LibraryRow).where(gone).returning(_ENTRY.number))
            return len(found.all())

    async def _mark(self, kind: str, id: str, moment: datetime | None) -> LibraryEntry:
        async with self._database.write() as session:
            row = await _find(session, kind, id)
            if row is None or (row.deleted_at is None) is (moment is None):
                raise NotFound(kind, id)
            row.deleted_at = moment
            await session.flush()
            return as_record(LibraryEntry, row)


async def _find(session: AsyncSession, kind: str, id: str) -> LibraryRow | None:
    return await session.scalar(select(LibraryRow).where(_ENTRY.kind == kind, _ENTRY.id == id))
