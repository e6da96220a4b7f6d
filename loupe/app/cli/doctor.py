"""`loupe doctor`: is everything here that a first run needs?"""

from dataclasses import asdict

import typer

from loupe.app.cli.output import Json, out, print_json
from loupe.app.services.placements import device_check
from loupe.app.services.system import checks
from loupe.app.settings import Settings
from loupe.storage.lock import read_holder
from loupe.storage.paths import DataDir


def doctor(as_json: Json = False) -> None:
    """Check installation, starter, data directory and exposure; exit with 1 when something is not well."""
    settings = Settings()
    found = checks(settings)
    if next(check for check in found if check.name == "torch").found != "not installed":
        found.append(device_check(settings))
    is_open = next(check for check in found if check.name == "data directory").ok
    holder = read_holder(DataDir.at(settings.home)) if is_open else None
    server = holder.url if holder else None
    if as_json:
        print_json({"ok": all(c.ok for c in found), "server": server, "checks": [asdict(c) for c in found]})
    else:
        for check in found:
            mark = "[green]ok[/] " if check.ok else "[red]no[/] "
            out.print(f"{mark} {check.name}: {check.found}{'' if check.ok else '  → ' + check.advice}")
        out.print(f"    server: {server or 'none holds the data directory'}")
    if not all(check.ok for check in found):
        raise typer.Exit(1)
