"""`loupe events`: follow what the running server does, one line an event."""

from typing import Annotated

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.output import out, print_line
from loupe.app.errors import NotReady
from loupe.app.settings import Settings


def events(
    topics: Annotated[str, typer.Option(help="Comma-separated: job, training, analysis, system.")] = "",
    after: Annotated[int | None, typer.Option(help="Resume after this number.")] = None,
    count: Annotated[int, typer.Option(help="Stop after so many events; 0 never stops.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Follow the event stream of the server that holds the data directory."""
    with open_client(Settings()) as client:
        if not client.remote:
            raise NotReady("No server runs on this data directory. Start one with `loupe serve`.")
        for seen, event in enumerate(client.events(topics=topics, after=after), start=1):
            if as_json:
                print_line(event)
            else:
                about = event["data"].get("id", "")
                out.print(f"{event['number']} {event['timestamp'][11:19]} {event['topic']}.{event['name']} {about}")
            if seen == count:
                return
