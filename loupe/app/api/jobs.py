"""Jobs: all work that was accepted, how far it is, what it said, and the levers on it."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from loupe.app.api.context import Author, Confirm, Here, Wanted
from loupe.app.api.envelope import Page, Reply, page_of
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


@router.post("/{id}/pause")
async def pause(id: str, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Hold it at its next safe point, across restarts too, until it is resumed."""
    return Reply(data=await here.jobs.pause(id, by=author))


@router.post("/{id}/resume")
async def resume(id: str, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Go on with a paused, interrupted or parked job, from its checkpoint when there is one."""
    return Reply(data=await here.jobs.resume(id, by=author))


@router.post("/{id}/cancel")
async def cancel(id: str, here: Here, author: Author, confirm: Confirm = False) -> Reply[dict[str, Any]]:
    """End it at its next safe point. Another person's work needs `confirm=true`, and its log says who it was."""
    return Reply(data=await here.jobs.cancel(id, by=author, confirm=confirm))


@router.post("/{id}/retry")
async def retry(id: str, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Work on it again: an interrupted job goes on, a failed or cancelled one is asked for anew under a new id."""
    return Reply(data=await here.jobs.retry(id, by=author))


@router.patch("/{id}")
async def change(id: str, wanted: Change, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """How urgent it is from its next slice on."""
    return Reply(data=await here.jobs.set_priority(id, wanted.priority, by=author))
