"""Runs as CSV: one row per position, for spreadsheets, and back again without loss.

Three columns are text, every other cell is JSON, and an empty cell is an absent value. A text that a spreadsheet
would take for a formula, and one that is empty or begins with an apostrophe, gets an apostrophe in front; reading takes
it off. The head of the run stands in the first row, in a last column of its own.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from loupe.app.services.run_files.document import VERSION, Document, Problem, Row, assembled, check_head, check_row
from loupe.app.services.run_files.older import read as read_bare

TEXT = ("token", "explanation", "raw_output")
FIRST = (
    "position",
    "token",
    "token_id",
    "flags",
    "explanation",
    "fve_nrm",
    "cosine",
    "mse_nrm",
    "mse",
    "relative_rmse",
)
HEAD = "_run"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "|", "%")
BOM = "\ufeff"

csv.field_size_limit(2**31 - 1)  # the default of 128 KiB is less than the metadata of a long run


def write(document: Document) -> bytes:
    """The table, in UTF-8 with the mark by which spreadsheets know it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    columns = columns_of(document.data)
    writer.writerow([_shielded(name) for name in columns] + [HEAD])
    head = orjson.dumps(document.head()).decode()
    for number, row in enumerate(document.data or ({},)):
        writer.writerow([_cell(name, row[name]) if name in row else "" for name in columns] + [head * (number == 0)])
    return (BOM + out.getvalue()).encode()


def read(text: str) -> Document:
    """The run of a table. Raises Problem with the line."""
    lines = csv.reader(io.StringIO(text.removeprefix(BOM), newline=""), strict=True)
    try:
        columns = [_bared(name) or "" for name in next(lines, [])]
        table = [(lines.line_num, cells) for cells in lines if cells]
    except csv.Error as error:
        raise Problem(f"This is no CSV: {error}.", lines.line_num) from None
    if "position" not in columns:
        raise Problem("The first line names no column `position`.", 1)
    if len(set(columns)) < len(columns):
        raise Problem("A column is named twice.", 1)
    head, rows = {}, []
    for line, cells in table:
        if len(cells) > len(columns):
            raise Problem(f"There are {len(cells)} cells; the first line names {len(columns)} columns.", line)
        row = {name: _value(name, cell, line) for name, cell in zip(columns, cells, strict=False) if cell != ""}
        head = row.pop(HEAD, head)
        if row:
            rows.append((line, row))
    return _document(head, rows)


def columns_of(rows: Iterable[Row]) -> list[str]:
    """Every column that a row has, the well-known ones first."""
    named = dict.fromkeys(name for row in rows for name in row)
    return [name for name in FIRST if name in named or name == "position"] + [n for n in named if n not in FIRST]


def _document(head: Any, rows: Sequence[tuple[int, Row]]) -> Document:
    if not head:
        for line, row in rows:
            check_row(row, line)
        return read_bare([row for _, row in rows])
    if not isinstance(head, dict) or head.get("version") != VERSION:
        raise Problem(f"The head of the run is not of version {VERSION}, which this Loupe reads.", 2)
    run, metadata = check_head(head.get("run"), head.get("metadata"), 2)
    return assembled(run, metadata, [check_row(row, line) for line, row in rows], 2)


def _cell(name: str, value: Any) -> str:
    if name in TEXT and isinstance(value, str):
        return _shielded(value)
    return orjson.dumps(value).decode()


def _value(name: str, cell: str, line: int) -> Any:
    if name in TEXT:
        return _bared(cell)
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError as error:
        raise Problem(f"{name}: {cell[:40]!r} is no JSON value ({error}).", line) from None


def _shielded(text: str) -> str:
    """The text so that no spreadsheet calculates it."""
    return "'" + text if not text or text[0] == "'" or text.lstrip(" ").startswith(FORMULA) else text


def _bared(cell: str) -> str:
    return cell.removeprefix("'")
