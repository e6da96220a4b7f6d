"""`loupe serve`."""

from typing import Annotated

import typer

from loupe.app.settings import Settings
from loupe.engine import garbage


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; public ones need a password or key.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    home: Annotated[str | None, typer.Option(help="Data directory.")] = None,
) -> None:
    """Serve the app until it is stopped."""
    garbage.hold()  # until the server has started
    from loupe.app.server import serve as run

    given = {"host": host, "port": port, "home": home}
    run(Settings(**{name: value for name, value in given.items() if value is not None}))  # type: ignore[arg-type]  # pydantic converts
