"""Jobs: work that was accepted, and what became of it, so that nothing accepted is ever forgotten."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from loupe.storage.database import Database
from loupe.storage.paths import new_id
from loupe.storage.records import Page, as_record, window
from loupe.storage.repos.artefacts import drop_if_unused
from loupe.storage.repos.one_row import change_until_ended, columns, find
from loupe.storage.rows import FINAL_STATES, JobRow, WorkState

_JOB = columns(JobRow)

MAX_ATTEMPTS = 2
SORTABLE = ("created_at", "started_at", "finished_at", "name", "kind", "state", "author", "priority")
SEARCHED = ("name", "kind", "author")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job before it is kept; `request` holds whatever its service needs to start it again.

    `id` is given when the job shares it with what it makes, as an analysis does with its run.
    """

    kind: str
    name: str
    request: Mapping[str, Any]
    priority: int = 1
    seed: int = 0
    author: str = ""
    run_id: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it is kept; `attempts` counts starts since it last showed that it gets on.

    `error_more` is what is known of an error beside its code and message; `result` names what was made.
    """

    id: str
    kind: str
    name: str
    author: str
    state: WorkState
    priority: int
    seed: int
    request: dict[str, Any]
    done: int
    total: int | None
    message: str
    attempts: int
    error_code: str | None
    error_message: str | None
    run_id: str | None
    checkpoint_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_more: dict[str, Any] | None = None
    result: Any = None


class JobSweep(NamedTuple):
    """What a start found: jobs that may be started again, and jobs that ended the process twice and are left alone."""

    interrupted: tuple[str, ...]
    parked: tuple[str, ...]


class Jobs:
    """The job table. The first final state wins."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._database = database
        self._now = now

    async def create(self, new: NewJob) -> JobRecord:
        """Accept a job: when this returns, it survives a power cut."""
        values = {**asdict(new), "request": dict(new.request), "id": new.id or new_id()}
        row = JobRow(state=WorkState.QUEUED, done=0, message="", attempts=0, created_at=self._now(), **values)
        async with self._database.write() as session:
            session.add(row)
        return as_record(JobRecord, row)

    async def start(self, id: str) -> JobRecord:
        """Note that the job is being worked on; counts an attempt."""
        async with self._database.write() as session:
            row = await find(session, JobRow, id)
            if row.state not in FINAL_STATES:
                row.state, row.started_at, row.attempts = WorkState.RUNNING, self._now(), row.attempts + 1
            return as_record(JobRecord, row)

    async def pause(self, id: str) -> JobRecord:
        """Note that the job is not resumed until somebody says so, across restarts too."""
        return await self._change(id, state=WorkState.PAUSED)

    async def requeue(self, id: str) -> JobRecord:
        """Line a paused, interrupted or parked job up again, as if it were new."""
        return await self._change(id, state=WorkState.QUEUED, attempts=0)

    async def line_up(self, id: str) -> JobRecord:
        """Line an interrupted job up again after a restart; its attempts still count, so that it can be parked."""
        return await self._change(id, state=WorkState.QUEUED)

    async def interrupt(self, id: str) -> JobRecord:
        """Note that the process ended orderly while the job was worked on: that was no fault of the job."""
        return await self._change(id, state=WorkState.INTERRUPTED, attempts=0)

    async def set_priority(self, id: str, priority: int) -> JobRecord:
        """Note how urgent the job is from now on."""
        return await self._change(id, priority=priority)

    async def progress(self, id: str, *, done: int, total: int | None = None, message: str = "") -> JobRecord:
        """Note how far the job has come."""
        return await self._change(id, done=done, total=total, message=message)

    async def checkpoint(self, id: str, artefact_id: str | None) -> str | None:
        """Note from where the job can be started again (None: from its beginning). It got on, so earlier attempts no
        longer count.

        Returns the former checkpoint's artefact when its folder may be removed.
        """
        async with self._database.write() as session:
            row = await find(session, JobRow, id)
            former, row.checkpoint_id, row.attempts = row.checkpoint_id, artefact_id, 0
            await session.flush()
            return await drop_if_unused(session, former if former != artefact_id else None)

    async def finish(self, id: str, result: Any = None) -> JobRecord:
        """Note that the job is done, and what it made, as plain values."""
        return await self._end(id, WorkState.DONE, result=result)

    async def fail(self, id: str, *, code: str, message: str, **more: Any) -> JobRecord:
        """Note why the job ended without a result; `more` is plain values."""
        told = {"error_code": code, "error_message": message, "error_more": more or None}
        return await self._end(id, WorkState.FAILED, **told)

    async def cancel(self, id: str) -> JobRecord:
        """Note that somebody cancelled it."""
        return await self._end(id, WorkState.CANCELLED)

    async def get(self, id: str) -> JobRecord:
        """One job. Raises NotFound."""
        async with self._database.read() as session:
            return as_record(JobRecord, await find(session, JobRow, id))

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
    ) -> Page[JobRecord]:
        """A page of jobs, the newest first unless told otherwise; `search` looks in name, kind and author.

        Raises ValueError for a page, state, column or order that does not exist.
        """
        offset, limit = window(page, limit)
        conditions = _conditions(search, state, kind)
        async with self._database.read() as session:
            total = await session.scalar(select(func.count()).select_from(JobRow).where(*conditions))
            query = select(JobRow).where(*conditions).order_by(*_ordering(sort_by, order)).offset(offset).limit(limit)
            items = tuple(as_record(JobRecord, row) for row in await session.scalars(query))
        return Page(items, total or 0, page, limit)

    async def counts(self) -> dict[str, int]:
        """How many jobs are in each state that any job is in."""
        async with self._database.read() as session:
            rows = await session.execute(select(_JOB.state, func.count()).group_by(_JOB.state))
            return {state: count for state, count in rows}

    async def unfinished(self) -> tuple[JobRecord, ...]:
        """Accepted jobs that should be worked on (queued or interrupted), in the order they came."""
        wanted = _JOB.state.in_([WorkState.QUEUED, WorkState.INTERRUPTED])
        async with self._database.read() as session:
            rows = await session.scalars(select(JobRow).where(wanted).order_by(_JOB.number))
            return tuple(as_record(JobRecord, row) for row in rows)

    async def sweep(self) -> JobSweep:
        """At a start: what was running when the process ended becomes interrupted, or parked after two attempts."""
        async with self._database.write() as session:
            parked = await self._leave(session, WorkState.PARKED, _JOB.attempts >= MAX_ATTEMPTS)
            interrupted = await self._leave(session, WorkState.INTERRUPTED, _JOB.attempts < MAX_ATTEMPTS)
        return JobSweep(interrupted, parked)

    async def _leave(self, session: AsyncSession, state: WorkState, condition: ColumnElement[bool]) -> tuple[str, ...]:
        was_running = _JOB.state == WorkState.RUNNING
        query = update(JobRow).where(was_running, condition).values(state=state).returning(_JOB.id)
        return tuple(await session.scalars(query))

    async def _end(self, id: str, state: WorkState, **values: object) -> JobRecord:
        return await self._change(id, state=state, finished_at=self._now(), **values)

    async def _change(self, id: str, **values: object) -> JobRecord:
        return await change_until_ended(self._database, JobRow, JobRecord, id, **values)


def _conditions(search: str, state: WorkState | str | None, kind: str | None) -> list[ColumnElement[bool]]:
    conditions = [] if state is None else [_JOB.state == WorkState(state)]
    conditions += [] if kind is None else [_JOB.kind == kind]
    for word in search.split():
        conditions.append(or_(*(_JOB[name].icontains(word, autoescape=True) for name in SEARCHED)))
    return conditions


def _ordering(sort_by: str, order: str) -> list[ColumnElement[Any]]:
    if sort_by not in SORTABLE or order not in ("asc", "desc"):
        raise ValueError(f"Jobs are sorted by one of {', '.join(SORTABLE)}, asc or desc; got {sort_by!r}, {order!r}.")
    names = ["number"] if sort_by == "created_at" else [sort_by, "number"]
    return [_JOB[name].asc() if order == "asc" else _JOB[name].desc() for name in names]
