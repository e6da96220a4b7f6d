"""Runs: what was asked, with everything needed to ask it again, and where the answer lies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, literal_column, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from loupe.storage.database import Database
from loupe.storage.errors import NotFound
from loupe.storage.paths import new_id
from loupe.storage.records import Page, as_record, search_terms, window, without_nothing
from loupe.storage.repos.artefacts import drop_if_unused
from loupe.storage.rows import FINAL_STATES, Row, RunRow, WorkState

_JOB = Row.metadata.tables["job"].c
SORTABLE = ("created_at", "finished_at", "name", "model", "state", "author")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run before it is kept. `request` is the full set of options; `versions` those of Loupe, torch and friends."""

    kind: str = "analysis"
    name: str
    text: str
    request: Mapping[str, Any]
    model: str = ""
    layer: int | None = None
    seed: int = 0
    device: str = ""
    dtype: str = ""
    token_ids: Sequence[int] = ()
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    author: str = ""
    repeat_of: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it is kept. `fingerprints` has the sha256 of model, verbalizer, reconstructor and their sidecars."""

    id: str
    kind: str
    name: str
    author: str
    state: WorkState
    text: str
    model: str
    layer: int | None
    seed: int
    device: str
    dtype: str
    token_ids: tuple[int, ...]
    request: dict[str, Any]
    fingerprints: dict[str, str]
    versions: dict[str, str]
    summary: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    artefact_id: str | None
    repeat_of: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Runs:
    """The run table. The first final state wins: a run that was cancelled does not become done, nor the reverse."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._database = database
        self._now = now

    async def create(self, new: NewRun) -> RunRecord:
        """Keep a run as queued."""
        values = {**asdict(new), "token_ids": list(new.token_ids), "request": dict(new.request)}
        row = RunRow(id=new_id(), state=WorkState.QUEUED, created_at=self._now(), **values)
        async with self._database.write() as session:
            session.add(row)
        return as_record(RunRecord, row)

    async def start(self, id: str) -> RunRecord:
        """Note that the run is being worked on."""
        return await self._change(id, state=WorkState.RUNNING, started_at=self._now())

    async def amend(
        self,
        id: str,
        *,
        token_ids: Sequence[int] | None = None,
        fingerprints: Mapping[str, str] | None = None,
        versions: Mapping[str, str] | None = None,
        request: Mapping[str, Any] | None = None,
        model: str | None = None,
        layer: int | None = None,
        device: str | None = None,
        dtype: str | None = None,
    ) -> RunRecord:
        """Fill in what was only known once the model was loaded; None leaves a value as it is."""
        given = {
            "token_ids": None if token_ids is None else list(token_ids),
            "fingerprints": None if fingerprints is None else dict(fingerprints),
            "versions": None if versions is None else dict(versions),
            "request": None if request is None else dict(request),
            "model": model,
            "layer": layer,
            "device": device,
            "dtype": dtype,
        }
        return await self._change(id, **without_nothing(given))

    async def finish(self, id: str, *, artefact_id: str | None, summary: Mapping[str, Any] | None = None) -> RunRecord:
        """Note that the run is done and where its result lies."""
        kept = None if summary is None else dict(summary)
        return await self._end(id, WorkState.DONE, artefact_id=artefact_id, summary=kept)

    async def fail(self, id: str, *, code: str, message: str) -> RunRecord:
        """Note why the run has no result."""
        return await self._end(id, WorkState.FAILED, error_code=code, error_message=message)

    async def cancel(self, id: str) -> RunRecord:
        """Note that somebody no longer wanted the result."""
        return await self._end(id, WorkState.CANCELLED)

    async def get(self, id: str) -> RunRecord:
        """One run. Raises NotFound."""
        async with self._database.read() as session:
            return as_record(RunRecord, await _row(session, id))

    async def list(
        self,
        *,
        page: int = 1,
        limit: int = 50,
        search: str = "",
        state: WorkState | str | None = None,
        kind: str | None = None,
        sort_by: str = "created_at",
        order: str = "desc",
    ) -> Page[RunRecord]:
        """A page of runs, the newest first unless told otherwise; `search` looks in name, text and model.

        Raises ValueError for a page, column or order that does not exist.
        """
        offset, limit = window(page, limit)
        conditions = _conditions(search, state, kind)
        async with self._database.read() as session:
            total = await session.scalar(select(func.count()).select_from(RunRow).where(*conditions))
            query = select(RunRow).where(*conditions).order_by(*_ordering(sort_by, order)).offset(offset).limit(limit)
            items = tuple(as_record(RunRecord, row) for row in await session.scalars(query))
        return Page(items, total or 0, page, limit)

    async def delete(self, id: str) -> tuple[str, ...]:
        """Forget a run, and its jobs with it.

        Returns the artefacts (its result, its jobs' checkpoints) whose folders may be removed now, because nothing
        else refers to them. Raises NotFound.
        """
        async with self._database.write() as session:
            row = await _row(session, id)
            checkpoints = await session.scalars(select(_JOB.checkpoint_id).where(_JOB.run_id == id))
            artefacts = sorted({row.artefact_id, *checkpoints} - {None})
            await session.delete(row)
            await session.flush()
            dropped = [await drop_if_unused(session, artefact) for artefact in artefacts]
        return tuple(id for id in dropped if id is not None)

    async def sweep(self) -> tuple[str, ...]:
        """At a start: runs that were being worked on when the process ended become interrupted; returns their ids."""
        async with self._database.write() as session:
            query = (
                update(RunRow).where(_column("state") == WorkState.RUNNING).values(state=WorkState.INTERRUPTED)
            ).returning(_column("id"))
            return tuple(await session.scalars(query))

    async def _end(self, id: str, state: WorkState, **values: object) -> RunRecord:
        return await self._change(id, state=state, finished_at=self._now(), **values)

    async def _change(self, id: str, **values: object) -> RunRecord:
        async def change(session: AsyncSession) -> RunRecord:
            row = await _row(session, id)
            if row.state not in FINAL_STATES:
                for name, value in values.items():
                    setattr(row, name, value)
            return as_record(RunRecord, row)

        return await self._database.insist(change)


async def _row(session: AsyncSession, id: str) -> RunRow:
    row = await session.scalar(select(RunRow).where(_column("id") == id))
    if row is None:
        raise NotFound("run", id)
    return row


def _column(name: str) -> ColumnElement[Any]:
    return getattr(RunRow, name)


def _conditions(search: str, state: WorkState | str | None, kind: str | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if state is not None:
        conditions.append(_column("state") == WorkState(state))
    if kind is not None:
        conditions.append(_column("kind") == kind)
    if terms := search_terms(search):
        matches = text("SELECT rowid FROM run_search WHERE run_search MATCH :terms").bindparams(terms=terms)
        conditions.append(_column("number").in_(matches.columns(literal_column("rowid"))))
    return conditions


def _ordering(sort_by: str, order: str) -> list[ColumnElement[Any]]:
    if sort_by not in SORTABLE or order not in ("asc", "desc"):
        raise ValueError(f"Runs are sorted by one of {', '.join(SORTABLE)}, asc or desc; got {sort_by!r}, {order!r}.")
    # creation order is the order of numbers: a wall clock that was set back does not reorder anything
    names = ["number"] if sort_by == "created_at" else [sort_by, "number"]
    return [_column(name).asc() if order == "asc" else _column(name).desc() for name in names]
