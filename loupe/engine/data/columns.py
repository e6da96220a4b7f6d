"""Which column of a table is the text, or the chat; and what a table looks like before it is chosen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from loupe.engine.data.chats import ALPACA, CHAT_COLUMNS, Message, alpaca, as_messages, looks_like_chat
from loupe.engine.data.tables import Row
from loupe.engine.errors import BrokenText, EmptyDataset, WrongColumn
from loupe.engine.models.tokens import whole_text

TEXT_COLUMNS = ("text", "content", "document", "article", "story", "passage", "body", "sentence")
ALPACA_COLUMN = "instruction + output"
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Column:
    """A column as a preview shows it: its name, "text", "chat" or "other", and the beginning of its first cells."""

    name: str
    kind: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TablePreview:
    """The columns of a table, its first rows, and which column would be taken."""

    columns: tuple[Column, ...]
    chosen: str | None


def preview(rows: Iterable[Row], count: int = 5) -> TablePreview:
    """Look at the first rows. Raises EmptyDataset when there are none."""
    first = [row.values for row in islice(rows, count)]
    if not first:
        raise EmptyDataset("There is no row in it.")
    names = list(dict.fromkeys(name for values in first for name in values))
    columns = [_column(name, [values.get(name) for values in first]) for name in names]
    if set(ALPACA) <= set(names):
        columns.append(Column(ALPACA_COLUMN, "chat", ()))
    return TablePreview(tuple(columns), _chosen(columns))


def _column(name: str, cells: Sequence[Any]) -> Column:
    there = [cell for cell in cells if cell is not None]
    kind = "other"
    if there and all(isinstance(cell, str) for cell in there):
        kind = "text"
    elif there and all(looks_like_chat(cell) for cell in there):
        kind = "chat"
    return Column(name, kind, tuple(_shown(cell) for cell in there))


def _shown(cell: Any) -> str:
    text = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _chosen(columns: Sequence[Column]) -> str | None:
    kinds = {column.name: column.kind for column in columns}
    for name in (*CHAT_COLUMNS, *TEXT_COLUMNS, ALPACA_COLUMN):
        if kinds.get(name) in ("text", "chat"):
            return name
    usable = [name for name, kind in kinds.items() if kind != "other"]
    return usable[0] if len(usable) == 1 else None


def document_of(row: Row, column: str, *, chat: bool, where: str) -> str | list[Message] | None:
    """The text or chat of one row; None where the cell is empty. Raises WrongColumn, BrokenText."""
    place = f"Row {row.number} of {where}"
    if column == ALPACA_COLUMN:
        return alpaca(row.values, place)
    if column not in row.values:
        raise WrongColumn(f"{place} has no column {column!r}; it has {_some(row.values)}.")
    cell = row.values[column]
    if cell is None or cell in ("", []):
        return None
    if chat:
        return [{**turn, "content": _whole(turn["content"], place)} for turn in as_messages(cell, place)]
    if not isinstance(cell, str):
        raise WrongColumn(
            f"Column {column!r} holds a {type(cell).__name__} in row {row.number} of {where}, not text. "
            f"Choose another of {_some(row.values)}."
        )
    return _whole(cell, place) if cell.strip() else None


def _whole(text: str, place: str) -> str:
    try:
        return whole_text(text)
    except BrokenText as error:
        raise BrokenText(f"{place}: {error}") from error


def _some(values: Mapping[str, Any]) -> str:
    names = list(values)
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
