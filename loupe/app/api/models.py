"""Models: which there are, what is in memory, and downloads from the hub."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Here
from loupe.app.api.envelope import Reply
from loupe.app.services.models import entry_json

router = APIRouter(prefix="/models", tags=["models"])


class Download(BaseModel):
    """A repository of the hub and a revision of it."""

    model_config = ConfigDict(extra="forbid")

    repo: str = Field(description="OWNER/NAME", max_length=200, pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(default="main", description="Branch, tag or commit; pinned to its commit.", max_length=200)


@router.get("")
async def list_models(here: Here) -> Reply[list[dict[str, Any]]]:
    """The starter, and every model folder of the data directory."""
    return Reply(data=[entry_json(entry, here.models.loaded) for entry in here.catalogue.entries()])


@router.post("/preview")
async def preview(wanted: Download, here: Here) -> Reply[dict[str, Any]]:
    """What a download would fetch, without fetching it."""
    plan = await here.downloads.preview(wanted.repo, wanted.revision)
    files = [{"name": f.name, "size_bytes": f.size} for f in plan.files]
    told = {"repo": plan.repo, "commit": plan.commit, "licence": plan.licence, "total_bytes": plan.total_bytes}
    return Reply(data={k: v for k, v in told.items() if v is not None} | {"files": files})


@router.post("/download", status_code=202)
async def download(wanted: Download, here: Here) -> Reply[dict[str, Any]]:
    """Fetch one revision: safetensors and plain data only."""
    return Reply(data=(await here.downloads.start(wanted.repo, wanted.revision)).status())


@router.get("/downloads/{id}")
async def read_download(id: str, here: Here) -> Reply[dict[str, Any]]:
    """How far a download is."""
    return Reply(data=here.downloads.get(id).status())


@router.post("/downloads/{id}/cancel")
async def cancel_download(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Stop a download; nothing half stays."""
    return Reply(data=here.downloads.cancel(id).status())


@router.get("/{id:path}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """One entry."""
    return Reply(data=entry_json(here.catalogue.get(id), here.models.loaded))
