"""`loupe runs`: list, show, rename, export, import, compare, repeat, delete, restore."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from loupe.app.cli.client import Client, Refused, open_client
from loupe.app.cli.comparison import print_comparison
from loupe.app.cli.following import finished
from loupe.app.cli.output import Json, err, out, print_json, print_table, print_written
from loupe.app.cli.sending import PIECE_BYTES, send_file
from loupe.app.plain import plain
from loupe.app.services.exports import Format
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption

app = typer.Typer(help="Saved runs.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id from `loupe runs list`.")]
Filter = Annotated[str | None, typer.Option(help="Only those.")]
BINARY = {Format.PARQUET}


@app.command("list")
def list_runs(
    search: Annotated[str, typer.Option(help="Words to look for in name, text and model.")] = "",
    model: Filter = None,
    author: Filter = None,
    state: Filter = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that can be restored.")] = False,
    sort_by: Annotated[str, typer.Option(help="created_at, finished_at, name, model, author or state.")] = "created_at",
    order: Annotated[str, typer.Option(help="asc or desc.")] = "desc",
    page: Annotated[int, typer.Option(help="Page, from 1.")] = 1,
    limit: Annotated[int, typer.Option(help="Runs per page.")] = 50,
    as_json: Json = False,
) -> None:
    """Runs, the newest first."""
    wanted = {"search": search, "page": page, "limit": limit, "sortBy": sort_by, "order": order}
    chosen = {"model": model, "author": author, "state": state, "deleted": deleted}
    with open_client(Settings()) as client:
        answer = client.get("/runs", **wanted, **chosen)
    if as_json:
        print_json({"data": answer["data"], "pagination": answer["pagination"]})
        return
    rows = [
        (r["id"], r["state"], _moment(r), r.get("model"), r.get("author", ""), _fve(r), r["name"])
        for r in answer["data"]
    ]
    columns = ("id", "state", "created (UTC)", "model", "author", "mean fve_nrm", "name")
    print_table(columns, rows, empty="There is no such run.")
    if answer["pagination"]["has_next"]:
        err.print(f"{answer['pagination']['total']} in all; the next are on --page {page + 1}.")


@app.command("show")
def show(id: Id, as_json: Json = False) -> None:
    """The record of a run: everything needed to repeat it."""
    with open_client(Settings()) as client:
        record = client.get(f"/runs/{id}")["data"]
    if as_json:
        print_json(record)
        return
    print_table(("", ""), [(k, v) for k, v in record.items() if k != "token_ids"], empty="")


@app.command("rename")
def rename(id: Id, name: Annotated[str, typer.Argument(help="What to call it.")], as_json: Json = False) -> None:
    """Give a run another name."""
    with open_client(Settings()) as client:
        record = client.patch(f"/runs/{id}", {"name": name})["data"]
    _told(record, f"{id} is called {plain(record['name'])}", as_json)


@app.command("export")
def export(
    id: Id,
    format: Annotated[Format, typer.Option(help="json, jsonl, csv, parquet or html.")] = Format.JSON,
    output: Annotated[str, typer.Option("--output", "-o", help="A file, a folder, or - for standard output.")] = "-",
    as_json: Json = False,
) -> None:
    """A run as a file. All formats but html can be imported again; --json tells where it went."""
    if output == "-" and as_json and format is not Format.JSON:
        raise BadOption(f"With --json, standard output is for JSON and not for {format}. Name a file with --output.")
    if output == "-" and format in BINARY and sys.stdout.isatty():
        raise BadOption(f"{format} is not for a terminal. Name a file with --output.")
    with open_client(Settings()) as client:
        name, content = client.get_file(f"/runs/{id}/export", format=format.value)
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    path = Path(output).expanduser()
    target = path / name if path.is_dir() else path
    target.write_bytes(content)
    print_written(target, as_json=as_json)


@app.command("import")
def import_runs(
    file: Annotated[Path, typer.Argument(help="JSON, JSONL, CSV, Parquet, or the older viewer's JSONL.")],
    as_json: Json = False,
) -> None:
    """Take in every run of a file, or none of them."""
    if not file.is_file():
        raise BadOption(f"There is no file {file}.")
    with open_client(Settings()) as client:
        try:
            taken = _sent(client, file, quiet=as_json)
        except Refused as refused:
            for each in [] if as_json else refused.problem.get("details", {}).get("lines", []):
                err.print(f"{file.name}:{each.get('line') or '?'}: {plain(each['problem'])}", markup=False)
            raise
    if as_json:
        print_json(taken)
        return
    rows = [(run["id"], (run.get("summary") or {}).get("positions"), run["name"]) for run in taken["runs"]]
    print_table(("id", "positions", "name"), rows, empty="")


@app.command("compare")
def compare(
    a: Annotated[str, typer.Argument(help="Id of a run, or sample:ID.")],
    b: Annotated[str, typer.Argument(help="Id of the other.")],
    everything: Annotated[bool, typer.Option("--all", help="Also the places that are equal.")] = False,
    as_json: Json = False,
) -> None:
    """Two runs side by side: what was asked differently, and what came out differently."""
    with open_client(Settings()) as client:
        found = client.get("/runs/compare", a=a, b=b, changed=not everything)["data"]
    print_json(found) if as_json else print_comparison(found)


@app.command("repeat")
def repeat(id: Id, as_json: Json = False) -> None:
    """Run it again with the same options and seed, and say what differs."""
    with open_client(Settings()) as client:
        fresh = client.post(f"/runs/{id}/repeat")["data"]["id"]
        finished(client, fresh, title="repeating", quiet=as_json)
        found = client.get("/runs/compare", a=id, b=fresh, changed=True)["data"]
    print_json(found) if as_json else print_comparison(found)


@app.command("delete")
def delete(
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    forever: Annotated[bool, typer.Option("--forever", help="At once and for good.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a run. It can be restored for some days."""
    with open_client(Settings()) as client:
        if not yes:
            for each in client.get(f"/runs/{id}/dependants")["data"]:
                fate = "goes with it" if each["goes_too"] else "stays and loses the link"
                named = ", ".join(map(plain, each["names"]))
                err.print(f"{each['count']} {each['kind']} ({named}) {fate}", markup=False)
            typer.confirm(f"Delete run {id}{' for good' if forever else ''}?", abort=True, err=True)
        gone = client.delete(f"/runs/{id}", forever=forever)["data"]
    until = f"; `loupe runs restore {id}` brings it back until {gone['gone_at'][:10]}" if "gone_at" in gone else ""
    _told(gone, f"deleted {id}{until}", as_json)


@app.command("restore")
def restore(id: Id, as_json: Json = False) -> None:
    """Bring a deleted run back."""
    with open_client(Settings()) as client:
        record = client.post(f"/runs/{id}/restore")["data"]
    _told(record, f"restored {id}", as_json)


def _sent(client: Client, file: Path, *, quiet: bool) -> dict[str, Any]:
    """The runs of a file: a small one goes in one body, a large one in pieces, which a job then reads."""
    if file.stat().st_size <= PIECE_BYTES:
        return client.post_file("/runs/import", file.read_bytes(), file=file.name)["data"]
    begun = client.post("/runs/imports", {"upload": send_file(client, file, quiet=quiet)})["data"]
    job = finished(client, begun["job_id"], title=file.name, quiet=quiet)
    ids = job["result"]["runs"]
    return {"ids": ids, "runs": [client.get(f"/runs/{id}")["data"] for id in ids]}


def _told(value: dict[str, Any], sentence: str, as_json: bool) -> None:
    print_json(value) if as_json else out.print(sentence, markup=False)


def _moment(row: dict[str, Any]) -> str:
    return row["created_at"][:19].replace("T", " ")


def _fve(row: dict[str, Any]) -> str:
    value = (row.get("summary") or {}).get("fve_nrm")
    return "" if value is None else f"{value:.3f}"
