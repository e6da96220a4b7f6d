"""`loupe system`: how the process and its machine are, and every setting with its source."""

from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.output import print_json, print_table
from loupe.app.settings import Settings

app = typer.Typer(help="The process and its machine.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("show")
def show(as_json: Json = False) -> None:
    """Device, memory, disk, versions, queue."""
    with open_client(Settings()) as client:
        found = client.get("/system")["data"]
    if as_json:
        print_json(found)
        return
    print_table(("", ""), list(_flat(found)), empty="")


@app.command("settings")
def settings(as_json: Json = False) -> None:
    """Every setting, its value, and where that came from."""
    with open_client(Settings()) as client:
        rows = client.every("/system/settings")
    if as_json:
        print_json(rows)
        return
    print_table(("variable", "value", "source"), [[r["name"], r["value"], r["source"]] for r in rows], empty="")


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, each in value.items():
        rows += _flat(each, f"{prefix}{name}.") if isinstance(each, dict) else [(prefix + name, each)]
    return rows
