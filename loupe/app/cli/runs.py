"""`loupe runs`: list, show, export, repeat, delete."""

from typing import Annotated

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.output import out, print_json, print_table
from loupe.app.settings import Settings

app = typer.Typer(help="Saved runs.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(help="Id from `loupe runs list`.")]


@app.command("list")
def list_runs(
    search: Annotated[str, typer.Option(help="Words to look for in name, text and model.")] = "",
    page: Annotated[int, typer.Option(help="Page, from 1.")] = 1,
    limit: Annotated[int, typer.Option(help="Runs per page.")] = 50,
    as_json: Json = False,
) -> None:
    """Runs, the newest first."""
    with open_client(Settings()) as client:
        answer = client.get("/runs", search=search, page=page, limit=limit)
    if as_json:
        print_json({"data": answer["data"], "pagination": answer["pagination"]})
        return
    rows = [
        (r["id"], r["state"], r["created_at"][:19].replace("T", " "), r["model"], _fve(r), r["name"])
        for r in answer["data"]
    ]
    print_table(("id", "state", "created (UTC)", "model", "mean fve_nrm", "name"), rows, empty="There is no run yet.")


@app.command("show")
def show(id: Id, as_json: Json = False) -> None:
    """The record of a run: everything needed to repeat it."""
    with open_client(Settings()) as client:
        record = client.get(f"/runs/{id}")["data"]
    if as_json:
        print_json(record)
        return
    print_table(("", ""), [(k, v) for k, v in record.items() if k != "token_ids"], empty="")


@app.command("export")
def export(id: Id) -> None:
    """The result as JSON, {metadata, data}, on standard output."""
    with open_client(Settings()) as client:
        print_json(client.get_raw(f"/runs/{id}/result"))


@app.command("delete")
def delete(
    id: Id, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: Json = False
) -> None:
    """Delete a run and its result."""
    if not yes:
        typer.confirm(f"Delete run {id}?", abort=True, err=True)
    with open_client(Settings()) as client:
        gone = client.delete(f"/runs/{id}")["data"]
    if as_json:
        print_json(gone)
    else:
        out.print(f"deleted {id}")


def _fve(row: dict) -> str:
    value = (row.get("summary") or {}).get("fve_nrm")
    return "" if value is None else f"{value:.3f}"
