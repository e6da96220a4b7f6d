"""The process and its machine, its settings, backups while running, and the diagnostics bundle."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from loupe.app.api.context import Author, Here, PathsAllowed, Wanted
from loupe.app.api.envelope import Page, Reply
from loupe.app.api.listing import page_from
from loupe.app.errors import Forbidden
from loupe.app.services.backups import snapshot_json
from loupe.app.services.diagnostics import bundle
from loupe.app.services.placements import devices_held

router = APIRouter(prefix="/system", tags=["system"])


class Target(BaseModel):
    """Where a backup goes."""

    model_config = ConfigDict(extra="forbid")

    target: str


@router.get("")
async def overview(here: Here) -> Reply[dict[str, Any]]:
    """Device, memory, disk, versions, queue, latencies."""
    busy = [live.status() for live in here.analyses.live if live.busy]
    loaded = [pair.spec.model.name for pair in here.models.loaded]
    devices = await devices_held(here.engine)
    return Reply(data=here.system.overview() | {"analyses": busy, "loaded": loaded, "devices": devices})


@router.get("/glance")
async def glance(here: Here) -> Reply[dict[str, Any]]:
    """What the header of every page shows: device, memory, what runs, how many wait."""
    return Reply(data=here.system.glance())


@router.get("/history")
async def history(
    here: Here, last: Annotated[int, Query(ge=1, le=720, description="Newest samples, five seconds apart.")] = 720
) -> Reply[list[dict[str, Any]]]:
    """Processors, memory, device and the lag of the event loop during the last hour, oldest first."""
    return Reply(data=[asdict(sample) for sample in list(here.history.samples)[-last:]])


@router.get("/disk")
async def disk(here: Here) -> Reply[dict[str, int]]:
    """Bytes of the data directory by what they are, the largest first."""
    return Reply(data=await here.system.disk())


@router.get("/settings")
async def settings(here: Here, wanted: Wanted) -> Page[dict[str, Any]]:
    """Every setting, its value and where that came from; secrets only as set or not."""
    return page_from(here.system.setting_rows(), wanted, sortable=("name", "source"))


@router.post("/backup")
async def backup(wanted: Target, here: Here, paths: PathsAllowed) -> Reply[dict[str, Any]]:
    """Write a backup while running. Only for this machine's own command line, since it names a path."""
    if not paths:
        raise Forbidden("A backup names a path, so only this machine's own command line may ask for it.")
    return Reply(data=await here.system.backup(Path(wanted.target)))


@router.get("/backups")
async def backups(here: Here, wanted: Wanted) -> Page[dict[str, Any]]:
    """The snapshots in the server's own backup folder, newest first."""
    rows = [snapshot_json(snapshot) for snapshot in await here.backups.list()]
    return page_from(rows, wanted, sortable=("number", "created_at", "artefacts"))


@router.post("/backups", status_code=202)
async def back_up_now(here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Make a snapshot there, as a job."""
    return Reply(data=await here.jobs.get((await here.backups.make(author=author)).id))


@router.post("/backups/{number}/verify", status_code=202)
async def verify(number: int, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Read a snapshot in full and compare every byte, as a job; 0 means the newest."""
    return Reply(data=await here.jobs.get((await here.backups.check(number or None, author=author)).id))


@router.get("/diagnostics", response_class=Response)
async def diagnostics(here: Here) -> Response:
    """A zip for a bug report: versions, settings, timings and log lines; no secret, no prompt, no name."""
    name = f"loupe-diagnostics-{datetime.now(UTC):%Y%m%dT%H%M%S}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(await bundle(here), media_type="application/zip", headers=headers)
