"""Runs as JSON (one document) and as JSONL (a head, then a line per position; several runs one after another)."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from loupe.app.services.run_files import older
from loupe.app.services.run_files.document import FORMAT, VERSION, Document, Problem, assembled, check_head, check_row


class Found(NamedTuple):
    """A JSON value and the line it begins at, from 1."""

    line: int
    value: Any


def write_json(document: Document) -> bytes:
    """One object: the head, and `data`."""
    return orjson.dumps(document.head() | {"data": list(document.data)}) + b"\n"


def write_jsonl(document: Document) -> bytes:
    """The head without rows, then one row per line."""
    return b"".join(orjson.dumps(each) + b"\n" for each in (document.head(), *document.data))


def read(text: str) -> Iterator[Document | Problem]:
    """Every run in a text, and what is wrong with those that are none, in order.

    Understands both of the above, bare results (`{metadata, data}`), and the older viewer's files: transcripts on a
    line each or one after another, bare arrays of rows, and objects of columns.
    """
    pending: _Lines | None = None
    for found in _values(text):
        if isinstance(found, Problem):
            yield found
            continue
        if pending is not None and not _is_head(found.value) and not _is_run(found.value):
            pending.take(found)
            continue
        if pending is not None:
            yield from pending.finished()
            pending = None
        if _is_head(found.value):
            pending = _Lines(found)
        else:
            yield _whole(found)
    if pending is not None:
        yield from pending.finished()


class _Lines:
    """A run that comes line by line."""

    def __init__(self, head: Found) -> None:
        self.head = head
        self.rows: list[dict[str, Any]] = []
        self.problems: list[Problem] = []

    def take(self, found: Found) -> None:
        try:
            self.rows.append(check_row(found.value, found.line))
        except Problem as problem:
            self.problems.append(problem)

    def finished(self) -> Iterator[Document | Problem]:
        yield from self.problems
        if not self.problems:
            yield _caught(self.head, lambda: _assembled(self.head, self.rows))


def _whole(found: Found) -> Document | Problem:
    def read_it() -> Document:
        value = found.value
        if isinstance(value, dict) and value.get("format") == FORMAT:
            return _assembled(found, [check_row(row, found.line) for row in _rows_of(value.get("data"), found.line)])
        return older.read(value, found.line)

    return _caught(found, read_it)


def _caught(found: Found, work: Any) -> Document | Problem:
    try:
        return work()
    except Problem as problem:
        return problem
    except RecursionError:
        return Problem("This is nested too deeply.", found.line)


def _assembled(head: Found, rows: list[dict[str, Any]]) -> Document:
    version = head.value.get("version")
    if version != VERSION:
        raise Problem(f"The format is version {version!r}; this Loupe reads version {VERSION}.", head.line)
    run, metadata = check_head(head.value.get("run"), head.value.get("metadata"), head.line)
    return assembled(run, metadata, rows, head.line)


def _rows_of(rows: Any, line: int) -> list[Any]:
    if not isinstance(rows, list):
        raise Problem("data is not a list of rows.", line)
    return rows


def _is_head(value: Any) -> bool:
    return isinstance(value, dict) and value.get("format") == FORMAT and not {"data", "position"} & value.keys()


def _is_run(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and "data" in value and "position" not in value)


def _values(text: str) -> Iterator[Found | Problem]:
    """JSON values in a text: one per line where every line is one, else one after another."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) > 1 and _parsed(lines[0][1]) is not _NOTHING:
        for number, line in lines:
            value = _parsed(line)
            yield Problem(_why(line), number) if value is _NOTHING else Found(number, value)
        return
    yield from _concatenated(text)


_NOTHING = object()
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)  # NaN and infinity say nothing


def _parsed(line: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        value, end = _DECODER.raw_decode(line.strip())
    except (json.JSONDecodeError, RecursionError):
        return _NOTHING
    return value if end == len(line.strip()) else _NOTHING


def _why(line: str) -> str:
    try:
        _, end = _DECODER.raw_decode(line.strip())
    except json.JSONDecodeError as error:
        return f"This is no JSON: {error.msg} at character {error.colno}."
    except RecursionError:
        return "This is nested too deeply."
    return f"Something follows the JSON value at character {end + 1}."


def _concatenated(text: str) -> Iterator[Found | Problem]:
    at, line = 0, 1
    while (start := _next(text, at)) < len(text):
        line += text.count("\n", at, start)
        try:
            value, at = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            yield Problem(f"This is no JSON: {error.msg} at character {error.colno}.", error.lineno)
            return
        except RecursionError:
            yield Problem("This is nested too deeply.", line)
            return
        yield Found(line, value)
        line += text.count("\n", start, at)


def _next(text: str, at: int) -> int:
    """The next character that is neither white space nor a comma between values."""
    while at < len(text) and text[at] in " \t\r\n,\ufeff":
        at += 1
    return at
