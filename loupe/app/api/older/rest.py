"""`/analyze`, `/status/{id}`, `/reset`, `/api/gpu_stats`, and JSON where today's clients get a page or plain text."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Match
from starlette.types import Scope

from loupe.app.api.context import Here
from loupe.app.api.envelope import Reply
from loupe.app.api.older.desk import Desk, TheDesk, Who
from loupe.app.api.older.gpu import gpu_stats
from loupe.app.api.older.options import AnalyzeOptions
from loupe.app.services.live import LiveRun
from loupe.app.services.system import version
from loupe.app.workspace import Workspace
from loupe.storage.rows import WorkState

router = APIRouter(tags=["older"])


class AnalyzeBody(BaseModel):
    """A text and how to analyse it."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"text": "The fox lost her lantern.", "options": {"best_of_k": 4}}]},
    )

    text: Annotated[str, Field(min_length=1)]
    options: AnalyzeOptions = AnalyzeOptions()
    model_id: str | None = Field(default=None, max_length=500)


class Queued(BaseModel):
    """A request that was accepted."""

    request_id: str
    status: str = "queued"
    queue_position: int
    queue_size: int
    message: str = "Request queued. Read /status/{request_id}."


class JsonRoute(APIRoute):
    """Answers only who asks for JSON; for others the address belongs to somebody else."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As a route does, but not without `Accept: application/json`."""
        accept = next((v for k, v in scope.get("headers", ()) if k == b"accept"), b"")
        return super().matches(scope) if b"application/json" in accept else (Match.NONE, {})


for_json = APIRouter(tags=["older"], route_class=JsonRoute)


@router.post("/analyze")
async def analyze(body: AnalyzeBody, here: Here, older: TheDesk, who: Who) -> Queued:
    """Accept an analysis. It goes on when the connection ends; `/status/{id}` tells how far it is."""
    live = await accept(older, who.owner, who.name, body.text, body.options, body.model_id or body.options.model_id)
    return queued(here, live)


@router.get("/status/{id}")
async def status(id: str, here: Here, older: TheDesk) -> dict[str, Any]:
    """Where a request is, and its result once it is there: of this and of earlier lives of the server."""
    return await older.status(id)


@router.post("/reset")
async def reset(older: TheDesk, who: Who) -> dict[str, Any]:
    """Stop the caller's own requests; everyone's when this machine's own command line asks."""
    stopped = await older.reset(who)
    whose = "everyone's" if who.operator else "your"
    return {"status": "success", "message": f"Stopped {stopped} of {whose} requests.", "cancelled": stopped}


@router.get("/health", include_in_schema=False)
async def health(request: Request) -> dict[str, Any]:
    """Today's envelope, with the older members beside it."""
    here = request.app.state.workspace
    found = here.system.health() if here else {"status": "starting"}
    older: dict[str, Any] = {"status": "healthy" if found["status"] == "ok" else "degraded", "model_loaded": False}
    if here:
        stats = gpu_stats(here)
        older |= {"model_loaded": bool(here.models.loaded), "queue_size": queue_size(here)}
        older |= {"gpu_available": stats["available"]} | ({"gpu_name": stats["name"]} if "name" in stats else {})
    return Reply(data=found).model_dump() | older


@router.get("/api/gpu_stats")
async def gpu(here: Here) -> dict[str, Any]:
    """Use of the accelerators; `available` is false where there is none."""
    return gpu_stats(here)


@for_json.get("/metrics")
async def metrics(here: Here, older: TheDesk) -> dict[str, Any]:
    """Counters as JSON, for `Accept: application/json`; others get Prometheus text."""
    return await counters(here, older)


@for_json.get("/")
async def root() -> dict[str, str]:
    """Name, version and status, for `Accept: application/json`; browsers get the first page."""
    return {"name": "Loupe", "version": version(), "status": "running"}


async def accept(
    older: Desk, owner: str, author: str, text: Any, options: AnalyzeOptions, model_id: str | None
) -> LiveRun:
    """Line an analysis up in the name of its owner. Raises as `Analyses.start`."""
    asked = options.to_analysis(text, older.model(model_id).asked)
    live = await older.here.analyses.start(asked, author=author)
    older.own(live.id, owner, options)
    return live


def queued(here: Workspace, live: LiveRun) -> Queued:
    """What an accepted request is answered with; position 1 is next."""
    return Queued(request_id=live.id, queue_position=here.analyses.ahead_of(live) + 1, queue_size=queue_size(here))


def queue_size(here: Workspace) -> int:
    """Requests that have not begun."""
    return sum(live.state is WorkState.QUEUED for live in here.analyses.live)


async def counters(here: Workspace, older: Desk) -> dict[str, Any]:
    """How many requests there were, how they ended, how long they took."""
    ended = {state: (await here.runs.list(state=state, limit=1)).total for state in ("done", "failed", "cancelled")}
    times = [live.ended_at - live.created_at for live in here.analyses.live if live.ended_at]
    known = {
        "total_requests": (await here.runs.list(limit=1)).total,
        "completed_requests": ended["done"],
        "failed_requests": ended["failed"],
        "cancelled_requests": ended["cancelled"],
        "queue_size": queue_size(here),
        "average_processing_time": sum(times) / len(times) if times else None,
        "active_websockets": len(older.sockets),
    }
    return {name: value for name, value in known.items() if value is not None}
