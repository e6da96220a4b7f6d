"""`loupe pairs` and `loupe groups`: NLA pairs and model groups by name."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.following import finished
from loupe.app.cli.models import Device, Dtype, Search, ended, show, told
from loupe.app.cli.output import Json, print_json
from loupe.app.settings import Settings
from loupe.engine.errors import CorruptFile

pairs = typer.Typer(help="NLA pairs: list, add, load, unload, default, delete, restore.", no_args_is_help=True)
groups = typer.Typer(help="Model groups: list, add, load, switch, import, export, delete.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Its id.")]
File = Annotated[Path, typer.Argument(help="groups.json, or the older model_groups.json.")]


@pairs.command("list")
def list_pairs(as_json: Json = False, search: Search = "", deleted: bool = False) -> None:
    """All pairs, or those that can be restored."""
    _list(
        "/nla-pairs",
        ("id", "state", "is_default", "model", "verbalizer", "reconstructor", "layer"),
        as_json,
        search,
        deleted,
    )


@pairs.command("add")
def add_pair(
    id: Id,
    model: Annotated[str, typer.Option(help="Id of the base model.")],
    verbalizer: Annotated[str, typer.Option(help="Id of the verbalizer.")],
    reconstructor: Annotated[str, typer.Option(help="Id of the reconstructor.")],
    donor: Annotated[str | None, typer.Option(help="Id of a donor model or adapter.")] = None,
    layer: Annotated[int | None, typer.Option(help="Block it reads; unset means the sidecar's.")] = None,
    as_json: Json = False,
) -> None:
    """Keep a pair under a name."""
    body = {"id": id, "model": model, "verbalizer": verbalizer, "reconstructor": reconstructor}
    _post("/nla-pairs", body | {"donor": donor, "layer": layer}, as_json)


@pairs.command("default")
def default_pair(id: Id, as_json: Json = False) -> None:
    """Let it answer requests that name no model."""
    _post(f"/nla-pairs/{id}/default", None, as_json)


@groups.command("list")
def list_groups(as_json: Json = False, search: Search = "", deleted: bool = False) -> None:
    """All groups, or those that can be restored."""
    _list("/model-groups", ("id", "name", "is_default", "base", "pairs", "donors"), as_json, search, deleted)


@groups.command("add")
def add_group(
    id: Id,
    base: Annotated[str, typer.Option(help="Id of the base model.")],
    pair: Annotated[list[str] | None, typer.Option(help="Id of a pair; may be given several times.")] = None,
    donor: Annotated[list[str] | None, typer.Option(help="Id of a donor; may be given several times.")] = None,
    as_json: Json = False,
) -> None:
    """Keep a group under a name."""
    _post("/model-groups", {"id": id, "base": base, "pairs": pair or [], "donors": donor or []}, as_json)


@groups.command("switch")
def switch(id: Id, as_json: Json = False) -> None:
    """Let its first usable pair answer requests that name no model."""
    _post(f"/model-groups/{id}/switch", None, as_json)


@groups.command("attach")
def attach(
    id: Id, model: Annotated[str, typer.Argument(help="Id of a fine-tune or adapter.")], as_json: Json = False
) -> None:
    """Attach a donor."""
    _post(f"/model-groups/{id}/donors", {"model": model}, as_json)


@groups.command("import")
def import_file(file: File, as_json: Json = False) -> None:
    """Take over the groups and pairs of a file, and say what of it cannot be used."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CorruptFile(f"{file} could not be read as JSON: {error}") from error
    _post("/model-groups/import", {"content": content}, as_json)


@groups.command("export")
def export(id: Annotated[str, typer.Argument(help="A group; unset means all.")] = "", as_json: Json = False) -> None:
    """Print a group file, which is JSON with and without --json; with it errors are too."""
    with open_client(Settings()) as client:
        print_json(client.get(f"/model-groups/{id + '/' if id else ''}export")["data"])


def _add_common(app: typer.Typer, path: str) -> None:
    """What both nouns can do with one of theirs."""

    @app.command("load")
    def load(id: Id, dtype: Dtype = "auto", device: Device = "", as_json: Json = False) -> None:
        """Bring it and its base into a server's memory; of a group, its first usable pair."""
        with open_client(Settings()) as client:
            begun = client.post(f"{path}/{id}/load", {"dtype": dtype, "device": device})["data"]
            job = finished(client, begun["job_id"], title=f"loading {id}", quiet=as_json)
        ended(job, as_json, id)

    @app.command("unload")
    def unload(id: Id, as_json: Json = False) -> None:
        """Let it go: of a pair its halves, of a group its base and all that reads it."""
        _post(f"{path}/{id}/unload", None, as_json)

    @app.command("delete")
    def delete(id: Id, as_json: Json = False) -> None:
        """Put it into the bin; what it is made of stays."""
        with open_client(Settings()) as client:
            told(client.delete(f"{path}/{id}")["data"], as_json)

    @app.command("restore")
    def restore(id: Id, as_json: Json = False) -> None:
        """Take it out of the bin."""
        _post(f"{path}/{id}/restore", None, as_json)


_add_common(pairs, "/nla-pairs")
_add_common(groups, "/model-groups")


def _list(path: str, columns: tuple[str, ...], as_json: bool, search: str, deleted: bool) -> None:
    with open_client(Settings()) as client:
        rows = client.every(path, search=search, deleted=deleted)
    show(rows, ("id", "name", "deleted_at") if deleted else columns, as_json, "Nothing here.")


def _post(path: str, body: dict[str, Any] | None, as_json: bool) -> None:
    with open_client(Settings()) as client:
        told(client.post(path, body)["data"], as_json)
