"""Analyses: start one, look how far it is, read what is finished, cancel it. Its id is that of the run it becomes."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel

from loupe.app.api.context import Author, Confirm, Here, PathsAllowed, Wanted
from loupe.app.api.envelope import Page, Reply
from loupe.app.api.listing import page_from
from loupe.app.services.options import AnalysisOptions

router = APIRouter(prefix="/analyses", tags=["analyses"])

EXAMPLES: Any = {
    "text": {"value": {"text": "The fox lost her lantern.", "best_of": 4, "temperature": 1}},
    "chat": {"value": {"messages": [{"role": "user", "content": "Where is the lantern?"}], "positions": "last_turn"}},
}


class Accepted(BaseModel):
    """The run that was accepted, and about how long it will take (absent before anything was measured)."""

    id: str
    state: str
    estimated_seconds: float | None = None


After = Annotated[int | None, Query(ge=0, lt=2**31, description="Leave out this many of the rows that finished first.")]


@router.post("", status_code=202)
async def start(
    options: Annotated[AnalysisOptions, Body(openapi_examples=EXAMPLES)],
    here: Here,
    paths: PathsAllowed,
    author: Author,
    response: Response,
) -> Reply[Accepted]:
    """Accept an analysis. Follow it at the Location, or by the event stream."""
    live = await here.analyses.start(options, paths_allowed=paths, author=author)
    response.headers["Location"] = f"/api/v1/analyses/{live.id}"
    return Reply(data=Accepted(id=live.id, state=live.state, estimated_seconds=here.analyses.estimate(options)))


@router.get("")
async def list_live(here: Here, wanted: Wanted) -> Page[dict[str, Any]]:
    """The analyses that wait or run now, oldest first."""
    rows = [live.status() for live in here.analyses.live if live.busy]
    return page_from(rows, wanted, sortable=("state", "done", "total", "seconds", "seconds_left"))


@router.get("/{id}")
async def read(id: str, here: Here, after: After = None) -> Reply[dict[str, Any]]:
    """State and progress; with `after=N` also the rows finished after the first N, in the order they finished."""
    live = here.analyses.get(id)
    more = {"rows": here.analyses.rows(live)[after:]} if after is not None else {}
    return Reply(data=live.status() | more)


@router.post("/{id}/cancel")
async def cancel(id: str, here: Here, author: Author, confirm: Confirm = False) -> Reply[dict[str, Any]]:
    """Stop within one decode step. Positions that are finished stay readable until the server stops."""
    return Reply(data=(await here.analyses.cancel(id, by=author, confirm=confirm)).status())
