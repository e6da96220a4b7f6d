"""`loupe`: the same verbs as the API, for people (tables, bars) and for programs (`--json`)."""

from loupe.app.cli.main import main

__all__ = ["main"]
