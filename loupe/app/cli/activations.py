"""`loupe activations`: list, show, make, delete."""

from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.following import finished
from loupe.app.cli.kept import list_kept, show_kept
from loupe.app.cli.output import Json, out, print_json
from loupe.app.plain import plain
from loupe.app.settings import Settings
from loupe.app.sizes import size_text

app = typer.Typer(help="Activations kept on disk, which trainings may read.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id from `loupe activations list`.")]


@app.command("list")
def list_activations(
    search: Annotated[str, typer.Option(help="Part of the name.")] = "", as_json: Json = False
) -> None:
    """Finished caches, the latest first."""
    columns = ("id", "name", "hook points", "rows", "dtype", "size")
    list_kept("activations", columns, _cells, search=search, as_json=as_json, empty="No activations are kept.")


@app.command("show")
def show(id: Id, as_json: Json = False) -> None:
    """What a cache holds, what it was made of, and its statistics."""
    show_kept("activations", id, as_json=as_json)


@app.command("make")
def make(
    tokenisation: Annotated[str, typer.Argument(help="Token rows from `loupe datasets list`.")],
    point: Annotated[list[str], typer.Option("--hook-point", help="Such as blocks.3.resid_post; several.")],
    model: Annotated[str, typer.Option(help="Model whose activations are kept.")] = "starter",
    rows: Annotated[int | None, typer.Option(help="Most tokens kept; unset: one epoch.")] = None,
    max_gb: Annotated[float, typer.Option(help="Most gigabytes on disk.")] = 10.0,
    dtype: Annotated[str, typer.Option(help="fp16, bf16 or fp32.")] = "fp16",
    shard_rows: Annotated[int, typer.Option(help="Tokens of a shard; a training's buffer holds one.")] = 8192,
    held_out: Annotated[float, typer.Option(help="Share of the rows kept for evaluation.")] = 0.02,
    name: Annotated[str, typer.Option(help="What the cache is called.")] = "",
    as_json: Json = False,
) -> None:
    """Write what a model computes at hook points over token rows to disk, for `loupe train --activations`."""
    wanted = {"tokenisation": tokenisation, "points": point, "model": model, "rows": rows, "max_gb": max_gb}
    more = {"dtype": dtype, "shard_rows": shard_rows, "held_out": held_out, "name": name}
    with open_client(Settings()) as client:
        begun = client.post("/activations", {**wanted, **more})["data"]
        job = finished(client, begun["job_id"], quiet=as_json, outlives=True)
        made = client.get(f"/activations/{job['result']['activations']}")["data"]
    if as_json:
        print_json(made)
        return
    out.print(f"[green]{made['id']}[/] {made['rows']:,} rows, {size_text(made['size'])}")


@app.command("delete")
def delete(id: Id, as_json: Json = False) -> None:
    """Remove a cache for good."""
    with open_client(Settings()) as client:
        gone = client.delete(f"/activations/{id}")["data"]
    print_json(gone) if as_json else out.print(f"{id} is gone")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if row.get("problem"):
        return (row["id"], plain(row["name"]), "damaged", "", "", size_text(row["size"]))
    points = ", ".join(row["points"])
    return (row["id"], plain(row["name"]), points, f"{row['rows']:,}", row["dtype"], size_text(row["size"]))
