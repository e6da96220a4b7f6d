"""Paged lists: what `page, limit, search, sortBy, order` ask for, and how a list that is in memory answers them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import BaseModel

from loupe.app.api.envelope import Page, page_of
from loupe.engine.errors import BadOption

NATURAL = "created_at"  # the default of sortBy; a list whose rows have no such column stays in its own order


class Listing(BaseModel):
    """Which page of a list."""

    page: int = 1
    limit: int = 50
    search: str = ""
    sort_by: str = NATURAL
    order: Literal["asc", "desc"] = "desc"


def listing(
    page: Annotated[int, Query(ge=1, le=1_000_000, description="Page, from 1.")] = 1,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows of a page.")] = 50,
    search: Annotated[str, Query(max_length=200, description="Words to look for.")] = "",
    sort_by: Annotated[str, Query(alias="sortBy", max_length=40, description="Column to sort by.")] = NATURAL,
    order: Annotated[Literal["asc", "desc"], Query(description="Direction of the sort.")] = "desc",
) -> Listing:
    """`page, limit, search, sortBy, order`."""
    return Listing(page=page, limit=limit, search=search, sort_by=sort_by, order=order)


Wanted = Annotated[Listing, Depends(listing)]


def page_from(rows: Sequence[dict[str, Any]], wanted: Listing, *, sortable: Sequence[str]) -> Page[dict[str, Any]]:
    """One page of rows that are all in memory. Raises BadOption for a column that is not sortable.

    Every word of the search must occur somewhere in a row's texts. Rows without the sorted column come last.
    """
    words = wanted.search.casefold().split()
    found = [row for row in rows if not words or _mentions(row, words)]
    if wanted.sort_by in sortable:
        found = _sorted(found, wanted.sort_by, backwards=wanted.order == "desc")
    elif wanted.sort_by != NATURAL:
        raise BadOption(f"Rows cannot be sorted by {wanted.sort_by!r}. Choose one of {', '.join(sortable)}.")
    first = (wanted.page - 1) * wanted.limit
    return page_of(found[first : first + wanted.limit], page=wanted.page, limit=wanted.limit, total=len(found))


def _mentions(row: dict[str, Any], words: list[str]) -> bool:
    text = "\n".join(value for value in row.values() if isinstance(value, str)).casefold()
    return all(word in text for word in words)


def _sorted(rows: list[dict[str, Any]], column: str, *, backwards: bool) -> list[dict[str, Any]]:
    known = [row for row in rows if row.get(column) is not None]
    unknown = [row for row in rows if row.get(column) is None]
    return sorted(known, key=lambda row: _key(row[column]), reverse=backwards) + unknown


def _key(value: Any) -> tuple[bool, Any]:
    is_text = not isinstance(value, int | float)
    return is_text, str(value).casefold() if is_text else value
