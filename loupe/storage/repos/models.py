"""Model folders that were used here: models, verbalizers, reconstructors, lenses; what they are and where they lie."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from loupe.storage.database import Database
from loupe.storage.paths import new_id
from loupe.storage.records import as_record
from loupe.storage.repos.one_row import columns, find
from loupe.storage.rows import ModelRow

_MODEL = columns(ModelRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """A model folder. `source` says where it came from (a hub id, "local", "starter"), `revision` is a commit there."""

    kind: str
    name: str
    path: str
    source: str = "local"
    revision: str = ""
    fingerprint: str = ""
    size: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model folder as it is kept; `size` in bytes, `fingerprint` a sha256 over config and weights."""

    id: str
    kind: str
    name: str
    path: str
    source: str
    revision: str
    fingerprint: str
    size: int
    details: dict[str, Any]
    created_at: datetime
    last_used_at: datetime


class Models:
    """The model table: one record per folder."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._database = database
        self._now = now

    async def remember(self, new: NewModel) -> ModelRecord:
        """Record a folder, or bring the record of this path up to date; either way it was used now."""
        values, now = {**asdict(new), "details": dict(new.details)}, self._now()
        async with self._database.write() as session:
            row = await session.scalar(select(ModelRow).where(_MODEL.path == new.path))
            if row is None:
                row = ModelRow(id=new_id(), created_at=now, last_used_at=now, **values)
                session.add(row)
            for name, value in {**values, "last_used_at": now}.items():
                setattr(row, name, value)
            await session.flush()
            return as_record(ModelRecord, row)

    async def get(self, id: str) -> ModelRecord:
        """One model. Raises NotFound."""
        async with self._database.read() as session:
            return as_record(ModelRecord, await find(session, ModelRow, id))

    async def list(self, kind: str | None = None) -> tuple[ModelRecord, ...]:
        """All models, or those of one kind; the last used first."""
        conditions = [] if kind is None else [_MODEL.kind == kind]
        order = (_MODEL.last_used_at.desc(), _MODEL.number.desc())
        async with self._database.read() as session:
            rows = await session.scalars(select(ModelRow).where(*conditions).order_by(*order))
            return tuple(as_record(ModelRecord, row) for row in rows)

    async def forget(self, id: str) -> None:
        """Drop the record; the folder stays. Raises NotFound."""
        async with self._database.write() as session:
            await session.delete(await find(session, ModelRow, id))
