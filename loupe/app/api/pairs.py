"""NLA pairs by name: which verbalizer and reconstructor read which model, and which pair is the default."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Author, Here, Wanted
from loupe.app.api.envelope import Page, Reply
from loupe.app.api.listing import page_from
from loupe.app.api.models import Precise, accepted
from loupe.app.services.groups import PAIR, Pair, pair_json
from loupe.app.workspace import Workspace

router = APIRouter(prefix="/nla-pairs", tags=["nla-pairs"])

Name = Annotated[str, Field(max_length=200)]


class NewPair(BaseModel):
    """A pair; folders are ids of models in the library."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(
        max_length=80, pattern=r"^[a-z0-9._-]+$", description="Small letters, digits, dot, dash, underscore."
    )
    name: Name = Field(default="", description="For people; unset means the id.")
    model: Name = Field(description="The base model whose activations it reads.")
    verbalizer: Name
    reconstructor: Name
    layer: int | None = Field(default=None, ge=0, description="Block it reads; unset means the sidecar's.")
    donor: Name | None = Field(default=None, description="Model or adapter to take the activations from instead.")
    batch_rows: int | None = Field(default=None, ge=1, le=4096, description="Explanations decoded together.")
    description: str = Field(default="", max_length=2000)


@router.get("")
async def list_pairs(
    here: Here,
    wanted: Wanted,
    deleted: Annotated[bool, Query(description="What can be restored instead.")] = False,
) -> Page[dict[str, Any]]:
    """Every pair, the starter's first."""
    if deleted:
        return await deleted_page(here, PAIR, wanted)
    rows = [view(here, pair) for pair in here.groups.pairs()]
    return page_from(rows, wanted, sortable=("id", "name", "model", "layer", "state"))


@router.post("", status_code=201)
async def add(new: NewPair, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Keep a pair."""
    values: dict[str, Any] = new.model_dump() | {"name": new.name or new.id}
    pair = Pair(**values)
    return Reply(data=view(here, await here.groups.add_pair(pair, author=author)))


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """One pair."""
    return Reply(data=view(here, here.groups.pair(id)))


@router.get("/{id}/fit")
async def fit(id: str, here: Here) -> Reply[dict[str, Any]]:
    """What its parts need together and one by one, against what the device has left."""
    pair = here.groups.pair(id)
    parts = {folder: (await here.library.fit(folder)).to_json() for folder in dict.fromkeys(pair.folders)}
    needed = sum(part["weights_bytes"] for part in parts.values())
    available = min(part["available_bytes"] for part in parts.values())
    return Reply(
        data={"needed_bytes": needed, "available_bytes": available, "fits": needed <= available, "parts": parts}
    )


@router.post("/{id}/load", status_code=202)
async def load(id: str, how: Precise, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Bring a pair and its base into memory: a job with visible stages; a shared base is not loaded again."""
    return await begin_load(here, id, how, author)


@router.post("/{id}/unload")
async def unload(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Let its halves go, and the base when no other pair reads it; 409 while a request uses it."""
    pair = here.groups.pair(id)
    await here.models.unload_pair(pair)
    return Reply(data=view(here, pair))


@router.post("/{id}/default")
async def make_default(id: str, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Let it answer requests that name no model. Nobody's running request changes."""
    return Reply(data=view(here, await here.groups.set_default(id, author=author)))


@router.post("/{id}/restore")
async def restore(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Take a deleted pair back."""
    return Reply(data=view(here, await here.groups.restore_pair(id)))


@router.delete("/{id}")
async def delete(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Put a pair into the bin; its folders stay."""
    return Reply(data=pair_json(await here.groups.delete_pair(id)))


async def deleted_page(here: Workspace, kind: str, wanted: Wanted) -> Page[dict[str, Any]]:
    """What of a kind can be restored."""
    gone = await here.store.library.list(kind, deleted=True)
    rows = [{"id": e.id, "name": e.name, "deleted_at": e.deleted_at} for e in gone]
    return page_from(rows, wanted, sortable=("id", "name", "deleted_at"))


async def begin_load(here: Workspace, id: str, how: Precise, author: str) -> Reply[dict[str, Any]]:
    """Begin to load a pair, and say how long that may take."""
    job = await here.loads.load_pair(id, how.dtype, device=how.device, author=author)
    size = sum(here.catalogue.get(folder).size for folder in here.groups.pair(id).folders)
    return Reply(data=accepted(job, here.loads.estimate(size)))


def view(here: Workspace, pair: Pair) -> dict[str, Any]:
    """A pair with its state for programs."""
    return pair_json(pair, default=here.groups.default) | {"state": here.models.state_of(pair)}
