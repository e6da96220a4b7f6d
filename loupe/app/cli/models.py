"""`loupe models`: list, show, preview, add, download, load, unload, certify, fit, delete, restore, token."""

from pathlib import Path
from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.following import finished
from loupe.app.cli.output import Json, out, print_json, print_table
from loupe.app.settings import Settings

app = typer.Typer(help="Models: which there are, adding, loading, certifying, deleting.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id from `loupe models list`.")]
Repo = Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")]
Revision = Annotated[str, typer.Option(help="Branch, tag or commit.")]
Dtype = Annotated[str, typer.Option(help="Precision: auto, fp32, bf16, fp16, int8, nf4.")]
Device = Annotated[str, typer.Option(help="Where: cpu, mps, cuda:1, cuda:0,cuda:1, cuda:0+cpu; auto forgets a choice.")]
Search = Annotated[str, typer.Option(help="Words to look for.")]
COLUMNS = ("id", "kind", "state", "architecture", "n_layers", "d_model", "layer", "size_bytes", "source")


@app.command("list")
def list_models(as_json: Json = False, search: Search = "", deleted: bool = False) -> None:
    """All models, verbalizers, reconstructors and adapters; with --deleted what can be restored."""
    with open_client(Settings()) as client:
        rows = client.every("/models", search=search, deleted=deleted)
    columns = ("id", "deleted_at", "restorable_until", "size_bytes") if deleted else COLUMNS
    show(rows, columns, as_json, "There is no model yet." if not deleted else "Nothing was deleted.")


@app.command("show")
def show_one(id: Id, as_json: Json = False) -> None:
    """One model, what depends on it, and its certificate."""
    with open_client(Settings()) as client:
        row = client.get(f"/models/{id}")["data"]
        row["dependants"] = client.get(f"/models/{id}/dependants")["data"]
        row["certificate"] = client.get(f"/models/{id}/certificate")["data"]
    told(row, as_json)


@app.command("preview")
def preview(
    place: Annotated[str, typer.Argument(help="OWNER/NAME on the hub, or a folder.")],
    revision: Revision = "main",
    dtype: Dtype = "auto",
    as_json: Json = False,
) -> None:
    """What adding it would bring, and whether it would fit."""
    with open_client(Settings()) as client:
        plan = client.post("/models/preview", _place(place, revision) | {"dtype": dtype})["data"]
    if as_json:
        print_json(plan)
        return
    fit = plan["fit"]
    verdict = "fits" if fit["fits"] else fit.get("why_not") or "does not fit now"
    where = f"{plan['repo']} at {plan['commit']}" if "repo" in plan else plan["folder"]
    out.print(f"{where}: {plan['total_bytes']:,} bytes, licence {plan.get('licence', '?')}", markup=False)
    out.print(f"{fit['dtype']} {verdict}: needs {fit['needed_bytes']:,}, {fit['available_bytes']:,} may be taken")
    print_table(("file", "bytes"), [(f["name"], f["size_bytes"]) for f in plan["files"]], empty="")


@app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(help="A model folder of this machine; it is linked, not copied.")],
    name: Annotated[str, typer.Option(help="Its name in the library.")] = "",
    as_json: Json = False,
) -> None:
    """Take a folder of this machine into the library."""
    with open_client(Settings()) as client:
        row = client.post("/models", {"folder": str(folder.expanduser().resolve()), "name": name})["data"]
    told(row, as_json)


@app.command("download")
def download(repo: Repo, revision: Revision = "main", as_json: Json = False) -> None:
    """Fetch one revision, pinned to its commit: safetensors and plain data only."""
    with open_client(Settings()) as client:
        begun = client.post("/models/download", {"repo": repo, "revision": revision})["data"]
        job = finished(client, begun["job_id"], title=f"downloading {repo}", quiet=as_json)
    ended(job | {"model": begun["model"]}, as_json, begun["model"])


@app.command("load")
def load(id: Id, dtype: Dtype = "auto", device: Device = "", as_json: Json = False) -> None:
    """Bring a model into a server's memory; it must answer a test input before it counts as loaded."""
    with open_client(Settings()) as client:
        begun = client.post(f"/models/{id}/load", {"dtype": dtype, "device": device})["data"]
        job = finished(client, begun["job_id"], title=f"loading {id}", quiet=as_json)
    ended(job, as_json, id)


@app.command("unload")
def unload(id: Id, as_json: Json = False) -> None:
    """Let everything go that was loaded from it."""
    with open_client(Settings()) as client:
        told(client.post(f"/models/{id}/unload")["data"], as_json)


@app.command("certify")
def certify(id: Id, dtype: Dtype = "auto", as_json: Json = False) -> None:
    """Check its hook points against its own hidden states, and keep the outcome."""
    with open_client(Settings()) as client:
        begun = client.post(f"/models/{id}/certify", {"dtype": dtype})["data"]
        finished(client, begun["job_id"], title=f"certifying {id}", quiet=as_json)
        found = client.get(f"/models/{id}/certificate")["data"]
    if as_json:
        print_json(found)
        return
    print_table(
        ("check", "held", "difference"),
        [(c["name"], c["passed"], c.get("difference")) for c in found["checks"]],
        empty="",
    )
    out.print("[green]passed[/]" if found["passed"] else "[red]did not pass[/]")


@app.command("fit")
def fit(id: Id, dtype: Dtype = "auto", device: Device = "", as_json: Json = False) -> None:
    """Whether it fits now, where it would go and on every other device."""
    with open_client(Settings()) as client:
        found = client.get(f"/models/{id}/fit", dtype=dtype, device=device)["data"]
    if as_json:
        print_json(found)
        return
    places = found.pop("devices")
    told({name: value for name, value in found.items() if name != "dtypes"}, as_json)
    columns = ("device", "fits", "needed_bytes", "available_bytes", "why_not")
    show(places, columns, as_json, "")


@app.command("architecture")
def architecture(id: Id, as_json: Json = False) -> None:
    """The tree of modules with hook points."""
    with open_client(Settings()) as client:
        tree = client.get(f"/models/{id}/architecture")["data"]
    if as_json:
        print_json(tree)
    else:
        _print_tree(tree, 0)


@app.command("delete")
def delete(
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Also when something depends on it.")] = False,
    as_json: Json = False,
) -> None:
    """Take it out of the library; it can be restored for some days."""
    with open_client(Settings()) as client:
        told(client.delete(f"/models/{id}", confirm=yes)["data"], as_json)


@app.command("restore")
def restore(id: Id, as_json: Json = False) -> None:
    """Take a deleted model back."""
    with open_client(Settings()) as client:
        told(client.post(f"/models/{id}/restore")["data"], as_json)


@app.command("token")
def token(
    forget: Annotated[bool, typer.Option("--forget", help="Remove the written token.")] = False, as_json: Json = False
) -> None:
    """Write the hub token for gated models: read from standard input or asked for, never shown."""
    with open_client(Settings()) as client:
        if forget:
            told(client.delete("/models/hub-token")["data"], as_json)
            return
        given = typer.prompt("Hub token", hide_input=True)
        told(client.put("/models/hub-token", {"token": given})["data"], as_json)


def show(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool, empty: str) -> None:
    """Rows as JSON or as a table."""
    if as_json:
        print_json(rows)
    else:
        print_table(columns, [[row.get(column) for column in columns] for row in rows], empty=empty)


def told(row: dict[str, Any], as_json: bool) -> None:
    """One thing as JSON or as names and values."""
    if as_json:
        print_json(row)
    else:
        print_table(("", ""), list(row.items()), empty="")


def _place(place: str, revision: str) -> dict[str, Any]:
    folder = Path(place).expanduser()
    return {"folder": str(folder.resolve())} if folder.is_dir() else {"repo": place, "revision": revision}


def ended(job: dict[str, Any], as_json: bool, name: str) -> None:
    if as_json:
        print_json(job)
    else:
        out.print("[green]done[/]", end=" ")
        out.print(name, markup=False)


def _print_tree(node: dict[str, Any], depth: int) -> None:
    times = f" x {node['repeats']}" if node["repeats"] > 1 else ""
    sites = f"  [{', '.join(node['sites'])}]" if node.get("sites") else ""
    out.print(f"{'  ' * depth}{node['name']}{times}  {node['kind']}  {node['parameters']:,}{sites}", markup=False)
    for child in node.get("children", ()):
        _print_tree(child, depth + 1)
