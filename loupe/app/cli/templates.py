"""`loupe templates`: recipes of trainings by name; `loupe train ROWS --template ID` begins from one."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.kept import delete_kept, list_kept, restore_kept
from loupe.app.cli.output import Json, out, print_json, print_written
from loupe.app.plain import plain
from loupe.app.settings import Settings

app = typer.Typer(help="Recipes of trainings, to begin from.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id from `loupe templates list`.")]


@app.command("list")
def list_templates(
    search: Annotated[str, typer.Option(help="In names and descriptions.")] = "",
    deleted: Annotated[bool, typer.Option("--deleted", help="Those in the bin.")] = False,
    as_json: Json = False,
) -> None:
    """Favourites first, then your own, then those that ship."""
    columns = ("id", "", "name", "SAEs", "about")
    list_kept(
        "templates", columns, _cells, search=search, deleted=deleted, as_json=as_json, empty="There is no template."
    )


@app.command("show")
def show(id: Id, as_json: Json = False) -> None:
    """A template with its whole recipe."""
    with open_client(Settings()) as client:
        found = client.get(f"/templates/{id}")["data"]
    if as_json:
        print_json(found)
        return
    out.print(f"{plain(found['name'])}: {plain(found['about'])}", markup=False)
    out.print_json(json.dumps(found["recipe"]))


@app.command("save")
def save(
    training: Annotated[str, typer.Argument(help="Id of a training, whose recipe is kept.")],
    name: Annotated[str, typer.Option(help="What the template is called.")] = "",
    about: Annotated[str, typer.Option(help="What it is for.")] = "",
    as_json: Json = False,
) -> None:
    """Keep the recipe of a training."""
    with open_client(Settings()) as client:
        recipe = client.get(f"/trainings/{training}")["data"]["recipe"]
        made = client.post("/templates", {"name": name, "about": about, "recipe": recipe})["data"]
    _told(made, as_json)


@app.command("import")
def take_in(
    path: Annotated[Path, typer.Argument(help="A file that `loupe templates export` wrote.")], as_json: Json = False
) -> None:
    """Keep a template from a file."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path} is no template: {error}") from error
    with open_client(Settings()) as client:
        made = client.post("/templates", body)["data"]
    _told(made, as_json)


@app.command("export")
def export(
    id: Id,
    to: Annotated[Path, typer.Argument(help="File to write; a folder takes it under its own name.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a template as a file."""
    with open_client(Settings()) as client:
        name, content = client.get_file(f"/templates/{id}/export")
    place = to / name if to.is_dir() else to
    place.write_bytes(content)
    print_written(place, as_json=as_json)


@app.command("rename")
def rename(id: Id, name: Annotated[str, typer.Argument(help="Its new name.")], as_json: Json = False) -> None:
    """Give it another name."""
    _changed(id, {"name": name}, as_json)


@app.command("favourite")
def favourite(
    id: Id, off: Annotated[bool, typer.Option("--off", help="No favourite any more.")] = False, as_json: Json = False
) -> None:
    """Let it come first."""
    _changed(id, {"favourite": not off}, as_json)


@app.command("delete")
def delete(id: Id, as_json: Json = False) -> None:
    """Put it into the bin."""
    delete_kept("templates", id, as_json=as_json)


@app.command("restore")
def restore(id: Id, as_json: Json = False) -> None:
    """Take it out of the bin."""
    restore_kept("templates", id, as_json=as_json)


def _changed(id: str, change: dict[str, Any], as_json: bool) -> None:
    with open_client(Settings()) as client:
        _told(client.patch(f"/templates/{id}", change)["data"], as_json)


def _told(template: dict[str, Any], as_json: bool) -> None:
    print_json(template) if as_json else out.print(f"[green]{template['id']}[/] {plain(template['name'])}")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    favourite = "★" if row.get("is_favourite") else ""
    return (row["id"], favourite, plain(row["name"]), row.get("summary", ""), plain(row.get("about", "")))
