"""What the command line prints: tables and bars for people, one JSON document for programs, errors apart."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from loupe.app.plain import plain

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Meter(Protocol):
    """Something that can be told how far the work is."""

    def __call__(self, done: float, total: float | None, message: str = "") -> None:
        """Show `done` of `total` (None: not known)."""
        ...


def print_json(value: object) -> None:
    """One JSON document on standard output, indented."""
    sys.stdout.buffer.write(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()


def print_line(value: object) -> None:
    """One JSON object on one line, at once: for streams."""
    sys.stdout.buffer.write(orjson.dumps(value, default=str) + b"\n")
    sys.stdout.buffer.flush()


def print_written(file: Path, *, as_json: bool) -> None:
    """Where a file was written; for programs its size in bytes too."""
    if as_json:
        print_json({"path": str(file), "bytes": file.stat().st_size})
    else:
        err.print(f"wrote {file}", markup=False)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A plain table, or a sentence when there is nothing. No cell can colour, clear or reorder a terminal."""
    if not rows:
        out.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        table.add_row(*(Text("" if cell is None else plain(str(cell))) for cell in row))
    out.print(table)


def print_problem(problem: Mapping[str, Any], *, as_json: bool) -> None:
    """An error for whoever asked: JSON on standard output, or one line on standard error."""
    if as_json:
        print_json({"error": dict(problem)})
        return
    sentence = (problem.get("details") or {}).get("sentence", "")
    message = problem.get("message", "")
    err.print(f"[bold red]error[/] {sentence + ' ' if sentence and sentence != message else ''}", end="")
    err.print(message, markup=False)


@contextmanager
def meter(title: str, *, quiet: bool) -> Iterator[Meter]:
    """A progress bar on standard error; silent when asked, or when nobody watches a terminal."""
    if quiet or not err.is_terminal:
        yield lambda done, total, message="": None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(complete_style="green"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=None)

        def show(done: float, total: float | None, message: str = "") -> None:
            progress.update(task, completed=done, total=total, description=message or title)

        yield show
