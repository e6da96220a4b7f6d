"""Models: which there are, what is in memory, what they are made of; adding, loading, certifying, deleting."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from loupe.app.api.context import Author, Here, PathsAllowed, Wanted
from loupe.app.api.envelope import Page, Reply
from loupe.app.api.listing import page_from
from loupe.app.services.catalogue import Kind
from loupe.app.services.downloads import folder_name, plan_of
from loupe.app.services.live_job import LiveJob
from loupe.app.services.model_view import entry_json
from loupe.app.services.options import Dtype
from loupe.app.workspace import Workspace

router = APIRouter(prefix="/models", tags=["models"])

Precision = Annotated[Dtype, Query(description="Precision of the weights.")]
Device = Annotated[str, Query(max_length=200, description="Where it would go; unset means where it goes now.")]
Confirm = Annotated[bool, Query(description="Meant, although something depends on it.")]
SORTABLE = ("id", "kind", "state", "size_bytes", "source", "architecture", "n_layers", "d_model", "layer")


class Place(BaseModel):
    """A repository of the hub and a revision of it, or a folder of this machine."""

    model_config = ConfigDict(extra="forbid")

    repo: str | None = Field(default=None, description="OWNER/NAME", max_length=200, pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(default="main", description="Branch, tag or commit; pinned to its commit.", max_length=200)
    folder: str | None = Field(default=None, description="Full path; this machine's operator only.", max_length=1000)
    name: str = Field(default="", description="Name in the library for a folder; unset means its own.", max_length=200)
    dtype: Dtype = Field(default="auto", description="Precision to estimate the fit for.")

    @model_validator(mode="after")
    def _one_place(self) -> "Place":
        if (self.repo is None) == (self.folder is None):
            raise ValueError("give either repo or folder")
        return self


class Download(BaseModel):
    """A repository of the hub and a revision of it."""

    model_config = ConfigDict(extra="forbid")

    repo: str = Field(description="OWNER/NAME", max_length=200, pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(default="main", description="Branch, tag or commit; pinned to its commit.", max_length=200)


class Precise(BaseModel):
    """How a model is loaded."""

    model_config = ConfigDict(extra="forbid")

    dtype: Dtype = Field(default="auto", description="Precision of the weights.")
    device: str = Field(
        default="",
        max_length=200,
        description="Where: `cpu`, `mps`, `cuda:1`, several such as `cuda:0,cuda:1`, or `cuda:0+cpu`, where blocks "
        "that do not fit wait in CPU memory; `auto` forgets an earlier choice, unset keeps it.",
    )


class Token(BaseModel):
    """A hub token. It can be written and removed, never read."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=500, description="The token, as the hub shows it once.")


@router.get("")
async def list_models(
    here: Here,
    wanted: Wanted,
    kind: Annotated[Kind | None, Query(description="Only folders of this kind.")] = None,
    deleted: Annotated[bool, Query(description="What can be restored instead.")] = False,
) -> Page[dict[str, Any]]:
    """The starter, and every model folder of the data directory."""
    if deleted:
        return page_from(here.library.deleted(), wanted, sortable=("id", "deleted_at", "size_bytes"))
    rows = [entry_json(entry, here.models) for entry in here.catalogue.entries()]
    return page_from([row for row in rows if kind in (None, row["kind"])], wanted, sortable=SORTABLE)


@router.post("", status_code=201, responses={202: {"description": "A download began."}})
async def add(
    place: Place, here: Here, allowed: PathsAllowed, author: Author, answer: Response
) -> Reply[dict[str, Any]]:
    """Take a folder of this machine into the list (201), or begin a download (202 with its job)."""
    if place.repo is not None:
        answer.status_code = 202
        return Reply(data=await _downloading(here, place.repo, place.revision, author))
    entry = await here.library.add_folder(str(place.folder), name=place.name, paths_allowed=allowed)
    return Reply(data=entry_json(entry, here.models))


@router.post("/preview")
async def preview(place: Place, here: Here, allowed: PathsAllowed) -> Reply[dict[str, Any]]:
    """What adding it would bring, without adding it: files, config, size, licence, gating, and whether it fits."""
    if place.repo is not None:
        return Reply(data=await here.library.preview_repo(place.repo, place.revision, dtype=place.dtype))
    return Reply(data=await here.library.preview_folder(str(place.folder), dtype=place.dtype, paths_allowed=allowed))


@router.post("/download", status_code=202)
async def download(wanted: Download, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Fetch one revision: safetensors and plain data only. The job's id is under `job_id`."""
    return Reply(data=await _downloading(here, wanted.repo, wanted.revision, author))


@router.get("/hub-token")
async def token(here: Here) -> Reply[dict[str, Any]]:
    """Whether there is a hub token and where it comes from; never the token."""
    return Reply(data={"source": here.hub_token.source})


@router.put("/hub-token")
async def write_token(given: Token, here: Here) -> Reply[dict[str, Any]]:
    """Keep a hub token in the keyring, else in a file that only its owner can read; never in database or backups."""
    await asyncio.to_thread(here.hub_token.write, given.token)
    return Reply(data={"source": here.hub_token.source})


@router.delete("/hub-token")
async def forget_token(here: Here) -> Reply[dict[str, Any]]:
    """Remove the written hub token."""
    await asyncio.to_thread(here.hub_token.forget)
    return Reply(data={"source": here.hub_token.source})


@router.get("/{id:path}/fit")
async def fit(id: str, here: Here, dtype: Precision = "auto", device: Device = "") -> Reply[dict[str, Any]]:
    """Weights at this dtype and room to read 2 000 tokens, against what is left: where it would go, and everywhere."""
    told = (await here.library.fit(id, dtype, device)).to_json()
    places = await here.placements.fits(here.catalogue.get(id).path, dtype)
    return Reply(data=told | {"dtypes": here.library.dtypes(id), "devices": places})


@router.get("/{id:path}/architecture")
async def architecture(id: str, here: Here) -> Reply[dict[str, Any]]:
    """The tree of modules, alike blocks once, with the hook points that are read at each."""
    return Reply(data=await here.library.architecture(id))


@router.get("/{id:path}/certificate")
async def certificate(id: str, here: Here) -> Reply[dict[str, Any] | None]:
    """What the last certification found, with date and versions; null when there was none."""
    here.catalogue.get(id)
    return Reply(data=await here.loads.certificate(id))


@router.get("/{id:path}/dependants")
async def dependants(id: str, here: Here) -> Reply[dict[str, Any]]:
    """What would miss it: pairs, groups, saved runs, and requests that use it now."""
    return Reply(data=(await here.library.dependants(id)).to_json())


@router.get("/{id:path}/fingerprint")
async def fingerprint(id: str, here: Here) -> Reply[dict[str, str]]:
    """The sha256 over config and weights: equal fingerprints compute the same."""
    return Reply(data={"fingerprint": await here.library.fingerprint(id)})


@router.post("/{id:path}/load", status_code=202)
async def load(id: str, how: Precise, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Bring a base model into memory: a job with visible stages and a test input at its end."""
    job = await here.loads.load_model(id, how.dtype, device=how.device, author=author)
    return Reply(data=accepted(job, here.loads.estimate(here.catalogue.get(id).size)))


@router.post("/{id:path}/unload")
async def unload(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Let everything go that was loaded from it; 409 while a request uses it."""
    entry = here.catalogue.get(id)
    gone = await here.models.unload_folder(entry.path)
    return Reply(data=entry_json(entry, here.models) | {"unloaded_parts": gone})


@router.post("/{id:path}/certify", status_code=202)
async def certify(id: str, how: Precise, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Check its hook points against its own hidden states: a job whose outcome stays on record."""
    return Reply(data=accepted(await here.loads.certify(id, how.dtype, author=author), None))


@router.post("/{id:path}/restore")
async def restore(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Take a deleted folder back into the list."""
    return Reply(data=entry_json(await here.library.restore(id), here.models))


@router.delete("/{id:path}")
async def delete(id: str, here: Here, confirm: Confirm = False) -> Reply[dict[str, Any]]:
    """Take it out of the list. Told until when it can be restored; 409 with what depends on it unless confirmed."""
    return Reply(data=await here.library.delete(id, confirm=confirm))


@router.get("/{id:path}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """One entry."""
    return Reply(data=entry_json(here.catalogue.get(id), here.models))


def accepted(job: LiveJob, seconds: float | None) -> dict[str, Any]:
    """What a 202 says: the job, and how long it will take where an earlier one was measured."""
    told = {"job_id": job.id, "state": str(job.state), "estimated_seconds": seconds}
    return {name: value for name, value in told.items() if value is not None}


async def _downloading(here: Workspace, repo: str, revision: str, author: str) -> dict[str, Any]:
    job = await here.downloads.start(repo, revision, author=author)
    plan = plan_of(job.record.request)
    about = {"repo": repo, "commit": plan.commit, "total_bytes": plan.total_bytes, "model": folder_name(plan)}
    return accepted(job, here.downloads.estimate(plan.total_bytes)) | about
