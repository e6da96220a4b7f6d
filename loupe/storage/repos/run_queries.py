"""How lists of runs are asked for: filters, orders, and what depends on a run."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, ForeignKey, func, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from loupe.storage.records import search_terms
from loupe.storage.repos.one_row import columns
from loupe.storage.rows import RUN_ORDERS, Row, RunRow, WorkState

_RUN = columns(RunRow)

SORTABLE = ("created_at", *RUN_ORDERS)
SHOWN_DEPENDANTS = 20


class RunFilter(NamedTuple):
    """Which runs are wanted; None and "" mean all. `deleted` chooses those in the bin instead of the kept ones."""

    search: str = ""
    state: WorkState | str | None = None
    kind: str | None = None
    model: str | None = None
    author: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Dependant:
    """Something that refers to a run: the table it is in, how many there are, and the names of the first ones.

    `goes_too` are removed for good with the run; the others stay and lose the link.
    """

    kind: str
    goes_too: bool
    count: int
    names: tuple[str, ...]


def conditions(wanted: RunFilter) -> list[ColumnElement[bool]]:
    """A filter as conditions. Raises ValueError for a state that does not exist."""
    deleted_at = _RUN.deleted_at
    found: list[ColumnElement[bool]] = [deleted_at.is_not(None) if wanted.deleted else deleted_at.is_(None)]
    if wanted.state is not None:
        found.append(_RUN.state == WorkState(wanted.state))
    found += [
        _RUN[name] == value for name in ("kind", "model", "author") if (value := getattr(wanted, name)) is not None
    ]
    if terms := search_terms(wanted.search):
        matches = text("SELECT rowid FROM run_search WHERE run_search MATCH :terms").bindparams(terms=terms)
        found.append(_RUN.number.in_(matches.columns(literal_column("rowid"))))
    return found


def ordering(sort_by: str, order: str) -> list[ColumnElement[Any]]:
    """Columns to sort by. Raises ValueError for a column or order that does not exist."""
    if sort_by not in SORTABLE or order not in ("asc", "desc"):
        raise ValueError(f"Runs are sorted by one of {', '.join(SORTABLE)}, asc or desc; got {sort_by!r}, {order!r}.")
    # creation order is the order of numbers: a wall clock that was set back does not reorder anything
    names = ["number"] if sort_by == "created_at" else [sort_by, "number"]
    return [_RUN[name].asc() if order == "asc" else _RUN[name].desc() for name in names]


async def dependants(session: AsyncSession, id: str) -> tuple[Dependant, ...]:
    """Every row that refers to a run, by table, so that a new table cannot be forgotten here."""
    found = []
    for table in Row.metadata.sorted_tables:
        for key in table.foreign_keys:
            if key.column is RunRow.__table__.c.id:  # pyright: ignore[reportAttributeAccessIssue] - every table class has one
                found.append(await _referring(session, key, id))
    return tuple(each for each in found if each.count)


async def _referring(session: AsyncSession, key: ForeignKey, id: str) -> Dependant:
    table, refers = key.parent.table, key.parent == id
    wanted = [refers, table.c.deleted_at.is_(None)] if "deleted_at" in table.c else [refers]
    count = await session.scalar(select(func.count()).select_from(table).where(*wanted)) or 0
    label = table.c.name if "name" in table.c else table.c.number
    names = await session.scalars(select(label).where(*wanted).order_by(table.c.number).limit(SHOWN_DEPENDANTS))
    return Dependant(table.name, key.ondelete == "CASCADE", count, tuple(map(str, names)))
