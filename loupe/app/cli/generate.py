"""`loupe generate TEXT`: let the model continue a text or answer a chat."""

import sys
from typing import Annotated, Any

import typer

from loupe.app.cli.analyze import BUSY, absolute
from loupe.app.cli.client import Refused, open_client, wait_while
from loupe.app.cli.output import meter, out, print_json
from loupe.app.errors import status_of_code
from loupe.app.services.options import GenerationOptions
from loupe.app.settings import Settings
from loupe.storage.rows import WorkState


def generate(
    text: Annotated[str, typer.Argument(help="The text; - reads standard input.")],
    model: Annotated[str, typer.Option(help="Name of a known model, or a folder.")] = "",
    chat: Annotated[bool, typer.Option("--chat", help="TEXT is a user turn of a chat.")] = False,
    prefill: Annotated[str | None, typer.Option(help="The beginning of the answer, with --chat.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest reply, in tokens.")] = 128,
    temperature: Annotated[float, typer.Option(help="Sampling temperature; 0 is greedy.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the sampling noise.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
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
        try:
            with meter("writing", quiet=as_json) as show:
                status = wait_while(
                    busy=lambda s: s["state"] in BUSY,
                    read=lambda: client.get(f"/generations/{id}")["data"],
                    show=lambda s: show(s["tokens"], max_new_tokens, "writing"),
                )
        except KeyboardInterrupt:
            client.post(f"/generations/{id}/cancel")
            raise
    _end(status, as_json=as_json)


def _end(status: dict[str, Any], *, as_json: bool) -> None:
    if status["state"] != WorkState.DONE.value:
        problem = status.get("error") or {"code": "cancelled", "message": "The generation was cancelled."}
        raise Refused(status_of_code(problem["code"]), problem)
    if as_json:
        print_json(status)
    else:
        out.print(status["text"], markup=False)
