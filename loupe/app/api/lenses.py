"""Tuned lenses: list, read, fit, delete."""

import asyncio
from typing import Any

from fastapi import APIRouter

from loupe.app.api.context import Author, Here, Wanted
from loupe.app.api.datasets import Begun, begun
from loupe.app.api.envelope import Page, Reply
from loupe.app.api.listing import page_from
from loupe.app.services.lenses import LensRequest, lens_json

router = APIRouter(prefix="/lenses", tags=["lenses"])


@router.get("")
async def list_lenses(here: Here, wanted: Wanted) -> Page[dict[str, Any]]:
    """Tuned lenses in the order of preference, with scores; `in_use` marks a model's first, `problem` a damaged one."""
    rows = await asyncio.to_thread(here.lenses.listed)
    return page_from(rows, wanted, sortable=("id", "name", "model", "source", "size"))


@router.post("", status_code=202)
async def fit(asked: LensRequest, here: Here, author: Author) -> Reply[Begun]:
    """Begin to fit a lens on token rows."""
    return begun(await here.lenses.start(asked, author=author))


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Its model, recipe and held-out scores."""
    found = await asyncio.to_thread(here.lenses.listed)
    wanted = here.lenses.get(id).id
    return Reply(data=next(lens for lens in found if lens["id"] == wanted))


@router.delete("/{id}")
async def delete(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Remove a lens that was fitted here, for good."""
    return Reply(data=lens_json(await here.lenses.delete(id), in_use=False))
