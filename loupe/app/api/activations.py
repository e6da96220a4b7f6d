"""Caches of activations: list, read, write, delete."""

from typing import Any

from fastapi import APIRouter

from loupe.app.api.context import Author, Here, Wanted
from loupe.app.api.datasets import Begun, begun
from loupe.app.api.envelope import Page, Reply
from loupe.app.api.listing import page_from
from loupe.app.services.activation_cache import cache_json
from loupe.app.services.activations_request import ActivationsRequest

router = APIRouter(prefix="/activations", tags=["activations"])


@router.get("")
async def list_activations(here: Here, wanted: Wanted) -> Page[dict[str, Any]]:
    """Finished caches, the latest first: hook points, rows, bytes, statistics; a damaged one with its `problem`."""
    rows = [cache_json(cache) for cache in await here.activations.all()]
    return page_from(rows, wanted, sortable=("id", "name", "model", "tokenisation", "dtype", "rows", "size"))


@router.post("", status_code=202)
async def write(asked: ActivationsRequest, here: Here, author: Author) -> Reply[Begun]:
    """Write the activations of a model at some hook points over token rows to disk."""
    return begun(await here.activations.start(asked, author=author))


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """What it holds, what it was made of, statistics of every hook point."""
    return Reply(data=cache_json(await here.activations.get(id)))


@router.delete("/{id}")
async def delete(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Remove it for good. Refused while a training that has not ended reads it."""
    return Reply(data=cache_json(await here.activations.delete(id)))
