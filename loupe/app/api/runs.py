"""Runs: everything that was analysed, kept with all that is needed to repeat it."""

from typing import Any

import orjson
from fastapi import APIRouter, Response

from loupe.app.api.analyses import Accepted
from loupe.app.api.context import Here, PathsAllowed, Wanted
from loupe.app.api.envelope import Page, Reply, page_of
from loupe.app.errors import Conflict
from loupe.app.services.runs import listed_json, record_json
from loupe.engine.errors import BadOption

router = APIRouter(prefix="/runs", tags=["runs"])


@router.get("")
async def list_runs(here: Here, wanted: Wanted, state: str | None = None) -> Page[dict[str, Any]]:
    """Saved runs, newest first."""
    try:
        found = await here.runs.list(state=state, **wanted.model_dump())
    except ValueError as error:
        raise BadOption(str(error)) from error
    return page_of([listed_json(r) for r in found.items], page=found.page, limit=found.limit, total=found.total)


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """The record: options, token ids, fingerprints, versions, state, summary."""
    return Reply(data=record_json(await here.runs.get(id)))


@router.get("/{id}/result", response_class=Response)
async def result(id: str, here: Here) -> Response:
    """The result itself, `{metadata, data}`, as `loupe analyze --json` prints it."""
    return Response(orjson.dumps(await here.analyses.result(id)), media_type="application/json")


@router.post("/{id}/repeat", status_code=202)
async def repeat(id: str, here: Here, paths: PathsAllowed) -> Reply[Accepted]:
    """Run it again with the same options and seed, past the cache."""
    live = await here.analyses.repeat(id, paths_allowed=paths)
    return Reply(data=Accepted(id=live.id, state=live.state))


@router.delete("/{id}")
async def delete(id: str, here: Here) -> Reply[dict[str, str]]:
    """Delete the run and its result."""
    if here.analyses.is_busy(id):
        raise Conflict(f"Run {id} is still being made. Cancel it first.")
    await here.runs.delete(id)
    return Reply(data={"id": id, "state": "deleted"})
