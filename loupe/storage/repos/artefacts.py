"""Artefact records: which finished folders the rest of the records may refer to."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from loupe.storage.artefacts import Artefact
from loupe.storage.database import Database
from loupe.storage.records import as_record
from loupe.storage.repos.one_row import columns
from loupe.storage.rows import ArtefactRow, Row


@dataclass(frozen=True, slots=True)
class ArtefactRecord:
    """An artefact as the records know it; `size` in bytes."""

    id: str
    kind: str
    name: str
    size: int
    manifest_sha256: str
    created_at: datetime


class Artefacts:
    """The artefact table."""

    def __init__(self, database: Database):
        self._database = database

    async def add(self, artefact: Artefact) -> ArtefactRecord:
        """Record a finished folder; from now on it is kept by sweeps and contained in backups."""
        row = row_of(artefact)
        async with self._database.write() as session:
            session.add(row)
        return as_record(ArtefactRecord, row)

    async def ids(self) -> set[str]:
        """Every recorded artefact."""
        async with self._database.read() as session:
            return set(await session.scalars(select(_ARTEFACT.id)))

    async def of_kind(self, kind: str) -> tuple[ArtefactRecord, ...]:
        """The recorded artefacts of a kind, the newest first."""
        query = select(ArtefactRow).where(_ARTEFACT.kind == kind).order_by(_ARTEFACT.number.desc())
        async with self._database.read() as session:
            return tuple(as_record(ArtefactRecord, row) for row in await session.scalars(query))

    async def size_by_kind(self) -> dict[str, int]:
        """Bytes on disk, by kind, the largest first."""
        size = func.sum(_ARTEFACT.size)
        async with self._database.read() as session:
            rows = await session.execute(select(_ARTEFACT.kind, size).group_by(_ARTEFACT.kind).order_by(size.desc()))
            return dict(tuple(row) for row in rows)

    async def drop_unused(self, id: str) -> str | None:
        """Forget an artefact that no run, job or cached result refers to; returns its id when its folder may go."""
        async with self._database.write() as session:
            return await drop_if_unused(session, id)


_ARTEFACT = columns(ArtefactRow)


def row_of(artefact: Artefact) -> ArtefactRow:
    """The row of a finished folder, for a transaction of its own or of a repository beside this one."""
    manifest = artefact.manifest
    return ArtefactRow(
        id=artefact.id,
        kind=manifest.kind,
        name=manifest.name,
        size=artefact.size,
        manifest_sha256=artefact.manifest_sha256,
        created_at=manifest.created_at,
    )


async def drop_if_unused(session: AsyncSession, id: str | None) -> str | None:
    """Within a transaction: remove the record unless something refers to it; returns the id when it was removed."""
    if id is None:
        return None
    is_used = [exists().where(key.parent == id) for key in _keys_to_artefacts()]
    query = delete(ArtefactRow).where(_ARTEFACT.id == id, *(~used for used in is_used)).returning(_ARTEFACT.id)
    return await session.scalar(query)


async def drop_all_unused(session: AsyncSession, ids: Iterable[str | None]) -> tuple[str, ...]:
    """The same for several, each once; those that were removed, whose folders may go."""
    dropped = [await drop_if_unused(session, id) for id in dict.fromkeys(ids)]
    return tuple(id for id in dropped if id is not None)


def _keys_to_artefacts() -> list:
    """Every foreign key that points at an artefact, so that a new table cannot be forgotten here."""
    tables = Row.metadata.tables.values()
    return [key for table in tables for key in table.foreign_keys if key.column is _ARTEFACT.id]
