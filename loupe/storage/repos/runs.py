"""Runs: what was asked, with everything needed to ask it again, and where the answer lies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, update

from loupe.storage.artefacts import Artefact
from loupe.storage.database import Database
from loupe.storage.paths import new_id
from loupe.storage.records import Page, as_record, window, without_nothing
from loupe.storage.repos.artefacts import drop_all_unused, row_of
from loupe.storage.repos.one_row import change_until_ended, columns, find
from loupe.storage.repos.run_queries import Dependant, RunFilter, conditions, dependants, ordering
from loupe.storage.rows import JobRow, RunRow, WorkState

_RUN, _JOB = columns(RunRow), columns(JobRow)
CHOSEN_BY = ("model", "author", "state")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRun:
    """A run that was made elsewhere and comes with its result; `origin` says where and by whom."""

    new: NewRun
    artefact: Artefact
    summary: Mapping[str, Any]
    origin: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it is kept. `fingerprints` has the sha256 of model, verbalizer, reconstructor and their sidecars.

    `origin` is there for imported runs. A run with `deleted_at` lies in the bin until it is restored or swept.
    """

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
    origin: dict[str, Any] | None
    deleted_at: datetime | None
    deleted_by: str | None


class Runs:
    """The run table. The first final state wins: a run that was cancelled does not become done, nor the reverse."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._database = database
        self._now = now

    async def create(self, new: NewRun) -> RunRecord:
        """Keep a run as queued."""
        row = self._row(new, WorkState.QUEUED)
        async with self._database.write() as session:
            session.add(row)
        return as_record(RunRecord, row)

    async def add(self, made: Sequence[MadeRun]) -> tuple[RunRecord, ...]:
        """Keep runs that are done already, with their artefacts: all of them or none."""
        rows = [
            self._row(
                each.new,
                WorkState.DONE,
                artefact_id=each.artefact.id,
                summary=dict(each.summary),
                origin=dict(each.origin),
                finished_at=self._now(),
            )
            for each in made
        ]
        async with self._database.write() as session:
            session.add_all([row_of(each.artefact) for each in made])
            await session.flush()
            session.add_all(rows)
        return tuple(as_record(RunRecord, row) for row in rows)

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

    async def interrupt(self, id: str) -> RunRecord:
        """Note that the process ended while the run was being made; it may be started again."""
        return await self._change(id, state=WorkState.INTERRUPTED)

    async def get(self, id: str) -> RunRecord:
        """One run. Raises NotFound."""
        async with self._database.read() as session:
            return as_record(RunRecord, await find(session, RunRow, id))

    async def list(
        self,
        *,
        page: int = 1,
        limit: int = 50,
        search: str = "",
        state: WorkState | str | None = None,
        kind: str | None = None,
        model: str | None = None,
        author: str | None = None,
        deleted: bool = False,
        sort_by: str = "created_at",
        order: str = "desc",
    ) -> Page[RunRecord]:
        """A page of runs, the newest first unless told otherwise; `search` looks in name, text and model.

        Either those that are kept, or with `deleted` those in the bin. Raises ValueError for a page, column, state or
        order that does not exist.
        """
        offset, limit = window(page, limit)
        chosen = conditions(RunFilter(search, state, kind, model, author, deleted))
        in_order = ordering(sort_by, order)
        # numbers first: sorting them is reading an index, sorting whole rows would be moving megabytes
        numbers = select(_RUN.number).where(*chosen).order_by(*in_order).offset(offset).limit(limit)
        async with self._database.read() as session:
            total = await session.scalar(select(func.count()).select_from(RunRow).where(*chosen))
            query = select(RunRow).where(_RUN.number.in_(numbers)).order_by(*in_order)
            items = tuple(as_record(RunRecord, row) for row in await session.scalars(query))
        return Page(items, total or 0, page, limit)

    async def choices(self) -> dict[str, dict[str, int]]:
        """By which models, authors and states kept runs can be filtered, and how many runs each has."""
        found: dict[str, dict[str, int]] = {}
        async with self._database.read() as session:
            for name in CHOSEN_BY:
                chosen = _RUN[name]
                query = select(chosen, func.count()).where(_RUN.deleted_at.is_(None)).group_by(chosen)
                found[name] = {value: count for value, count in await session.execute(query)}
        return found

    async def rename(self, id: str, name: str) -> RunRecord:
        """Give a run another name, whatever state it is in. Raises NotFound."""
        return await self._set(id, name=name)

    async def put_in_bin(self, id: str, *, by: str = "") -> RunRecord:
        """Hide a run until it is restored or swept. Raises NotFound."""
        return await self._set(id, deleted_at=self._now(), deleted_by=by)

    async def restore(self, id: str) -> RunRecord:
        """Take a run out of the bin. Raises NotFound."""
        return await self._set(id, deleted_at=None, deleted_by=None)

    async def in_bin_since(self, moment: datetime) -> tuple[str, ...]:
        """The runs that were put into the bin before a moment."""
        async with self._database.read() as session:
            return tuple(await session.scalars(select(_RUN.id).where(_RUN.deleted_at < moment)))

    async def dependants(self, id: str) -> tuple[Dependant, ...]:
        """Whatever refers to a run: its repetitions, its jobs, and what other tables say of it."""
        async with self._database.read() as session:
            await find(session, RunRow, id)
            return await dependants(session, id)

    async def delete(self, id: str) -> tuple[str, ...]:
        """Forget a run, and its jobs with it.

        Returns the artefacts (its result, its jobs' checkpoints) whose folders may be removed now, because nothing
        else refers to them. Raises NotFound.
        """
        async with self._database.write() as session:
            row = await find(session, RunRow, id)
            checkpoints = await session.scalars(select(_JOB.checkpoint_id).where(_JOB.run_id == id))
            artefacts = sorted({row.artefact_id, *checkpoints} - {None})
            await session.delete(row)
            await session.flush()
            return await drop_all_unused(session, artefacts)

    async def sweep(self) -> tuple[str, ...]:
        """At a start: runs that were being worked on when the process ended become interrupted; returns their ids."""
        async with self._database.write() as session:
            query = (
                update(RunRow).where(_RUN.state == WorkState.RUNNING).values(state=WorkState.INTERRUPTED)
            ).returning(_RUN.id)
            return tuple(await session.scalars(query))

    def _row(self, new: NewRun, state: WorkState, **more: Any) -> RunRow:
        values = {**asdict(new), "token_ids": list(new.token_ids), "request": dict(new.request)}
        return RunRow(id=new_id(), state=state, created_at=self._now(), **values, **more)

    async def _set(self, id: str, **values: object) -> RunRecord:
        """Change what may change after the end."""
        async with self._database.write() as session:
            row = await find(session, RunRow, id)
            for name, value in values.items():
                setattr(row, name, value)
            return as_record(RunRecord, row)

    async def _end(self, id: str, state: WorkState, **values: object) -> RunRecord:
        return await self._change(id, state=state, finished_at=self._now(), **values)

    async def _change(self, id: str, **values: object) -> RunRecord:
        return await change_until_ended(self._database, RunRow, RunRecord, id, **values)
