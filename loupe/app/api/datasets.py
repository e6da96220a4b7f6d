"""Datasets: texts to train on, and the token rows they are cut into."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Author, Here, PathsAllowed, Wanted
from loupe.app.api.envelope import Page, Reply, page_of
from loupe.app.services.dataset_request import DatasetRequest, TokenisationRequest
from loupe.app.services.datasets import dataset_json, tokenisation_json
from loupe.app.services.live_job import LiveJob
from loupe.engine.errors import BadOption

router = APIRouter(prefix="/datasets", tags=["datasets"])


class Begun(BaseModel):
    """Work that was accepted: the job that does it, under both names; how long it takes is not known beforehand."""

    id: str
    job_id: str
    state: str
    estimated_seconds: float | None = None


class NewName(BaseModel):
    """What a dataset is to be called."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)


def begun(live: LiveJob) -> Reply[Begun]:
    """The answer to accepted work."""
    return Reply(data=Begun(id=live.id, job_id=live.id, state=str(live.state)))


@router.get("")
async def list_datasets(
    here: Here, wanted: Wanted, deleted: Annotated[bool, Query(description="Those in the bin.")] = False
) -> Page[dict[str, Any]]:
    """Datasets with their token rows, the latest first."""
    found = await here.store.datasets.list(search=wanted.search, page=wanted.page, limit=wanted.limit, deleted=deleted)
    rows = [dataset_json(each, await here.store.datasets.tokenisations(each.id)) for each in found.items]
    return page_of(rows, page=found.page, limit=found.limit, total=found.total)


@router.post("", status_code=202)
async def create(asked: DatasetRequest, here: Here, paths: PathsAllowed, author: Author) -> Reply[Begun]:
    """Make a dataset of a pasted text, of a repository of the hub, or of files on this machine (its operator only)."""
    return begun(await here.datasets.create(asked, paths_allowed=paths, author=author))


@router.post("/upload", status_code=202)
async def upload(
    here: Here,
    author: Author,
    request: Request,
    name: Annotated[str, Query(min_length=1, max_length=200, description="What the dataset is called.")],
    file: Annotated[
        str, Query(min_length=1, max_length=300, description="Name of the file; its ending tells what it is.")
    ],
    column: Annotated[str | None, Query(max_length=200, description="Column of the text or chat.")] = None,
    split: Annotated[
        str, Query(pattern="^(blank_line|line|file)$", description="What separates documents.")
    ] = "blank_line",
) -> Reply[Begun]:
    """Make a dataset of a file, which is the body; a large one is sent to `/uploads` in pieces instead."""
    size = request.headers.get("content-length", "")
    if not size.isdigit():
        raise BadOption("Say how long the file is (Content-Length), or send it in pieces to /uploads.")
    asked = DatasetRequest.model_validate({"name": name, "column": column, "split": split})
    return begun(await here.datasets.upload(asked, file, int(size), request.stream(), author=author))


@router.post("/preview")
async def preview(asked: DatasetRequest, here: Here, paths: PathsAllowed) -> Reply[dict[str, Any]]:
    """Columns and first cells, before anything is made; of a repository also its commit, licence and parts."""
    return Reply(data=await here.datasets.preview(asked, paths_allowed=paths))


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Counts, statistics, and token rows."""
    record = await here.store.datasets.get(id)
    return Reply(data=dataset_json(record, await here.store.datasets.tokenisations(id)))


@router.patch("/{id}")
async def rename(id: str, new: NewName, here: Here) -> Reply[dict[str, Any]]:
    """Give it another name."""
    return Reply(data=dataset_json(await here.store.datasets.describe(id, name=new.name)))


@router.get("/{id}/documents")
async def documents(
    id: str,
    here: Here,
    search: Annotated[str, Query(max_length=200, description="Text to look for.")] = "",
    start: Annotated[int, Query(ge=0, le=1_000_000_000, description="Document to begin with.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200, description="Most documents.")] = 20,
) -> Reply[dict[str, Any]]:
    """Documents that contain a text, from a number on; `next` says where to go on."""
    return Reply(data=await here.datasets.documents(id, search=search, start=start, limit=limit))


@router.delete("/{id}")
async def delete(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Put it into the bin. Refused while a training reads it."""
    return Reply(data=dataset_json(await here.datasets.delete(id)))


@router.post("/{id}/restore")
async def restore(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Take it out of the bin."""
    return Reply(data=dataset_json(await here.datasets.restore(id)))


@router.post("/{id}/tokenisations", status_code=202)
async def tokenise(id: str, asked: TokenisationRequest, here: Here, author: Author) -> Reply[Begun]:
    """Cut it into token rows for one model."""
    return begun(await here.datasets.tokenise(id, asked, author=author))


@router.post("/{id}/tokenisations/preview")
async def preview_tokens(
    id: str,
    asked: TokenisationRequest,
    here: Here,
    document: Annotated[int, Query(ge=0, le=1_000_000_000, description="Which document.")] = 0,
) -> Reply[list[list[dict[str, Any]]]]:
    """The first rows that one document becomes, token by token, with flags (1 special, 2 overlap, 4 template)."""
    return Reply(data=await here.datasets.preview_tokens(id, asked, document))


@router.get("/{id}/tokenisations")
async def tokenisations(id: str, here: Here) -> Reply[list[dict[str, Any]]]:
    """The token rows of a dataset, the latest first."""
    await here.store.datasets.get(id)
    return Reply(data=[tokenisation_json(each) for each in await here.store.datasets.tokenisations(id)])


@router.delete("/{id}/tokenisations/{tokenisation}")
async def delete_tokenisation(id: str, tokenisation: str, here: Here) -> Reply[dict[str, Any]]:
    """Remove token rows for good. Refused while a training reads them."""
    await here.store.datasets.get(id)
    await here.datasets.delete_tokenisation(tokenisation)
    return Reply(data={"id": tokenisation, "state": "deleted"})
