"""Model groups: one base, its pairs and donors; read from and written to group files."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Author, Here, Wanted
from loupe.app.api.envelope import Page, Reply
from loupe.app.api.listing import page_from
from loupe.app.api.models import Precise
from loupe.app.api.pairs import begin_load, deleted_page
from loupe.app.services.group_file import take_over, write_groups
from loupe.app.services.groups import GROUP, Group, group_json
from loupe.app.workspace import Workspace

router = APIRouter(prefix="/model-groups", tags=["model-groups"])

Ids = Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=200)]


class NewGroup(BaseModel):
    """A group; `base` and `donors` are ids of models, `pairs` ids of NLA pairs."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(
        max_length=80, pattern=r"^[a-z0-9._-]+$", description="Small letters, digits, dot, dash, underscore."
    )
    name: str = Field(default="", max_length=200, description="For people; unset means the id.")
    base: str = Field(max_length=200)
    pairs: Ids = []
    donors: Ids = []
    description: str = Field(default="", max_length=2000)


class GroupChange(BaseModel):
    """What is to be different; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, max_length=200)
    pairs: Ids | None = None
    donors: Ids | None = None
    description: str | None = Field(default=None, max_length=2000)


class GroupFileBody(BaseModel):
    """The parsed JSON of a group file, ours or the older `model_groups.json`."""

    model_config = ConfigDict(extra="forbid")

    content: dict[str, Any]


class Donor(BaseModel):
    """A fine-tune or an adapter in the library."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=200)


@router.get("")
async def list_groups(
    here: Here,
    wanted: Wanted,
    deleted: Annotated[bool, Query(description="What can be restored instead.")] = False,
) -> Page[dict[str, Any]]:
    """Every group, the starter's first."""
    if deleted:
        return await deleted_page(here, GROUP, wanted)
    return page_from([view(here, g) for g in here.groups.groups()], wanted, sortable=("id", "name", "base"))


@router.post("", status_code=201)
async def add(new: NewGroup, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Keep a group."""
    here.catalogue.get(new.base)
    for donor in new.donors:
        here.catalogue.get(donor)
    values = new.model_dump() | {"name": new.name or new.id, "pairs": tuple(new.pairs), "donors": tuple(new.donors)}
    return Reply(data=view(here, await here.groups.add_group(Group(**values), author=author)))


@router.post("/import", status_code=201)
async def import_file(file: GroupFileBody, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Take over the groups and pairs of a group file. Pairs that cannot be used come with the reason."""
    taken = await take_over(file.content, here.catalogue, here.groups, author=author)
    told = {"groups": [g.id for g in taken.groups], "pairs": [p.id for p in taken.pairs], "problems": taken.problems}
    return Reply(data=told | {"unused": list(taken.unused)})


@router.get("/export")
async def export_all(here: Here) -> Reply[dict[str, Any]]:
    """All groups as a group file."""
    return Reply(data=write_groups(here.groups.groups(), here.groups.pairs()))


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """One group with its pairs' states."""
    return Reply(data=view(here, here.groups.group(id)))


@router.get("/{id}/export")
async def export(id: str, here: Here) -> Reply[dict[str, Any]]:
    """One group as a group file."""
    return Reply(data=write_groups((here.groups.group(id),), here.groups.pairs()))


@router.patch("/{id}")
async def change(id: str, wanted: GroupChange, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Change name, description, pairs or donors."""
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in wanted.model_dump(exclude_none=True).items()}
    return Reply(data=view(here, await here.groups.change_group(id, author=author, **values)))


@router.post("/{id}/donors")
async def attach(id: str, donor: Donor, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Attach a fine-tune or a PEFT adapter, whose activations the group's pairs may read."""
    return Reply(data=view(here, await here.groups.attach_donor(id, donor.model, author=author)))


@router.post("/{id}/load", status_code=202)
async def load(id: str, how: Precise, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Bring its first usable pair and its base into memory; the other pairs then load only their own halves."""
    return await begin_load(here, here.models.first_usable(here.groups.group(id)), how, author)


@router.post("/{id}/unload")
async def unload(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Let the base and everything that reads it go; 409 while a request uses it."""
    group = here.groups.group(id)
    await here.models.unload_base(group.base)
    return Reply(data=view(here, group))


@router.post("/{id}/switch")
async def switch(id: str, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Let its first usable pair answer requests that name no model; running requests keep what they use."""
    group = here.groups.group(id)
    await here.groups.set_default(here.models.first_usable(group), author=author)
    return Reply(data=view(here, group))


@router.post("/{id}/restore")
async def restore(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Take a deleted group back."""
    return Reply(data=view(here, await here.groups.restore_group(id)))


@router.delete("/{id}")
async def delete(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Put a group into the bin; its pairs and folders stay."""
    return Reply(data=group_json(await here.groups.delete_group(id)))


def view(here: Workspace, group: Group) -> dict[str, Any]:
    """A group with the states of its pairs, and whether one of them is the default."""
    known = {pair.id: pair for pair in here.groups.pairs()}
    states = {id: here.models.state_of(known[id]) for id in group.pairs if id in known}
    return group_json(group) | {"states": states, "is_default": here.groups.default in group.pairs}
