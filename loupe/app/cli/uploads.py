"""`loupe uploads`: list, send, delete: files on their way to a server."""

from pathlib import Path
from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.kept import list_kept
from loupe.app.cli.output import Json, out, print_json
from loupe.app.cli.sending import send_file
from loupe.app.plain import plain
from loupe.app.settings import Settings

app = typer.Typer(help="Files on their way to a server, sent in pieces.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id from `loupe uploads list`.")]


@app.command("list")
def list_uploads(as_json: Json = False) -> None:
    """Uploads that nothing was made of yet."""
    columns = ("id", "file", "received", "by", "last piece")
    list_kept("uploads", columns, _cells, as_json=as_json, empty="There is no upload.")


@app.command("send")
def send(path: Annotated[Path, typer.Argument(help="The file.")], as_json: Json = False) -> None:
    """Send a file, or go on with it after a break; what takes files takes the id that is printed."""
    with open_client(Settings()) as client:
        id = send_file(client, path, quiet=as_json)
        found = client.get(f"/uploads/{id}")["data"]
    print_json(found) if as_json else out.print(f"[green]{id}[/] {_share(found)}")


@app.command("delete")
def delete(
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Also when it is another person's.")] = False,
    as_json: Json = False,
) -> None:
    """Forget an upload and its bytes."""
    with open_client(Settings()) as client:
        gone = client.delete(f"/uploads/{id}", confirm=yes)["data"]
    print_json(gone) if as_json else out.print(f"{id} is deleted")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["id"], plain(row["file"]), _share(row), plain(row["author"]), row["touched_at"][:16])


def _share(row: dict[str, Any]) -> str:
    return f"{row['received']:,} of {row['size']:,} bytes"
