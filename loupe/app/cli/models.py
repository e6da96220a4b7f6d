"""`loupe models`: list, show, preview, download."""

from typing import Annotated

import typer

from loupe.app.cli.client import Refused, open_client, wait_while
from loupe.app.cli.output import meter, out, print_json, print_table
from loupe.app.settings import Settings
from loupe.storage.rows import WorkState

app = typer.Typer(help="Models: which there are, and downloads from the hub.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Repo = Annotated[str, typer.Argument(help="OWNER/NAME on the hub.")]
Revision = Annotated[str, typer.Option(help="Branch, tag or commit.")]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """All models, verbalizers and reconstructors."""
    with open_client(Settings()) as client:
        rows = client.get("/models")["data"]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "kind", "architecture", "n_layers", "d_model", "layer", "size_bytes", "source")
    print_table(columns, [[r.get(c) for c in columns] for r in rows], empty="There is no model yet.")


@app.command("show")
def show(id: Annotated[str, typer.Argument(help="Id from `loupe models list`.")], as_json: Json = False) -> None:
    """One model."""
    with open_client(Settings()) as client:
        row = client.get(f"/models/{id}")["data"]
    if as_json:
        print_json(row)
        return
    print_table(("", ""), list(row.items()), empty="")


@app.command("preview")
def preview(repo: Repo, revision: Revision = "main", as_json: Json = False) -> None:
    """What a download would fetch."""
    with open_client(Settings()) as client:
        plan = client.post("/models/preview", {"repo": repo, "revision": revision})["data"]
    if as_json:
        print_json(plan)
        return
    out.print(f"{plan['repo']} at {plan['commit']}: {plan['total_bytes']:,} bytes, licence {plan.get('licence', '?')}")
    print_table(("file", "bytes"), [(f["name"], f["size_bytes"]) for f in plan["files"]], empty="")


@app.command("download")
def download(repo: Repo, revision: Revision = "main", as_json: Json = False) -> None:
    """Fetch one revision, pinned to its commit: safetensors and plain data only."""
    with open_client(Settings()) as client:
        id = client.post("/models/download", {"repo": repo, "revision": revision})["data"]["id"]
        try:
            with meter(f"downloading {repo}", quiet=as_json) as bar:
                status = wait_while(
                    busy=lambda s: s["state"] == WorkState.RUNNING.value,
                    read=lambda: client.get(f"/models/downloads/{id}")["data"],
                    show=lambda s: bar(s["done_bytes"], s["total_bytes"]),
                )
        except KeyboardInterrupt:
            client.post(f"/models/downloads/{id}/cancel")
            raise
    if status["state"] != WorkState.DONE.value:
        raise Refused(422, status.get("error") or {"code": "cancelled", "message": "The download was cancelled."})
    if as_json:
        print_json(status)
    else:
        out.print(f"[green]done[/] {status['model']}")
