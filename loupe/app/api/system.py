"""The process and its machine, its settings, and backups while running."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from loupe.app.api.context import Here, PathsAllowed
from loupe.app.api.envelope import Reply
from loupe.app.errors import Forbidden

router = APIRouter(prefix="/system", tags=["system"])


class Target(BaseModel):
    """Where a backup goes."""

    model_config = ConfigDict(extra="forbid")

    target: str


@router.get("")
async def overview(here: Here) -> Reply[dict[str, Any]]:
    """Device, memory, disk, versions, queue."""
    busy = [live.status() for live in here.analyses.live if live.busy]
    loaded = [pair.spec.model.name for pair in here.models.loaded]
    return Reply(data=here.system.overview() | {"analyses": busy, "loaded": loaded})


@router.get("/settings")
async def settings(here: Here) -> Reply[list[dict[str, Any]]]:
    """Every setting, its value and where that came from; secrets only as set or not."""
    return Reply(data=here.system.setting_rows())


@router.post("/backup")
async def backup(wanted: Target, here: Here, paths: PathsAllowed) -> Reply[dict[str, Any]]:
    """Write a backup while running. Only for this machine's own command line, since it names a path."""
    if not paths:
        raise Forbidden("A backup names a path, so only this machine's own command line may ask for it.")
    return Reply(data=await here.system.backup(Path(wanted.target)))
