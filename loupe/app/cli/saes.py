"""`loupe saes`: list, show, import, download, export, upload, evaluate, delete, restore."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.following import finished
from loupe.app.cli.kept import delete_kept, list_kept, restore_kept, show_kept
from loupe.app.cli.output import Json, out, print_json, print_table
from loupe.app.plain import plain
from loupe.app.settings import Settings

app = typer.Typer(help="Sparse autoencoders: trained here, imported, shipped.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id from `loupe saes list`.")]


@app.command("list")
def list_saes(
    search: Annotated[str, typer.Option(help="In names, models, hook points, architectures.")] = "",
    deleted: Annotated[bool, typer.Option("--deleted", help="Those in the bin.")] = False,
    as_json: Json = False,
) -> None:
    """SAEs, the latest first."""
    columns = ("id", "name", "architecture", "hook points", "d_sae", "source")
    list_kept("saes", columns, _cells, search=search, deleted=deleted, as_json=as_json)


@app.command("show")
def show(id: Id, as_json: Json = False) -> None:
    """Shape, place, provenance and evaluation card."""
    show_kept("saes", id, as_json=as_json)


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


@app.command("download")
def download(
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")],
    path: Annotated[str, typer.Argument(help="Which of its SAEs; unset lists them.")] = "",
    revision: Annotated[str, typer.Option(help="Branch, tag or commit.")] = "main",
    model: Annotated[str, typer.Option(help="Model it belongs to.")] = "starter",
    name: Annotated[str, typer.Option(help="What it is called.")] = "",
    as_json: Json = False,
) -> None:
    """Fetch one SAE of a repository, or show which there are."""
    with open_client(Settings()) as client:
        place = {"repo": repo, "revision": revision}
        if not path:
            found = client.post("/saes/preview", place)["data"]
            shown = [(plain(each["path"]), f"{each['size_bytes']:,}") for each in found["saes"]]
            print_json(found) if as_json else print_table(("path", "bytes"), shown, empty="There is no SAE.")
            return
        begun = client.post("/saes/download", place | {"path": path, "model": model, "name": name})["data"]
        job = finished(client, begun["job_id"], quiet=as_json)
    print_json(job) if as_json else out.print(plain(job["message"]), markup=False)


@app.command("upload")
def upload(
    id: Id,
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the hub; made where it is not there.")],
    path: Annotated[str, typer.Option(help="Folder in the repository.")] = "",
    private: Annotated[bool, typer.Option("--private", help="Private, if it has to be made.")] = False,
    as_json: Json = False,
) -> None:
    """Send an SAE as a SAELens folder to a repository, and nowhere else."""
    with open_client(Settings()) as client:
        begun = client.post(f"/saes/{id}/upload", {"repo": repo, "path": path, "private": private})["data"]
        job = finished(client, begun["job_id"], quiet=as_json)
    print_json(job) if as_json else out.print(f"[green]{repo}[/] has it")


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
        finished(client, begun["job_id"], quiet=as_json)
        card = client.get(f"/saes/{id}")["data"]["card"]
    if as_json:
        print_json(card)
        return
    print_table(("measure", "value"), [(n, v) for n, v in card.items() if not isinstance(v, list)], empty="")


@app.command("delete")
def delete(id: Id, as_json: Json = False) -> None:
    """Put an SAE into the bin."""
    delete_kept("saes", id, as_json=as_json)


@app.command("restore")
def restore(id: Id, as_json: Json = False) -> None:
    """Take an SAE out of the bin."""
    restore_kept("saes", id, as_json=as_json)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    hook_points = ", ".join(row["hook_points"])
    return (row["id"], plain(row["name"]), row["architecture"], hook_points, f"{row['d_sae']:,}", row["source"])
