"""`loupe uploads`: list, send, delete: files on their way to a server."""

from pathlib import Path
from typing import Annotated

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.output import out, print_json, print_table
from loupe.app.cli.sending import send_file
from loupe.app.plain import plain
from loupe.app.settings import Settings

app = typer.Typer(help="Files on their way to a server, sent in pieces.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Id = Annotated[str, typer.Argument(help="Id from `loupe uploads list`.")]


@app.command("list")
def list_uploads(as_json: Json = False) -> None:
    """Uploads that nothing was made of yet."""
    with open_client(Settings()) as client:
        rows = client.every("/uploads")
    if as_json:
        print_json(rows)
        return
    shown = [(row["id"], plain(row["file"]), _share(row), plain(row["author"]), row["touched_at"][:16]) for row in rows]
    print_table(("id", "file", "received", "by", "last piece"), shown, empty="There is no upload.")


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


def _share(row: dict) -> str:
    return f"{row['received']:,} of {row['size']:,} bytes"
