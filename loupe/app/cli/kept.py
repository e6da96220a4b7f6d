"""What nouns do alike on the command line: list, show, delete into a bin, bring back."""

from collections.abc import Callable, Sequence
from typing import Any

from loupe.app.cli.client import open_client
from loupe.app.cli.output import out, print_json, print_table
from loupe.app.plain import plain
from loupe.app.settings import Settings


def list_kept(
    noun: str,
    columns: Sequence[str],
    cells: Callable[[dict[str, Any]], Sequence[str]],
    *,
    as_json: bool,
    empty: str = "Nothing here.",
    **query: Any,
) -> None:
    """All of a noun that answer the query, such as `search` or `deleted`, as a table."""
    with open_client(Settings()) as client:
        rows = client.every(f"/{noun}", **query)
    if as_json:
        print_json(rows)
        return
    print_table(columns, [cells(row) for row in rows], empty=empty)


def show_kept(noun: str, id: str, *, as_json: bool) -> None:
    """Everything that is known of one."""
    with open_client(Settings()) as client:
        found = client.get(f"/{noun}/{id}")["data"]
    if as_json:
        print_json(found)
        return
    print_table(("", ""), [(name, plain(str(value))) for name, value in found.items()], empty="")


def delete_kept(noun: str, id: str, *, as_json: bool) -> None:
    """Put one into the bin, and say how it comes back."""
    with open_client(Settings()) as client:
        gone = client.delete(f"/{noun}/{id}")["data"]
    print_json(gone) if as_json else out.print(f"{id} is in the bin; `loupe {noun} restore {id}` brings it back")


def restore_kept(noun: str, id: str, *, as_json: bool) -> None:
    """Take one out of the bin."""
    with open_client(Settings()) as client:
        back = client.post(f"/{noun}/{id}/restore")["data"]
    print_json(back) if as_json else out.print(f"[green]{id}[/] is back")
