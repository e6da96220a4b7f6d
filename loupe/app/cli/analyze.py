"""`loupe analyze TEXT`: every token explained, as a table for people or as JSON."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from loupe.app.cli.client import Client, open_client
from loupe.app.cli.following import finished
from loupe.app.cli.output import err, out, print_json
from loupe.app.services.options import AnalysisOptions
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption

Folder = Annotated[str | None, typer.Option(help="Name of a known model, or a folder.")]


def analyze(
    text: Annotated[str, typer.Argument(help="The text; - reads standard input.")],
    model: Annotated[str, typer.Option(help="Name of a known model, or a folder.")] = "",
    verbalizer: Folder = None,
    reconstructor: Folder = None,
    donor: Annotated[str | None, typer.Option(help="Take the activations from this model instead.")] = None,
    layer: Annotated[int | None, typer.Option(help="Block whose output is explained.")] = None,
    positions: Annotated[str, typer.Option(help="all, or such as 0-5,9,-1.")] = "all",
    best_of: Annotated[int, typer.Option(help="Rollouts per position; needs a temperature.")] = 1,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy; unset: 0, or 1 with --best-of.")] = None,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the sampling noise.")] = 0,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest explanation, in tokens.")] = None,
    kl: Annotated[bool, typer.Option("--kl/--no-kl", help="Measure the KL of putting the reconstruction back.")] = True,
    salience: Annotated[str, typer.Option(help="line, word or none.")] = "line",
    no_salience: Annotated[bool, typer.Option("--no-salience", help="The same as --salience none.")] = False,
    logit_lens: Annotated[int, typer.Option(help="Top tokens of the logit lens.")] = 5,
    next_tokens: Annotated[int, typer.Option(help="Top next tokens of the model.")] = 5,
    dtype: Annotated[str | None, typer.Option(help="auto, fp32, bf16, fp16, int8 or nf4.")] = None,
    name: Annotated[str, typer.Option(help="Name of the saved run.")] = "",
    chat: Annotated[bool, typer.Option("--chat", help="TEXT is a user turn of a chat.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print {metadata, data}.")] = False,
) -> None:
    """Explain every token of TEXT, and measure how far to trust the words."""
    content = sys.stdin.read() if text == "-" else text
    options = AnalysisOptions.model_validate(
        {
            "text": None if chat else content,
            "messages": [{"role": "user", "content": content}] if chat else None,
            "model": absolute(model),
            "verbalizer": absolute(verbalizer),
            "reconstructor": absolute(reconstructor),
            "donor": absolute(donor),
            "layer": layer,
            "positions": positions,
            "best_of": best_of,
            "temperature": temperature if temperature is not None else float(best_of > 1),
            "top_p": top_p,
            "seed": seed,
            "max_new_tokens": max_new_tokens,
            "kl": kl,
            "salience": "none" if no_salience else _salience(salience),
            "logit_lens_k": logit_lens,
            "next_token_k": next_tokens,
            "dtype": dtype,
            "name": name,
        }
    )
    with open_client(Settings()) as client:
        result = _run(client, options, quiet=as_json)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _run(client: Client, options: AnalysisOptions, *, quiet: bool) -> dict[str, Any]:
    id = client.post("/analyses", options.model_dump(mode="json"))["data"]["id"]
    finished(client, id, title="analysing", quiet=quiet)  # a run and its job share an id
    return client.get_raw(f"/runs/{id}/result")


def _print(result: dict[str, Any]) -> None:
    for row in result["data"]:
        scores = [f"{name} {row[name]:.3f}" for name in ("fve_nrm", "cosine", "kl") if row.get(name) is not None]
        flags = f"  [yellow]{escape(', '.join(row['flags']))}[/]" if row.get("flags") else ""
        out.print(
            f"[bold]{row['position']:>4}[/] [green]{escape(repr(row['token']))}[/]  [dim]{'  '.join(scores)}[/]{flags}"
        )
        for line in row["explanation"].splitlines():
            out.print(f"     {line}", markup=False)
    if not result["data"]:
        err.print("Nothing was explained.")


def _salience(value: str) -> str:
    if value not in ("line", "word", "none"):
        raise BadOption(f"--salience is {value!r}; it can be line, word or none.")
    return value


def absolute(name: str | None) -> str | None:
    """A server may run elsewhere in the file system, so folders are named in full."""
    if not name:
        return name
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() and name != "starter" else name
