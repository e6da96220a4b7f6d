"""What may be done to any job, under every noun whose work is a job: pause, resume, cancel, retry."""

from typing import Any

from fastapi import APIRouter

from loupe.app.api.context import Author, Confirm, Here
from loupe.app.api.envelope import Reply


def add_levers(router: APIRouter) -> None:
    """Add the four routes under `/{id}`; the id is the job's."""

    @router.post("/{id}/pause")
    async def pause(id: str, here: Here, author: Author) -> Reply[dict[str, Any]]:
        """Hold it at its next safe point, across restarts too, until it is resumed."""
        return Reply(data=await here.jobs.pause(id, by=author))

    @router.post("/{id}/resume")
    async def resume(id: str, here: Here, author: Author) -> Reply[dict[str, Any]]:
        """Go on when it is paused, interrupted or parked, from its newest checkpoint when there is one."""
        return Reply(data=await here.jobs.resume(id, by=author))

    @router.post("/{id}/cancel")
    async def cancel(id: str, here: Here, author: Author, confirm: Confirm = False) -> Reply[dict[str, Any]]:
        """End it at its next safe point. Another person's work needs `confirm=true`, and its log says who it was."""
        return Reply(data=await here.jobs.cancel(id, by=author, confirm=confirm))

    @router.post("/{id}/retry")
    async def retry(id: str, here: Here, author: Author) -> Reply[dict[str, Any]]:
        """Work on it again: an interrupted one goes on, a failed or cancelled one is asked for anew under a new id."""
        return Reply(data=await here.jobs.retry(id, by=author))
