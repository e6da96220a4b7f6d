"""`loupe datasets`: list, show, create, fetch, tokenise, delete, restore."""

from pathlib import Path
from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.following import finished
from loupe.app.cli.kept import delete_kept, list_kept, restore_kept, show_kept
from loupe.app.cli.output import Json, out, print_json
from loupe.app.cli.sending import send_file
from loupe.app.plain import plain
from loupe.app.settings import Settings

app = typer.Typer(help="Texts to train on, and the token rows they are cut into.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id from `loupe datasets list`.")]


@app.command("list")
def list_datasets(
    search: Annotated[str, typer.Option(help="Part of the name.")] = "",
    deleted: Annotated[bool, typer.Option("--deleted", help="Those in the bin.")] = False,
    as_json: Json = False,
) -> None:
    """Datasets and their token rows."""
    columns = ("id", "name", "source", "documents", "token rows")
    list_kept("datasets", columns, _cells, search=search, deleted=deleted, as_json=as_json)


@app.command("show")
def show(id: Id, as_json: Json = False) -> None:
    """Counts, statistics and token rows of a dataset."""
    show_kept("datasets", id, as_json=as_json)


@app.command("create")
def create(
    path: Annotated[Path, typer.Argument(help="File or folder: txt, jsonl, json, csv, tsv or parquet.")],
    name: Annotated[str, typer.Option(help="What it is called; unset: as the file.")] = "",
    column: Annotated[str | None, typer.Option(help="Column of the text or chat.")] = None,
    split: Annotated[str, typer.Option(help="blank_line, line or file: what separates documents.")] = "blank_line",
    limit: Annotated[int | None, typer.Option(help="Read at most this many documents.")] = None,
    as_json: Json = False,
) -> None:
    """Make a dataset of files on this machine; to a server elsewhere (LOUPE_SERVER) a file is sent in pieces."""
    place = path.expanduser().resolve()
    wanted = {"name": name or path.stem, "column": column, "split": split, "limit": limit}
    with open_client(Settings()) as client:
        source = {"upload": send_file(client, place, quiet=as_json)} if client.far else {"path": str(place)}
        begun = client.post("/datasets", {**wanted, **source})["data"]
        job = finished(client, begun["job_id"], quiet=as_json)
        made = client.get(f"/datasets/{job['result']['dataset']}")["data"]
    print_json(made) if as_json else out.print(f"[green]{made['id']}[/] {job['message']}")


@app.command("fetch")
def fetch(
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")],
    config: Annotated[str | None, typer.Option(help="Which of its configurations.")] = None,
    part: Annotated[str | None, typer.Option(help="Which of its splits, such as train.")] = None,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.")] = "main",
    name: Annotated[str, typer.Option(help="What it is called; unset: as the repository.")] = "",
    column: Annotated[str | None, typer.Option(help="Column of the text or chat.")] = None,
    limit: Annotated[int | None, typer.Option(help="Read at most this many documents.")] = None,
    look: Annotated[bool, typer.Option("--look", help="Only show what there is.")] = False,
    as_json: Json = False,
) -> None:
    """Make a dataset of a repository of the hub, file by file, or look at it."""
    place = {"repo": repo, "revision": revision, "config": config, "part": part}
    wanted = {"name": name or repo.rpartition("/")[2], **place, "column": column, "limit": limit}
    with open_client(Settings()) as client:
        if look:
            print_json(client.post("/datasets/preview", wanted)["data"])
            return
        begun = client.post("/datasets", wanted)["data"]
        job = finished(client, begun["job_id"], quiet=as_json)
        made = client.get(f"/datasets/{job['result']['dataset']}")["data"]
    print_json(made) if as_json else out.print(f"[green]{made['id']}[/] {job['message']}")


@app.command("tokenise")
def tokenise(
    id: Id,
    model: Annotated[str, typer.Option(help="Model whose tokenizer is used.")] = "starter",
    mode: Annotated[str, typer.Option(help="pack or window.")] = "pack",
    max_tokens: Annotated[int, typer.Option(help="Tokens of a row.")] = 128,
    overlap: Annotated[int, typer.Option(help="Tokens a window repeats.")] = 0,
    documents: Annotated[int | None, typer.Option(help="Read at most this many documents.")] = None,
    name: Annotated[str, typer.Option(help="What the rows are called.")] = "",
    as_json: Json = False,
) -> None:
    """Cut a dataset into token rows for one model."""
    wanted = {"model": model, "mode": mode, "max_tokens": max_tokens, "overlap": overlap, "name": name}
    with open_client(Settings()) as client:
        begun = client.post(f"/datasets/{id}/tokenisations", {**wanted, "documents": documents})["data"]
        job = finished(client, begun["job_id"], quiet=as_json)
        rows = client.get(f"/datasets/{id}/tokenisations")["data"]
    made = next(row for row in rows if row["id"] == job["result"]["tokenisation"])
    if as_json:
        print_json(made)
        return
    out.print(f"[green]{made['id']}[/] {made['rows']:,} rows, {made['tokens']:,} tokens")


@app.command("delete")
def delete(id: Id, as_json: Json = False) -> None:
    """Put a dataset into the bin."""
    delete_kept("datasets", id, as_json=as_json)


@app.command("restore")
def restore(id: Id, as_json: Json = False) -> None:
    """Take a dataset out of the bin."""
    restore_kept("datasets", id, as_json=as_json)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["id"], plain(row["name"]), row["source"], f"{row['documents']:,}", _token_rows(row))


def _token_rows(row: dict) -> str:
    cut = [(each["id"], each["rows"], each["options"].get("max_tokens")) for each in row["tokenisations"]]
    return ", ".join(f"{id} ({rows:,} x {tokens})" for id, rows, tokens in cut)
