"""`loupe train`: a training from the command line, with the same options as the form and the API."""

import json
from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.following import finished
from loupe.app.cli.output import Json, out, print_json, print_table
from loupe.app.services.activations_request import LEFT_OUT
from loupe.app.settings import Settings
from loupe.app.sizes import size_text


def train(
    tokenisation: Annotated[str, typer.Argument(help="Token rows from `loupe datasets list`.")] = "",
    activations: Annotated[
        str, typer.Option(metavar="ID", help="Read this cache of `loupe activations list` instead of the model.")
    ] = "",
    model: Annotated[str, typer.Option(help="Model whose activations are read.")] = "starter",
    architecture: Annotated[
        str, typer.Option(help="standard, gated, topk, batchtopk, jumprelu, matryoshka ...")
    ] = "batchtopk",
    hook_point: Annotated[
        list[str] | None, typer.Option(help="Hook point it reads, such as blocks.3.resid_post; several: one SAE each.")
    ] = None,
    writes: Annotated[str, typer.Option(help="Hook point a transcoder reconstructs.")] = "",
    d_sae: Annotated[int, typer.Option(help="Number of latents.")] = 1024,
    k: Annotated[int | None, typer.Option(help="Active latents per token.")] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 1000,
    batch_rows: Annotated[int, typer.Option(help="Activations per step.")] = 4096,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; unset: the paper's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of starting values and of the order of the data.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any other option of the training, as name=value.")
    ] = None,
    template: Annotated[
        str, typer.Option(help="Begin from this template of `loupe templates list`; SAEs and options are its own.")
    ] = "",
    name: Annotated[str, typer.Option(help="What the training is called.")] = "",
    fit: Annotated[bool, typer.Option("--fit", help="Only say what it would take.")] = False,
    delete: Annotated[
        str, typer.Option(metavar="ID", help="Only forget this training that has ended; its SAEs stay.")
    ] = "",
    options: Annotated[bool, typer.Option("--options", help="Only list every option with range and meaning.")] = False,
    as_json: Json = False,
) -> None:
    """Train sparse autoencoders on the activations of a model."""
    with open_client(Settings()) as client:
        if options:
            _print_options(client.get("/trainings/options")["data"], as_json)
            return
        if delete:
            told = client.delete(f"/trainings/{delete}", confirm="true")["data"]
            print_json(told) if as_json else out.print(f"{delete} is gone")
            return
        if not tokenisation and not activations:
            raise typer.BadParameter("Name the token rows to train on: `loupe datasets list` shows them.")
        if template:
            recipe = client.get(f"/templates/{template}")["data"]["recipe"]
            recipe["training"] |= _settings(set_ or [])
        else:
            points = hook_point or [""]
            shape = {} if k is None else {"k": k}
            training = {"steps": steps, "batch_rows": batch_rows, "seed": seed, **_settings(set_ or [])}
            training |= {} if lr is None else {"lr": lr}
            recipe = {
                "saes": [_sae(architecture, d_sae, shape, point, writes) for point in points],
                "training": training,
            }
        if activations:  # which decides what is left out, whatever the recipe was made for
            recipe = {key: value for key, value in recipe.items() if key not in LEFT_OUT}
        read = {"tokenisation": tokenisation, "activations": activations or None}
        wanted = {**read, "model": model, "name": name, **recipe}
        if fit:
            _print_fit(client.post("/trainings/fit", wanted)["data"], as_json)
            return
        begun = client.post("/trainings", wanted)["data"]
        finished(client, begun["job_id"], quiet=as_json, outlives=True)
        done = client.get(f"/trainings/{begun['job_id']}")["data"]
    if as_json:
        print_json(done)
        return
    for sae, point in done["latest"].items():
        variance = point.get("explained_variance")
        told = "" if variance is None else f", explained variance {variance:.3f}"
        out.print(f"[green]{sae}[/] step {point['step']:,}: loss {point['loss']:.4g}, L0 {point['l0']:.1f}{told}")
    out.print(f"SAEs: {', '.join(done['saes'])}")


def _sae(architecture: str, d_sae: int, shape: dict[str, Any], point: str, writes: str) -> dict[str, Any]:
    reads = [point] if point else []
    return {
        "architecture": architecture,
        "d_sae": d_sae,
        "options": shape,
        "reads": reads,
        "writes": [writes] if writes else [],
    }


def _settings(given: list[str]) -> dict[str, Any]:
    """`name=value` pairs; a value is JSON where it can be, else text. Raises typer.BadParameter."""
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {pair}: expected name=value.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _print_options(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = [(row["name"], "" if row["default"] is None else row["default"], row["help"]) for row in found["training"]]
    print_table(("option", "default", "meaning"), rows, empty="")


def _print_fit(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    speed = (
        "not tried"
        if found["seconds"] is None
        else f"{found['seconds']:,.0f} s at {found['tokens_per_s']:,.0f} tokens/s"
    )
    out.print(
        f"{speed}, {found['epochs']:.2f} epochs; memory "
        f"{size_text(found['memory_bytes'])} of {size_text(found['memory_free_bytes'])}, disk "
        f"{size_text(found['disk_bytes'])} of {size_text(found['disk_free_bytes'])}"
    )
    for problem in found["problems"]:
        out.print(f"[yellow]{problem}[/]")
