"""Sparse autoencoders: everything a list of them shows, and where each one lies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, or_, select

from loupe.storage.artefacts import Artefact
from loupe.storage.database import Database
from loupe.storage.paths import new_id
from loupe.storage.records import Page, as_record, window
from loupe.storage.repos.artefacts import drop_all_unused, row_of
from loupe.storage.repos.one_row import columns, find, mark_deleted
from loupe.storage.rows import SaeRow

_SAE = columns(SaeRow)

SORTED_BY = ("created_at", "name", "architecture", "d_sae", "k", "model", "size")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSae:
    """An SAE that can be loaded. `source` is "trained", "imported" or "starter"; `card` its evaluation, once there.

    `path` is a folder outside the artefacts, for SAEs that have none.
    """

    name: str
    architecture: str
    hook_points: tuple[str, ...]
    model: str
    model_fingerprint: str
    d_in: int
    d_sae: int
    source: str
    source_format: str = "loupe"
    author: str = ""
    hook_point_out: str | None = None
    k: int | None = None
    assumptions: tuple[str, ...] = ()
    card: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    path: str = ""
    job_id: str | None = None
    tokenisation_id: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class SaeRecord:
    """An SAE as it is kept; `deleted_at` is set while it can still be restored."""

    id: str
    name: str
    author: str
    architecture: str
    hook_points: tuple[str, ...]
    hook_point_out: str | None
    model: str
    model_fingerprint: str
    d_in: int
    d_sae: int
    k: int | None
    source: str
    source_format: str
    assumptions: tuple[str, ...]
    card: dict[str, Any] | None
    details: dict[str, Any]
    size: int
    path: str
    artefact_id: str | None
    job_id: str | None
    tokenisation_id: str | None
    step: int | None
    created_at: datetime
    deleted_at: datetime | None


class Saes:
    """The table of SAEs. A row appears together with its artefact's, or not at all."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._database = database
        self._now = now

    async def add(self, new: NewSae, artefact: Artefact | None = None) -> SaeRecord:
        """Record an SAE and the finished artefact that holds it; one at the same path is brought up to date instead."""
        values = _columns(new, artefact)
        async with self._database.write() as session:
            if artefact is not None:
                session.add(row_of(artefact))
                await session.flush()
            row = await session.scalar(select(SaeRow).where(_SAE.path == new.path)) if new.path else None
            if row is None:
                row = SaeRow(id=new_id(), created_at=self._now(), deleted_at=None, **values)
                session.add(row)
            for name, value in values.items():
                setattr(row, name, value)
            await session.flush()
            return as_record(SaeRecord, row)

    async def replace(self, id: str, new: NewSae, artefact: Artefact) -> tuple[SaeRecord, tuple[str, ...]]:
        """Have an SAE be another version of itself, under the name it has by now; also the artefacts whose folders may
        go. Raises NotFound."""
        async with self._database.write() as session:
            row = await find(session, SaeRow, id)
            former = row.artefact_id
            session.add(row_of(artefact))
            await session.flush()
            for name, value in (_columns(new, artefact) | {"name": row.name}).items():
                setattr(row, name, value)
            await session.flush()
            return as_record(SaeRecord, row), await drop_all_unused(session, [former])

    async def get(self, id: str) -> SaeRecord:
        """One SAE, also one in the bin. Raises NotFound."""
        async with self._database.read() as session:
            return as_record(SaeRecord, await find(session, SaeRow, id))

    async def list(
        self,
        *,
        model_fingerprint: str | None = None,
        architecture: str | None = None,
        source: str | None = None,
        job_id: str | None = None,
        search: str = "",
        sort_by: str = "created_at",
        descending: bool = True,
        page: int = 1,
        limit: int = 50,
        deleted: bool = False,
    ) -> Page[SaeRecord]:
        """SAEs that fit, the latest first unless sorted otherwise. `search` looks in names, models and hook points."""
        wanted = {
            "model_fingerprint": model_fingerprint,
            "architecture": architecture,
            "source": source,
            "job_id": job_id,
        }
        conditions = [_SAE[name] == value for name, value in wanted.items() if value is not None]
        conditions.append(_SAE.deleted_at.is_not(None) if deleted else _SAE.deleted_at.is_(None))
        if search:
            conditions.append(or_(*(_text(name).contains(search, autoescape=True) for name in _SEARCHED)))
        return await self._page(conditions, sort_by, descending, page, limit)

    async def _page(
        self, conditions: Sequence[ColumnElement[bool]], sort_by: str, descending: bool, page: int, limit: int
    ) -> Page[SaeRecord]:
        if sort_by not in SORTED_BY:
            raise ValueError(f"SAEs are sorted by one of {', '.join(SORTED_BY)}; got {sort_by!r}.")
        key = _SAE["number" if sort_by == "created_at" else sort_by]
        offset, count = window(page, limit)
        order = (key.desc() if descending else key.asc(), _SAE.number.desc())
        query = select(SaeRow).where(*conditions).order_by(*order).offset(offset).limit(count)
        async with self._database.read() as session:
            total = await session.scalar(select(func.count()).select_from(SaeRow).where(*conditions))
            rows = await session.scalars(query)
            return Page(tuple(as_record(SaeRecord, row) for row in rows), total or 0, page, limit)

    async def describe(
        self,
        id: str,
        *,
        name: str | None = None,
        card: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> SaeRecord:
        """Rename an SAE, or keep its evaluation or further details. Raises NotFound."""
        async with self._database.write() as session:
            row = await find(session, SaeRow, id)
            row.name = name or row.name
            row.card = dict(card) if card is not None else row.card
            row.details = row.details | dict(details or {})
            await session.flush()
            return as_record(SaeRecord, row)

    async def delete(self, id: str) -> SaeRecord:
        """Put an SAE into the bin. Raises NotFound."""
        return await mark_deleted(self._database, SaeRow, SaeRecord, id, self._now())

    async def restore(self, id: str) -> SaeRecord:
        """Take an SAE out of the bin. Raises NotFound."""
        return await mark_deleted(self._database, SaeRow, SaeRecord, id, None)

    async def purge(self, older_than: timedelta) -> tuple[str, ...]:
        """Forget what was deleted longer ago than that; returns the artefacts whose folders may go."""
        gone = _SAE.deleted_at < (self._now() - older_than)
        async with self._database.write() as session:
            rows = list(await session.scalars(select(SaeRow).where(gone)))
            for row in rows:
                await session.delete(row)
            await session.flush()
            return await drop_all_unused(session, [row.artefact_id for row in rows])


_SEARCHED = ("name", "model", "hook_points", "architecture")


def _columns(new: NewSae, artefact: Artefact | None) -> dict[str, Any]:
    values = asdict(new) | {"hook_points": list(new.hook_points), "assumptions": list(new.assumptions)}
    values |= {"details": dict(new.details), "card": dict(new.card) if new.card is not None else None}
    size = artefact.size if artefact else new.size
    return values | {"artefact_id": artefact.id if artefact else None, "size": size}


def _text(name: str) -> ColumnElement[Any]:
    return cast(_SAE[name], Text)
