"""`loupe saes`: list, show, import, export, evaluate, delete, restore."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.jobs import followed
from loupe.app.cli.output import out, print_json, print_table
from loupe.app.plain import plain
from loupe.app.settings import Settings

app = typer.Typer(help="Sparse autoencoders: trained here, imported, shipped.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(help="Id from `loupe saes list`.")]


@app.command("list")
def list_saes(
    search: Annotated[str, typer.Option(help="In names, models, hook points, architectures.")] = "",
    deleted: Annotated[bool, typer.Option("--deleted", help="Those in the bin.")] = False,
    as_json: Json = False,
) -> None:
    """SAEs, the latest first."""
    with open_client(Settings()) as client:
        rows = client.every("/saes", search=search, deleted=deleted)
    if as_json:
        print_json(rows)
        return
    shown = [
        (r["id"], plain(r["name"]), r["architecture"], ", ".join(r["hook_points"]), f"{r['d_sae']:,}", r["source"])
        for r in rows
    ]
    print_table(("id", "name", "architecture", "hook points", "d_sae", "source"), shown, empty="There is no SAE.")


@app.command("show")
def show(id: Id, as_json: Json = False) -> None:
    """Shape, place, provenance and evaluation card."""
    with open_client(Settings()) as client:
        found = client.get(f"/saes/{id}")["data"]
    if as_json:
        print_json(found)
        return
    print_table(("", ""), [(name, plain(str(value))) for name, value in found.items()], empty="")


@app.command("import")
def take_in(
    path: Annotated[Path, typer.Argument(help="Folder or file; the format is detected.")],
    model: Annotated[str, typer.Option(help="Model it belongs to.")] = "starter",
    name: Annotated[str, typer.Option(help="What it is called.")] = "",
    as_json: Json = False,
) -> None:
    """Import an SAE: SAELens, Gemma Scope, dictionary_learning, sparsify, circuit-tracer."""
    wanted = {"path": str(path.expanduser().resolve()), "model": model, "name": name}
    with open_client(Settings()) as client:
        made = client.post("/saes/import", wanted)["data"]
    if as_json:
        print_json(made)
        return
    out.print(f"[green]{made['id']}[/] {plain(made['name'])}, read as {made['source_format']}")
    for assumption in made.get("assumptions", ()):
        out.print(f"assumed: {plain(assumption)}", markup=False)


@app.command("export")
def export(
    id: Id,
    to: Annotated[Path, typer.Argument(help="Folder that receives the SAELens folder.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write an SAE as a SAELens folder."""
    with open_client(Settings()) as client:
        name, content = client.get_file(f"/saes/{id}/export")
    with zipfile.ZipFile(BytesIO(content)) as packed:
        packed.extractall(to)
    written = to / Path(name).stem
    print_json({"folder": str(written)}) if as_json else out.print(f"[green]{written}[/]")


@app.command("evaluate")
def evaluate(
    id: Id,
    tokenisation: Annotated[str, typer.Argument(help="Token rows to judge it on.")],
    rows: Annotated[int, typer.Option(help="Most rows that are read.")] = 256,
    as_json: Json = False,
) -> None:
    """Judge an SAE on token rows it was not trained on, and keep the card."""
    with open_client(Settings()) as client:
        begun = client.post(f"/saes/{id}/evaluate", {"tokenisation": tokenisation, "rows": rows})["data"]
        followed(client, begun["job_id"], quiet=as_json)
        card = client.get(f"/saes/{id}")["data"]["card"]
    if as_json:
        print_json(card)
        return
    print_table(("measure", "value"), [(n, v) for n, v in card.items() if not isinstance(v, list)], empty="")


@app.command("delete")
def delete(id: Id, as_json: Json = False) -> None:
    """Put an SAE into the bin."""
    with open_client(Settings()) as client:
        gone = client.delete(f"/saes/{id}")["data"]
    print_json(gone) if as_json else out.print(f"{id} is in the bin; `loupe saes restore {id}` brings it back")


@app.command("restore")
def restore(id: Id, as_json: Json = False) -> None:
    """Take an SAE out of the bin."""
    with open_client(Settings()) as client:
        back = client.post(f"/saes/{id}/restore")["data"]
    print_json(back) if as_json else out.print(f"[green]{id}[/] is back")
