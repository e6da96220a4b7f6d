"""`loupe convert`: a pickled checkpoint into safetensors, after consent that names it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from loupe.app.cli.output import Json, err, meter, out, print_json
from loupe.app.errors import ConsentMissing
from loupe.app.services.convert import Converted, Source, open_source, targets
from loupe.app.services.convert import convert as convert_source


def convert(
    file: Annotated[Path, typer.Argument(help="A pickled checkpoint: .pt, .bin, .pth or .ckpt.")],
    to: Annotated[Path | None, typer.Option(help="Folder for the result; unset: beside the file.")] = None,
    consent: Annotated[str | None, typer.Option(help="The file's sha256, to agree without being asked.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace NAME.safetensors and NAME.json.")] = False,
    as_json: Json = False,
) -> None:
    """Turn FILE into NAME.safetensors and NAME.json, in a process without network that can write nothing else."""
    folder = to or file.parent
    with open_source(file) as source:
        targets(source.path, folder, force=force)
        agreed = consent if consent is not None else _ask(source, may_ask=not as_json and sys.stdin.isatty())
        with meter(f"converting {file.name}", quiet=as_json) as show:
            converted = convert_source(source, folder, consent=agreed, force=force, on_progress=show)
    if as_json:
        print_json(converted.to_json())
    else:
        _print(converted)


def _ask(source: Source, *, may_ask: bool) -> str:
    """The sha256 of a file whose opening somebody agreed to. Raises ConsentMissing, or Abort at a no."""
    if not may_ask:
        raise ConsentMissing(
            f"{source.path} is a pickle, and opening a pickle can run code. If you trust where it came from, run this "
            f"again with --consent {source.sha256}"
        )
    err.print(f"file    {source.path} ({source.size_bytes:,} bytes)", markup=False, soft_wrap=True)
    err.print(f"sha256  {source.sha256}", markup=False, soft_wrap=True)
    err.print(
        "This is a pickle, and opening a pickle can run code. Loupe opens it in a process of its own, weights only,"
    )
    err.print("without network, without starting programs, without writing anywhere but the result.")
    typer.confirm("Open this file?", default=False, abort=True, err=True)
    return source.sha256


def _print(converted: Converted) -> None:
    tensors = converted.contents["tensors"]
    dtypes = ", ".join(f"{count} {name}" for name, count in tensors["dtypes"].items())
    out.print(f"[green]written[/] {tensors['count']} tensors ({dtypes})")
    for path in (converted.weights, converted.sidecar):
        out.print(f"        {path}", markup=False, soft_wrap=True)
    for note in converted.contents["notes"]:
        out.print(f"note    {note}", markup=False)
    out.print(f"walls   {', '.join(converted.walls)}")
