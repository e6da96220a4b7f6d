"""The lines that jobs left: bounded for each job, and gone with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from loupe.storage.database import Database
from loupe.storage.records import as_record
from loupe.storage.repos.one_row import columns
from loupe.storage.rows import LogRow

_LOG = columns(LogRow)

KEPT = 500
LONGEST = 2000


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a job had to say, and when."""

    at: datetime
    level: str
    message: str


class Logs:
    """The log table: the newest `KEPT` lines of each job, each cut at `LONGEST` characters."""

    def __init__(self, database: Database):
        self._database = database

    async def add(self, job_id: str, lines: Sequence[LogLine]) -> None:
        """Append lines and let the oldest beyond the bound go. Does nothing for no lines."""
        if not lines:
            return
        rows = [
            {"job_id": job_id, "at": line.at, "level": line.level, "message": line.message[:LONGEST]} for line in lines
        ]

        async def append(session: AsyncSession) -> None:
            await session.execute(insert(LogRow), rows)
            mine = select(_LOG.number).where(_LOG.job_id == job_id)
            beyond = mine.order_by(_LOG.number.desc()).offset(KEPT)
            await session.execute(delete(LogRow).where(_LOG.number.in_(beyond)))

        await self._database.insist(append)

    async def of(self, job_id: str, *, after: int = 0, limit: int = KEPT) -> tuple[LogLine, ...]:
        """A job's lines, the oldest first: at most `limit`, without the first `after`."""
        mine = select(LogRow).where(_LOG.job_id == job_id).order_by(_LOG.number)
        async with self._database.read() as session:
            rows = await session.scalars(mine.offset(after).limit(limit))
            return tuple(as_record(LogLine, row) for row in rows)
