"""`loupe checkpoints`: what a training saved, and what to make of it."""

from typing import Annotated

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.following import finished
from loupe.app.cli.output import Json, out, print_json, print_table
from loupe.app.plain import plain
from loupe.app.settings import Settings
from loupe.app.sizes import size_text

app = typer.Typer(help="What a training saved: list, save, load, fork, keep, delete.", no_args_is_help=True)
Training = Annotated[str, typer.Argument(help="Id of a training.")]
Checkpoint = Annotated[str, typer.Argument(help="Id from `loupe checkpoints list`.")]


@app.command("list")
def list_checkpoints(training: Training, as_json: Json = False) -> None:
    """The checkpoints of a training, the newest first."""
    with open_client(Settings()) as client:
        rows = client.get(f"/trainings/{training}/checkpoints")["data"]
    if as_json:
        print_json(rows)
        return
    shown = [(r["id"], f"{r['step']:,}", size_text(r["size"]), "kept" if r["kept"] else "") for r in rows]
    print_table(("id", "step", "size", ""), shown, empty="There is no checkpoint.")


@app.command("save")
def save(training: Training, as_json: Json = False) -> None:
    """Save one at the end of this step; its SAEs come into the library at once."""
    with open_client(Settings()) as client:
        told = client.post(f"/trainings/{training}/checkpoints")["data"]
    print_json(told) if as_json else out.print(f"asked for at step {told['done']:,}")


@app.command("load")
def load(training: Training, checkpoint: Checkpoint, as_json: Json = False) -> None:
    """Put its SAEs into the library, as they were at that step."""
    with open_client(Settings()) as client:
        told = client.post(f"/trainings/{training}/checkpoints/{checkpoint}/load")["data"]
    if as_json:
        print_json(told)
        return
    for sae in told["saes"]:
        out.print(f"[green]{sae['id']}[/] {plain(sae['name'])}")


@app.command("fork")
def fork(
    training: Training,
    checkpoint: Checkpoint,
    steps: Annotated[int | None, typer.Option(help="Steps in all.")] = None,
    lr: Annotated[float | None, typer.Option(help="Another learning rate.")] = None,
    name: Annotated[str, typer.Option(help="What the new training is called.")] = "",
    as_json: Json = False,
) -> None:
    """Train on from there with other options, as a training of its own."""
    changes = {key: value for key, value in {"steps": steps, "lr": lr}.items() if value is not None}
    with open_client(Settings()) as client:
        wanted = {"name": name, "training": changes}
        begun = client.post(f"/trainings/{training}/checkpoints/{checkpoint}/fork", wanted)["data"]
        finished(client, begun["job_id"], quiet=as_json, outlives=True)
        done = client.get(f"/trainings/{begun['job_id']}")["data"]
    print_json(done) if as_json else out.print(f"[green]{done['id']}[/] {done['state']}: {', '.join(done['saes'])}")


@app.command("keep")
def keep(
    training: Training,
    checkpoint: Checkpoint,
    off: Annotated[bool, typer.Option("--off", help="Leave it to pruning again.")] = False,
    as_json: Json = False,
) -> None:
    """Spare it from pruning."""
    with open_client(Settings()) as client:
        told = client.patch(f"/trainings/{training}/checkpoints/{checkpoint}", {"kept": not off})["data"]
    print_json(told) if as_json else out.print(f"{told['id']} is {'kept' if told['kept'] else 'pruned in its turn'}")


@app.command("delete")
def delete(training: Training, checkpoint: Checkpoint, as_json: Json = False) -> None:
    """Remove one for good."""
    with open_client(Settings()) as client:
        told = client.delete(f"/trainings/{training}/checkpoints/{checkpoint}")["data"]
    print_json(told) if as_json else out.print(f"{checkpoint} is gone")
