"""One row of a table: found by its id, changed until it has ended, put into the bin and taken out of it."""

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from loupe.storage.database import Database
from loupe.storage.errors import NotFound
from loupe.storage.records import as_record
from loupe.storage.rows import FINAL_STATES, DatasetRow, JobRow, Row, RunRow, SaeRow

Table = TypeVar("Table", bound=Row)
Record = TypeVar("Record")


def columns(table: type[Row]) -> ReadOnlyColumnCollection[str, Column[Any]]:
    """The columns of a table, as queries take them."""
    return table.metadata.tables[str(table.__tablename__)].c


async def find(session: AsyncSession, table: type[Table], id: str) -> Table:
    """The row of an id. Raises NotFound, which names the table."""
    row = await session.scalar(select(table).where(columns(table).id == id))
    if row is None:
        raise NotFound(str(table.__tablename__), id)
    return row


async def change_until_ended(
    database: Database, table: type[RunRow] | type[JobRow], record: type[Record], id: str, **values: object
) -> Record:
    """Change what is not in a final state yet, and make room for that on a full disk. Raises NotFound."""

    async def change(session: AsyncSession) -> Record:
        row = await find(session, table, id)
        if row.state not in FINAL_STATES:
            for name, value in values.items():
                setattr(row, name, value)
        return as_record(record, row)

    return await database.insist(change)


async def mark_deleted(
    database: Database, table: type[DatasetRow] | type[SaeRow], record: type[Record], id: str, moment: datetime | None
) -> Record:
    """Put a row into the bin, or with None take it out. Raises NotFound, also when it is there already."""
    async with database.write() as session:
        row = await find(session, table, id)
        if (row.deleted_at is None) is (moment is None):
            raise NotFound(str(table.__tablename__), id)
        row.deleted_at = moment
        await session.flush()
        return as_record(record, row)
