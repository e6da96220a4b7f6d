"""Jobs: all work that was accepted, how far it is, what it said, and the levers on it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from loupe.app.api.context import Author, Here, Wanted
from loupe.app.api.envelope import Page, Reply, page_of
from loupe.app.api.levers import add_levers
from loupe.app.services.job_view import line_json
from loupe.engine.errors import BadOption

router = APIRouter(prefix="/jobs", tags=["jobs"])


class Change(BaseModel):
    """What may be changed about a job."""

    model_config = ConfigDict(extra="forbid")

    priority: Literal["interactive", "batch", "training"]


@router.get("")
async def list_jobs(
    here: Here,
    wanted: Wanted,
    state: Annotated[str | None, Query(max_length=20, description="Only jobs in this state.")] = None,
    kind: Annotated[str | None, Query(max_length=40, description="Only jobs of this kind.")] = None,
) -> Page[dict[str, Any]]:
    """All jobs, newest first. The search looks in name, kind and author."""
    try:
        found = await here.jobs.list(state=state, kind=kind, **wanted.model_dump())
    except ValueError as error:
        raise BadOption(str(error)) from error
    return page_of(list(found.items), page=found.page, limit=found.limit, total=found.total)


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """State, progress, time left, and which actions are possible now."""
    return Reply(data=await here.jobs.get(id))


@router.get("/{id}/logs")
async def logs(
    id: str,
    here: Here,
    after: Annotated[int, Query(ge=0, le=1_000_000, description="Leave out this many lines.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500, description="Most lines.")] = 500,
) -> Reply[list[dict[str, Any]]]:
    """What the job said, oldest first; the newest 500 lines are kept."""
    return Reply(data=[line_json(line) for line in await here.jobs.logs(id, after=after, limit=limit)])


add_levers(router)


@router.patch("/{id}")
async def change(id: str, wanted: Change, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """How urgent it is from its next slice on."""
    return Reply(data=await here.jobs.set_priority(id, wanted.priority, by=author))
