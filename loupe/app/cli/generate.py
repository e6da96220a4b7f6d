"""`loupe generate TEXT`: let the model continue a text or answer a chat."""

import sys
from typing import Annotated

import typer

from loupe.app.cli.analyze import absolute
from loupe.app.cli.client import open_client
from loupe.app.cli.following import finished
from loupe.app.cli.output import Json, out, print_json
from loupe.app.services.options import GenerationOptions
from loupe.app.settings import Settings


def generate(
    text: Annotated[str, typer.Argument(help="The text; - reads standard input.")],
    model: Annotated[str, typer.Option(help="Name of a known model, or a folder.")] = "",
    chat: Annotated[bool, typer.Option("--chat", help="TEXT is a user turn of a chat.")] = False,
    prefill: Annotated[str | None, typer.Option(help="The beginning of the answer, with --chat.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest reply, in tokens.")] = 128,
    temperature: Annotated[float, typer.Option(help="Sampling temperature; 0 is greedy.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the sampling noise.")] = 0,
    as_json: Json = False,
) -> None:
    """Continue TEXT, or answer it as a chat."""
    content = sys.stdin.read() if text == "-" else text
    options = GenerationOptions.model_validate(
        {
            "text": None if chat else content,
            "messages": [{"role": "user", "content": content}] if chat else None,
            "prefill": prefill,
            "model": absolute(model),
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
        }
    )
    with open_client(Settings()) as client:
        id = client.post("/generations", options.model_dump(mode="json"))["data"]["id"]
        finished(client, id, title="writing", quiet=as_json)
        reply = client.get(f"/generations/{id}")["data"]
    print_json(reply) if as_json else out.print(reply["text"], markup=False)
