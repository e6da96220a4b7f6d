"""Datasets and their tokenisations: what texts there are, and as which token rows."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from loupe.storage.artefacts import Artefact
from loupe.storage.database import Database
from loupe.storage.paths import new_id
from loupe.storage.records import Page, as_record, window
from loupe.storage.repos.artefacts import drop_all_unused, row_of
from loupe.storage.repos.one_row import columns, find, mark_deleted
from loupe.storage.rows import DatasetRow, TokenisationRow

_DATASET, _TOKENISATION = columns(DatasetRow), columns(TokenisationRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDataset:
    """A dataset that is complete. `source` is "hub", "file", "pasted" or "starter"; `details` how to make it again."""

    name: str
    source: str
    documents: int
    characters: int
    fingerprint: str
    author: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A dataset as it is kept; `artefact_id` is None where texts are made when they are read."""

    id: str
    name: str
    author: str
    source: str
    documents: int
    characters: int
    fingerprint: str
    details: dict[str, Any]
    statistics: dict[str, Any] | None
    artefact_id: str | None
    created_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTokenisation:
    """A finished tokenisation; `options` are those it was made with."""

    dataset_id: str
    name: str
    model: str
    tokenizer_fingerprint: str
    rows: int
    tokens: int
    fingerprint: str
    author: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenisationRecord:
    """A tokenisation as it is kept."""

    id: str
    dataset_id: str
    name: str
    author: str
    model: str
    tokenizer_fingerprint: str
    options: dict[str, Any]
    rows: int
    tokens: int
    fingerprint: str
    statistics: dict[str, Any]
    artefact_id: str
    created_at: datetime


class Datasets:
    """The tables of datasets and tokenisations. A row appears together with its artefact's, or not at all."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._database = database
        self._now = now

    async def add(self, new: NewDataset, artefact: Artefact | None = None) -> DatasetRecord:
        """Record a dataset and the finished artefact that holds it."""
        row = DatasetRow(
            id=new_id(), created_at=self._now(), artefact_id=artefact.id if artefact else None, **_plain(new)
        )
        async with self._database.write() as session:
            await _with_artefact(session, artefact)
            session.add(row)
            await session.flush()
            return as_record(DatasetRecord, row)

    async def get(self, id: str) -> DatasetRecord:
        """One dataset, also one in the bin. Raises NotFound."""
        async with self._database.read() as session:
            return as_record(DatasetRecord, await find(session, DatasetRow, id))

    async def list(
        self, *, search: str = "", page: int = 1, limit: int = 50, deleted: bool = False
    ) -> Page[DatasetRecord]:
        """Datasets, the latest first, whose name contains `search`."""
        there = _DATASET.deleted_at.is_not(None) if deleted else _DATASET.deleted_at.is_(None)
        conditions = [there, _DATASET.name.contains(search, autoescape=True)]
        offset, count = window(page, limit)
        query = select(DatasetRow).where(*conditions).order_by(_DATASET.number.desc())
        async with self._database.read() as session:
            total = await session.scalar(select(func.count()).select_from(DatasetRow).where(*conditions))
            rows = await session.scalars(query.offset(offset).limit(count))
            return Page(tuple(as_record(DatasetRecord, row) for row in rows), total or 0, page, limit)

    async def describe(
        self, id: str, *, name: str | None = None, statistics: Mapping[str, Any] | None = None
    ) -> DatasetRecord:
        """Rename a dataset, or keep its statistics once they are computed. Raises NotFound."""
        async with self._database.write() as session:
            row = await find(session, DatasetRow, id)
            row.name = name or row.name
            row.statistics = dict(statistics) if statistics is not None else row.statistics
            await session.flush()
            return as_record(DatasetRecord, row)

    async def delete(self, id: str) -> DatasetRecord:
        """Put a dataset into the bin. Raises NotFound."""
        return await mark_deleted(self._database, DatasetRow, DatasetRecord, id, self._now())

    async def restore(self, id: str) -> DatasetRecord:
        """Take a dataset out of the bin. Raises NotFound."""
        return await mark_deleted(self._database, DatasetRow, DatasetRecord, id, None)

    async def purge(self, older_than: timedelta) -> tuple[str, ...]:
        """Forget what was deleted longer ago, tokenisations included; returns the artefacts whose folders may go."""
        gone = _DATASET.deleted_at < (self._now() - older_than)
        async with self._database.write() as session:
            rows = list(await session.scalars(select(DatasetRow).where(gone)))
            artefacts = [row.artefact_id for row in rows]
            for row in rows:
                artefacts.extend(await _drop_tokenisations(session, row.id))
                await session.delete(row)
            await session.flush()
            return await drop_all_unused(session, artefacts)

    async def add_tokenisation(self, new: NewTokenisation, artefact: Artefact) -> TokenisationRecord:
        """Record a tokenisation and its artefact. Raises NotFound when the dataset is gone."""
        row = TokenisationRow(id=new_id(), created_at=self._now(), artefact_id=artefact.id, **_plain(new))
        async with self._database.write() as session:
            await find(session, DatasetRow, new.dataset_id)
            await _with_artefact(session, artefact)
            session.add(row)
            await session.flush()
            return as_record(TokenisationRecord, row)

    async def tokenisation(self, id: str) -> TokenisationRecord:
        """One tokenisation. Raises NotFound."""
        async with self._database.read() as session:
            return as_record(TokenisationRecord, await find(session, TokenisationRow, id))

    async def tokenisations(self, dataset_id: str | None = None) -> tuple[TokenisationRecord, ...]:
        """All tokenisations, or those of one dataset; the latest first."""
        query = select(TokenisationRow).order_by(_TOKENISATION.number.desc())
        if dataset_id is not None:
            query = query.where(_TOKENISATION.dataset_id == dataset_id)
        async with self._database.read() as session:
            return tuple(as_record(TokenisationRecord, row) for row in await session.scalars(query))

    async def delete_tokenisation(self, id: str) -> tuple[str, ...]:
        """Forget a tokenisation; returns the artefact whose folder may go. Raises NotFound."""
        async with self._database.write() as session:
            row = await find(session, TokenisationRow, id)
            await session.delete(row)
            await session.flush()
            return await drop_all_unused(session, [row.artefact_id])


def _plain(new: NewDataset | NewTokenisation) -> dict[str, Any]:
    values = asdict(new)
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


async def _with_artefact(session: AsyncSession, artefact: Artefact | None) -> None:
    if artefact is not None:
        session.add(row_of(artefact))
        await session.flush()


async def _drop_tokenisations(session: AsyncSession, dataset_id: str) -> list[str]:
    of_dataset = _TOKENISATION.dataset_id == dataset_id
    rows = await session.scalars(delete(TokenisationRow).where(of_dataset).returning(_TOKENISATION.artefact_id))
    return list(rows)
