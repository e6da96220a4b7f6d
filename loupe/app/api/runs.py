"""Runs: everything that was analysed, kept with all that is needed to repeat, export, compare and restore it."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.analyses import Accepted
from loupe.app.api.context import Author, Here, PathsAllowed, Wanted
from loupe.app.api.datasets import Begun, begun
from loupe.app.api.envelope import Page, Reply, page_of
from loupe.app.api.listing import page_from
from loupe.app.services.comparison import compare as laid_beside
from loupe.app.services.exports import Format
from loupe.app.services.exports import export as exported
from loupe.app.services.runs import MAX_NAME, listed_json, record_json
from loupe.engine.errors import BadOption

router = APIRouter(prefix="/runs", tags=["runs"])

INERT = "sandbox; default-src 'none'"  # an export that is opened instead of saved may do nothing in our name
Filter = Annotated[str | None, Query(max_length=200, description="Only runs with this value.")]
Form = Annotated[Format, Query(description="Form of the file.")]


class NewName(BaseModel):
    """What a run is to be called."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_NAME)


class UploadedRuns(BaseModel):
    """A file of runs that was sent in pieces."""

    model_config = ConfigDict(extra="forbid")

    upload: str = Field(min_length=1, max_length=40, description="Id of a complete upload.")


class Dependants(BaseModel):
    """What refers to a run: how many in each table, the names of the first, and whether they go for good with it."""

    kind: str
    goes_too: bool
    count: int
    names: list[str]


class Imported(BaseModel):
    """The runs that an upload became."""

    ids: list[str]
    runs: list[dict[str, Any]]


@router.get("")
async def list_runs(
    here: Here,
    wanted: Wanted,
    state: Filter = None,
    model: Filter = None,
    author: Filter = None,
    deleted: Annotated[bool, Query(description="Those that were deleted and can be restored.")] = False,
) -> Page[dict[str, Any]]:
    """Saved runs, newest first."""
    filters = {"state": state, "model": model, "author": author, "deleted": deleted}
    try:
        found = await here.runs.list(**filters, **wanted.model_dump())
    except ValueError as error:
        raise BadOption(str(error)) from error
    return page_of([listed_json(r) for r in found.items], page=found.page, limit=found.limit, total=found.total)


@router.get("/filters")
async def filters(here: Here) -> Reply[dict[str, dict[str, int]]]:
    """Which models, authors and states there are, and how many runs each has."""
    return Reply(data=await here.runs.rows.choices())


@router.get("/compare")
async def compare(
    here: Here,
    a: Annotated[str, Query(description="Id of a run, or sample:ID.", max_length=200)],
    b: Annotated[str, Query(description="Id of the other.", max_length=200)],
    changed: Annotated[bool, Query(description="Only the places that differ.")] = False,
) -> Reply[dict[str, Any]]:
    """Two runs side by side: verdict, what was asked differently, means, and the difference at every place."""
    first, second = await here.runs.document(a), await here.runs.document(b)
    found = await asyncio.to_thread(laid_beside, first, second)
    return Reply(data={"a": a, "b": b} | found.to_json(changed_only=changed))


@router.post("/import", status_code=201)
async def import_runs(
    here: Here,
    who: Author,
    request: Request,
    file: Annotated[str, Query(description="What the file is called, for the record.", max_length=300)] = "",
) -> Reply[Imported]:
    """Take in the runs of a file, which is the body: JSON, JSONL, CSV, Parquet, or the older viewer's JSONL.

    All of them or none; a mistake is told with its line. A large file is sent to `/uploads` in pieces instead.
    """
    records = await here.runs.take_in(await request.body(), file, by=who)
    return Reply(data=Imported(ids=[r.id for r in records], runs=[listed_json(r) for r in records]))


@router.post("/imports", status_code=202)
async def begin_import(asked: UploadedRuns, here: Here, who: Author) -> Reply[Begun]:
    """Take in the runs of a complete upload, as a job; each run says in its `origin` which job brought it.

    All of them or none; the error of a job that refused them has every wrong line.
    """
    live = await here.run_uploads.start(asked.upload, author=who)
    return begun(live)


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """The record: options, token ids, fingerprints, versions, state, summary."""
    return Reply(data=record_json(await here.runs.get(id)))


@router.patch("/{id}")
async def rename(id: str, new: NewName, here: Here) -> Reply[dict[str, Any]]:
    """Give the run another name."""
    return Reply(data=listed_json(await here.runs.rename(id, new.name)))


@router.get("/{id}/result", response_class=Response)
async def result(id: str, here: Here) -> Response:
    """The result itself, `{metadata, data}`, as `loupe analyze --json` prints it."""
    return Response(orjson.dumps(await here.analyses.result(id)), media_type="application/json")


@router.get("/{id}/export", response_class=Response)
async def export(id: str, here: Here, format: Form = Format.JSON) -> Response:
    """The run as a file. All formats but HTML can be imported again."""
    document = await here.runs.document(id)
    file = await asyncio.to_thread(exported, document, format)
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"', "Content-Security-Policy": INERT}
    return Response(file.content, media_type=file.media_type, headers=headers)


@router.post("/{id}/repeat", status_code=202)
async def repeat(id: str, here: Here, paths: PathsAllowed, who: Author) -> Reply[Accepted]:
    """Run it again with the same options and seed, past the cache. Compare the two when it is done."""
    live = await here.analyses.repeat(id, paths_allowed=paths, author=who)
    return Reply(data=Accepted(id=live.id, state=live.state, estimated_seconds=here.analyses.estimate(live.options)))


@router.get("/{id}/dependants")
async def dependants(id: str, here: Here, wanted: Wanted) -> Page[dict[str, Any]]:
    """What refers to the run and would lose it; look before you delete."""
    found = await here.runs.rows.dependants(id)
    rows = [Dependants.model_validate(asdict(each)).model_dump() for each in found]
    return page_from(rows, wanted, sortable=("kind", "count"))


@router.delete("/{id}")
async def delete(
    id: str,
    here: Here,
    who: Author,
    forever: Annotated[bool, Query(description="At once and for good, not into the bin.")] = False,
) -> Reply[dict[str, Any]]:
    """Put the run into the bin, from which it can be restored for some days."""
    record = await here.analyses.delete(id, by=who, forever=forever)
    gone_at = here.runs.gone_at(record)
    state = "deleted" if forever or gone_at is None else "in_bin"
    return Reply(data={"id": id, "state": state} | ({"gone_at": gone_at.isoformat()} if gone_at else {}))


@router.post("/{id}/restore")
async def restore(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Take the run out of the bin."""
    return Reply(data=listed_json(await here.runs.restore(id)))
