"""`loupe lens`: list, show, fit, delete."""

from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.following import finished
from loupe.app.cli.kept import list_kept
from loupe.app.cli.output import Json, out, print_json, print_table
from loupe.app.plain import plain
from loupe.app.settings import Settings

app = typer.Typer(help="Tuned lenses: shipped, fitted here, or in the configured folder.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id from `loupe lens list`.")]


@app.command("list")
def list_lenses(as_json: Json = False) -> None:
    """Lenses in the order in which they are preferred."""
    columns = ("id", "name", "model", "source", "in use")
    list_kept("lenses", columns, _cells, as_json=as_json, empty="There is no tuned lens.")


@app.command("show")
def show(id: Id, as_json: Json = False) -> None:
    """Held-out scores, block by block, beside the logit lens."""
    with open_client(Settings()) as client:
        found = client.get(f"/lenses/{id}")["data"]
    if as_json:
        print_json(found)
        return
    if problem := found.get("problem"):
        out.print(plain(problem), markup=False)
    _print_scores(found.get("scores", ()))


@app.command("fit")
def fit(
    tokenisation: Annotated[str, typer.Argument(help="Token rows from `loupe datasets list`.")],
    model: Annotated[str, typer.Option(help="Model whose blocks are fitted.")] = "starter",
    layer: Annotated[list[int] | None, typer.Option(help="A block to fit; several; unset: all but the last.")] = None,
    steps: Annotated[int, typer.Option(help="Updates.")] = 500,
    batch_rows: Annotated[int, typer.Option(help="Tokens of an update.")] = 1024,
    lr: Annotated[float, typer.Option(help="Largest relative change of an activation by one update.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Seed of the order in which tokens are read.")] = 0,
    name: Annotated[str, typer.Option(help="What the lens is called.")] = "",
    as_json: Json = False,
) -> None:
    """Fit a tuned lens: per block an affine correction, judged on held-out rows beside the logit lens."""
    options: dict[str, Any] = {"steps": steps, "batch_rows": batch_rows, "lr": lr, "seed": seed}
    options |= {"layers": layer} if layer else {}
    wanted = {"tokenisation": tokenisation, "model": model, "name": name, "options": options}
    with open_client(Settings()) as client:
        begun = client.post("/lenses", wanted)["data"]
        job = finished(client, begun["job_id"], quiet=as_json, outlives=True)
        found = client.get(f"/lenses/{job['result']['lens']}")["data"]
    if as_json:
        print_json(found)
        return
    out.print(f"[green]{found['id']}[/] {plain(found['name'])}")
    _print_scores(found["scores"])


@app.command("delete")
def delete(id: Id, as_json: Json = False) -> None:
    """Remove a lens that was fitted here, for good."""
    with open_client(Settings()) as client:
        gone = client.delete(f"/lenses/{id}")["data"]
    print_json(gone) if as_json else out.print(f"{id} is gone")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    use = "damaged" if row.get("problem") else "yes" if row["in_use"] else ""
    return (row["id"], plain(row["name"]), row["model"], row["source"], use)


def _print_scores(scores: Any) -> None:
    rows = [
        (
            s["layer"],
            f"{s['kl_logit_lens']:.3f}",
            f"{s['kl']:.3f}",
            f"{s['agrees_logit_lens']:.1%}",
            f"{s['agrees']:.1%}",
        )
        for s in scores
    ]
    columns = ("block", "KL, logit lens", "KL, tuned lens", "same top token, logit lens", "same, tuned lens")
    print_table(columns, rows, empty="Nothing is known of how good it is.")
