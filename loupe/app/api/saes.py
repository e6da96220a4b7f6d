"""Sparse autoencoders: list, import, fetch from the hub, export, send to the hub, evaluate."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Author, Here, PathsAllowed, Wanted
from loupe.app.api.datasets import Begun, NewName, begun
from loupe.app.api.envelope import Page, Reply, page_of
from loupe.app.services.saes import EVALUATED_ROWS, sae_json
from loupe.engine.errors import BadOption

router = APIRouter(prefix="/saes", tags=["saes"])

Filter = Annotated[str | None, Query(max_length=200, description="Only those with this value.")]


class Import(BaseModel):
    """An SAE on this machine, in any format that is known."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, max_length=4096, description="Folder or file.")
    model: str = Field(default="starter", max_length=300, description="Model it belongs to.")
    name: str = Field(default="", max_length=200, description="What it is called; unset: as the folder.")


class SaePlace(BaseModel):
    """A repository of the hub and a revision of it."""

    model_config = ConfigDict(extra="forbid")

    repo: str = Field(description="OWNER/NAME", max_length=200, pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(default="main", description="Branch, tag or commit; pinned to its commit.", max_length=200)


class SaeDownload(SaePlace):
    """One SAE of a repository, as the preview lists it."""

    path: str = Field(min_length=1, max_length=1000, description="Which one: its `path` in the preview.")
    model: str = Field(default="starter", max_length=300, description="Model it belongs to.")
    name: str = Field(default="", max_length=200, description="What it is called; unset: as the repository.")


class SaeUpload(BaseModel):
    """Where an SAE is sent. The token must be one that may write."""

    model_config = ConfigDict(extra="forbid")

    repo: str = Field(description="OWNER/NAME", max_length=200, pattern=r"^[\w.-]+/[\w.-]+$")
    path: str = Field(default="", max_length=300, description="Folder in the repository; unset: its top.")
    private: bool = Field(default=False, description="Whether a repository that has to be made is private.")


class Judge(BaseModel):
    """Token rows to evaluate an SAE on."""

    model_config = ConfigDict(extra="forbid")

    tokenisation: str = Field(max_length=64, description="Token rows.")
    rows: int = Field(default=EVALUATED_ROWS, ge=1, le=100_000, description="Most rows that are read.")


@router.get("")
async def list_saes(
    here: Here,
    wanted: Wanted,
    architecture: Filter = None,
    source: Filter = None,
    training: Filter = None,
    deleted: Annotated[bool, Query(description="Those in the bin.")] = False,
) -> Page[dict[str, Any]]:
    """SAEs, the latest first; the search looks in names, models, hook points and architectures."""
    try:
        found = await here.store.saes.list(
            architecture=architecture,
            source=source,
            job_id=training,
            search=wanted.search,
            sort_by=wanted.sort_by,
            descending=wanted.order == "desc",
            page=wanted.page,
            limit=wanted.limit,
            deleted=deleted,
        )
    except ValueError as error:
        raise BadOption(str(error)) from error
    return page_of([sae_json(each) for each in found.items], page=found.page, limit=found.limit, total=found.total)


@router.post("/import", status_code=201)
async def take_in(asked: Import, here: Here, paths: PathsAllowed, author: Author) -> Reply[dict[str, Any]]:
    """Import an SAE by its detected format; what had to be assumed is said."""
    record = await here.saes.take_in(asked.path, model=asked.model, name=asked.name, paths_allowed=paths, author=author)
    return Reply(data=sae_json(record))


@router.post("/preview")
async def preview(place: SaePlace, here: Here) -> Reply[dict[str, Any]]:
    """The SAEs of a repository with their sizes, its commit and licence, before anything is fetched."""
    return Reply(data=await here.sae_exchange.preview(place.repo, place.revision))


@router.post("/download", status_code=202)
async def download(asked: SaeDownload, here: Here, author: Author) -> Reply[Begun]:
    """Fetch one SAE of a repository and import it."""
    where = {"model": asked.model, "name": asked.name, "author": author}
    return begun(await here.sae_exchange.download(asked.repo, asked.path, asked.revision, **where))


@router.post("/{id}/upload", status_code=202)
async def upload(id: str, asked: SaeUpload, here: Here, author: Author) -> Reply[Begun]:
    """Send it as a SAELens folder to a repository of the hub, and nowhere else."""
    where = {"path": asked.path, "private": asked.private, "author": author}
    return begun(await here.sae_exchange.upload(id, asked.repo, **where))


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Shape, place, provenance, and evaluation card."""
    return Reply(data=sae_json(await here.store.saes.get(id)))


@router.patch("/{id}")
async def rename(id: str, new: NewName, here: Here) -> Reply[dict[str, Any]]:
    """Give it another name."""
    return Reply(data=sae_json(await here.saes.rename(id, new.name)))


@router.get("/{id}/export", response_class=Response)
async def export(id: str, here: Here) -> Response:
    """The SAE as a zipped SAELens folder, which other tools open."""
    name, content = await here.saes.zipped(id)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="application/zip", headers=headers)


@router.post("/{id}/evaluate", status_code=202)
async def evaluate(id: str, asked: Judge, here: Here, author: Author) -> Reply[Begun]:
    """Judge it on token rows, and keep the card."""
    return begun(await here.saes.evaluate(id, asked.tokenisation, rows=asked.rows, author=author))


@router.delete("/{id}")
async def delete(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Put it into the bin."""
    return Reply(data=sae_json(await here.saes.delete(id)))


@router.post("/{id}/restore")
async def restore(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Take it out of the bin."""
    return Reply(data=sae_json(await here.saes.restore(id)))
