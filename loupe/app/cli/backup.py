"""`loupe backup` and `loupe restore`."""

from pathlib import Path
from typing import Annotated

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.output import Json, out, print_json
from loupe.app.services.system import snapshot_json
from loupe.app.settings import Settings
from loupe.storage.backup import choose
from loupe.storage.paths import DataDir
from loupe.storage.restore import is_newer
from loupe.storage.restore import restore as restore_backup


def backup(
    target: Annotated[Path, typer.Argument(help="Folder for backups; kept snapshots share files.")],
    as_json: Json = False,
) -> None:
    """Copy all runs and results to TARGET, also while a server works."""
    with open_client(Settings()) as client:
        made = client.post("/system/backup", {"target": str(target.expanduser().resolve())})["data"]
    if as_json:
        print_json(made)
        return
    out.print(f"[green]snapshot {made['number']}[/] with {made['artefacts']} artefacts in {target}")
    if made["damaged"]:
        out.print(f"[yellow]damaged and left out:[/] {', '.join(made['damaged'])}")


def restore(
    source: Annotated[Path, typer.Argument(help="A folder written by `loupe backup`.")],
    number: Annotated[int | None, typer.Option(help="Snapshot; unset: the newest.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace an existing database; it is kept aside.")] = False,
    if_newer: Annotated[
        bool, typer.Option("--if-newer", help="Do nothing unless the snapshot is newer than what is here.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the data directory to the state of a snapshot. The server must be stopped."""
    data_dir = DataDir.create(Settings().home)
    source = source.expanduser().resolve()
    if if_newer and not is_newer(choose(source, number), data_dir):
        print_json({"restored": False}) if as_json else out.print(f"what is in {data_dir.path} is as new; left alone")
        return
    snapshot = restore_backup(source, data_dir, number=number, replace=replace or if_newer)
    if as_json:
        print_json(snapshot_json(snapshot) | {"data_dir": str(data_dir.path)})
    else:
        out.print(f"[green]restored[/] snapshot {snapshot.number} into {data_dir.path}")
