"""`loupe starter`: build the model that ships with Loupe from nothing, and score it."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from loupe.app.cli.output import Json, meter, out, print_json, print_problem, print_table
from loupe.app.settings import Settings, starter_folder

app = typer.Typer(help="The model, NLA pair and sample runs that ship with Loupe.", no_args_is_help=True)


@app.command("build")
def build(
    target: Annotated[Path | None, typer.Argument(help="Where the finished starter goes; unset: Loupe's own.")] = None,
    work: Annotated[Path | None, typer.Option(help="Checkpoints; the same folder again resumes.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of world, data and training.")] = 0,
    scale: Annotated[float, typer.Option(help="Share of the full amount of data and steps.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Make world, corpus, tokenizer, model, NLA pair, scores and sample runs; resumable."""
    from loupe.engine.starter.build import build_starter
    from loupe.engine.starter.stages import GateFailed

    goal = target or starter_folder(Settings())
    checkpoints = work or Path(tempfile.gettempdir()) / "loupe-starter-work"
    with meter("building the starter", quiet=as_json) as show:
        try:
            scores = build_starter(
                goal, checkpoints, seed=seed, scale=scale, on_progress=lambda s: show(s.done, s.total, s.stage)
            )
        except GateFailed as failed:
            print_problem({"code": "gate_failed", "message": str(failed)}, as_json=as_json)
            raise typer.Exit(3) from failed
    if as_json:
        print_json({"target": str(goal), "work": str(checkpoints), "scores": scores})
    else:
        out.print(f"[green]built[/] {goal}")


@app.command("score")
def score(
    folder: Annotated[Path | None, typer.Argument(help="A built starter; unset: Loupe's own.")] = None,
    as_json: Json = False,
) -> None:
    """Score a starter on held-out stories: loss, binding, round trip, agreement with ground truth."""
    from loupe.engine.starter.score import score_starter

    with meter("scoring", quiet=as_json) as show:
        scores = score_starter(folder or starter_folder(Settings()), on_progress=lambda step: show(0, None, step))
    if as_json:
        print_json(scores)
        return
    print_table(("score", "value"), _flat(scores), empty="There are no scores.")


def _flat(scores: dict, prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in scores.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, f"{value:.4g}" if isinstance(value, float) else value))
    return rows
