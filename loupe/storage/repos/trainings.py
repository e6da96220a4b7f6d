"""What trainings leave while they run: the points of their curves, and their checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert

from loupe.storage.artefacts import Artefact
from loupe.storage.database import Database
from loupe.storage.paths import new_id
from loupe.storage.records import as_record
from loupe.storage.repos.artefacts import drop_all_unused, drop_if_unused, row_of
from loupe.storage.repos.one_row import columns, find
from loupe.storage.rows import CheckpointRow, JobRow, PointRow

_POINT, _CHECKPOINT = columns(PointRow), columns(CheckpointRow)


class Point(NamedTuple):
    """One point of the curves of one SAE; `kind` is "measures" while training, "evaluation" for held-out text."""

    sae: str
    kind: str
    step: int
    measured: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A checkpoint that a training can go on from; `kept` ones are never pruned by themselves."""

    id: str
    job_id: str
    step: int
    artefact_id: str
    size: int
    kept: bool
    created_at: datetime


class Trainings:
    """Points and checkpoints, by the id of the training's job."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._database = database
        self._now = now

    async def add_points(self, job_id: str, points: Sequence[Point]) -> None:
        """Keep points; one that is there already (a step done again after a restart) is replaced."""
        if not points:
            return
        rows = [{"job_id": job_id, **point._asdict(), "measured": dict(point.measured)} for point in points]
        statement = insert(PointRow)
        statement = statement.on_conflict_do_update(
            index_elements=["job_id", "sae", "kind", "step"], set_={"measured": statement.excluded["measured"]}
        )
        async with self._database.write() as session:
            await session.execute(statement, rows)

    async def points(self, job_id: str, *, kind: str = "measures", after: int = -1) -> tuple[Point, ...]:
        """The points after a step, by step and SAE."""
        query = (
            select(PointRow)
            .where(_POINT.job_id == job_id, _POINT.kind == kind, _POINT.step > after)
            .order_by(_POINT.step, _POINT.number)
        )
        async with self._database.read() as session:
            rows = await session.scalars(query)
            return tuple(Point(row.sae, row.kind, row.step, row.measured) for row in rows)

    async def last_points(self, job_ids: Sequence[str], *, kind: str = "measures") -> dict[str, list[Point]]:
        """The newest point of every SAE of several trainings, by job."""
        newest = (
            select(
                _POINT.job_id,
                _POINT.sae,
                func.max(_POINT.number).label("number"),
            )
            .where(_POINT.job_id.in_(job_ids), _POINT.kind == kind)
            .group_by(_POINT.job_id, _POINT.sae)
            .subquery()
        )
        query = select(PointRow).join(newest, _POINT.number == newest.c.number).order_by(_POINT.number)
        found: dict[str, list[Point]] = {}
        async with self._database.read() as session:
            for row in await session.scalars(query):
                found.setdefault(row.job_id, []).append(Point(row.sae, row.kind, row.step, row.measured))
        return found

    async def rewind(self, job_id: str, step: int) -> None:
        """Forget the points after a step: the training goes on from there and will make them again."""
        async with self._database.write() as session:
            await session.execute(delete(PointRow).where(_POINT.job_id == job_id, _POINT.step > step))

    async def add_checkpoint(self, job_id: str, step: int, artefact: Artefact) -> CheckpointRecord:
        """Record a finished checkpoint, its artefact with it; an older one of the same step stays until pruned."""
        row = CheckpointRow(
            id=new_id(), job_id=job_id, step=step, artefact_id=artefact.id, size=artefact.size, kept=False,
            created_at=self._now(),
        )  # fmt: skip
        async with self._database.write() as session:
            session.add(row_of(artefact))
            await session.flush()
            session.add(row)
            await session.flush()
            return as_record(CheckpointRecord, row)

    async def checkpoints(self, job_id: str) -> tuple[CheckpointRecord, ...]:
        """The checkpoints of a training, the newest first."""
        query = (
            select(CheckpointRow)
            .where(_CHECKPOINT.job_id == job_id)
            .order_by(_CHECKPOINT.step.desc(), _CHECKPOINT.number.desc())
        )
        async with self._database.read() as session:
            return tuple(as_record(CheckpointRecord, row) for row in await session.scalars(query))

    async def checkpoint(self, id: str) -> CheckpointRecord:
        """One checkpoint. Raises NotFound."""
        async with self._database.read() as session:
            return as_record(CheckpointRecord, await find(session, CheckpointRow, id))

    async def mark(self, id: str, *, kept: bool) -> CheckpointRecord:
        """Keep a checkpoint for good, or leave it to pruning again. Raises NotFound."""
        async with self._database.write() as session:
            row = await find(session, CheckpointRow, id)
            row.kept = kept
            await session.flush()
            return as_record(CheckpointRecord, row)

    async def delete_checkpoint(self, id: str) -> str | None:
        """Forget a checkpoint; returns the artefact whose folder may go. Raises NotFound."""
        async with self._database.write() as session:
            row = await find(session, CheckpointRow, id)
            await session.delete(row)
            await session.flush()
            return await drop_if_unused(session, row.artefact_id)

    async def delete(self, job_id: str) -> tuple[str, ...]:
        """Forget a training with its log, points and checkpoints; returns the artefacts whose folders may go.

        Its SAEs stay. Raises NotFound.
        """
        async with self._database.write() as session:
            job = await find(session, JobRow, job_id)
            query = select(_CHECKPOINT.artefact_id).where(_CHECKPOINT.job_id == job_id)
            artefacts = [*await session.scalars(query), job.checkpoint_id]
            await session.delete(job)
            await session.flush()
            return await drop_all_unused(session, artefacts)

    async def prune(self, job_id: str, newest: int) -> tuple[str, ...]:
        """Forget all but the newest checkpoints and those kept; returns the artefacts whose folders may go."""
        old = [each for each in (await self.checkpoints(job_id))[newest:] if not each.kept]
        dropped = [await self.delete_checkpoint(each.id) for each in old]
        return tuple(artefact for artefact in dropped if artefact is not None)
