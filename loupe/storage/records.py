"""From rows to what the rest of the program sees: frozen records, and pages of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

from loupe.storage.rows import Row, WorkState

Record = TypeVar("Record")

MAX_PAGE = 500


@dataclass(frozen=True, slots=True)
class Page(Generic[Record]):
    """Some of the records: page `page` (from 1) of `limit` each, out of `total`."""

    items: tuple[Record, ...]
    total: int
    page: int
    limit: int

    @property
    def has_next(self) -> bool:
        """Whether a further page has records."""
        return self.page * self.limit < self.total


def as_record(kind: type[Record], row: Row) -> Record:
    """A frozen dataclass from the columns of the same names."""
    return kind(**{each.name: _frozen(each.name, getattr(row, each.name)) for each in fields(kind)})  # type: ignore[arg-type]  # every record kind is a dataclass


def _frozen(name: str, value: object) -> object:
    if name == "state":
        return WorkState(str(value))
    return tuple(value) if isinstance(value, list) else value


def window(page: int, limit: int) -> tuple[int, int]:
    """Offset and limit of a page. Raises ValueError when there can be no such page."""
    if page < 1 or not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"page must be 1 or more and limit between 1 and {MAX_PAGE}; got page {page}, limit {limit}.")
    return (page - 1) * limit, limit


def search_terms(text: str) -> str:
    """A full-text query that means exactly the words of `text`, the last one as a beginning; "" when it has none.

    Each term is quoted, so that no sign in it is taken for an operator.
    """
    words = [word.replace('"', '""').replace("\x00", "") for word in text.split()]
    words = [word for word in words if any(character.isalnum() for character in word)]
    return " ".join(f'"{word}"' for word in words) + "*" if words else ""


def without_nothing(values: Mapping[str, object]) -> dict[str, object]:
    """Only the entries that say something."""
    return {name: value for name, value in values.items() if value is not None}
