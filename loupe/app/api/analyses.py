"""Analyses: start one, look how far it is, read what is finished, cancel it. Its id is that of the run it becomes."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from loupe.app.api.context import Here, PathsAllowed
from loupe.app.api.envelope import Reply
from loupe.app.services.options import AnalysisOptions

router = APIRouter(prefix="/analyses", tags=["analyses"])


class Accepted(BaseModel):
    """The run that was accepted, and about how long it will take (absent before anything was measured)."""

    id: str
    state: str
    estimated_seconds: float | None = None


@router.post("", status_code=202)
async def start(options: AnalysisOptions, here: Here, paths: PathsAllowed, response: Response) -> Reply[Accepted]:
    """Accept an analysis. Follow it at the Location, or by the event stream."""
    live = await here.analyses.start(options, paths_allowed=paths)
    response.headers["Location"] = f"/api/v1/analyses/{live.id}"
    return Reply(data=Accepted(id=live.id, state=live.state, estimated_seconds=here.analyses.estimate(options)))


@router.get("")
async def list_live(here: Here) -> Reply[list[dict[str, Any]]]:
    """The analyses that wait or run now."""
    return Reply(data=[live.status() for live in here.analyses.live if live.busy])


@router.get("/{id}")
async def read(id: str, here: Here, after: int | None = None) -> Reply[dict[str, Any]]:
    """State and progress; with `after=N` also the rows finished after the first N, in the order they finished."""
    live = here.analyses.get(id)
    more = {"rows": here.analyses.rows(live)[after:]} if after is not None else {}
    return Reply(data=live.status() | more)


@router.post("/{id}/cancel")
async def cancel(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Stop within one decode step. Positions that are finished stay readable until the server stops."""
    return Reply(data=(await here.analyses.cancel(id)).status())
