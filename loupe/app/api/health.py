"""Health: alive (the process answers), ready (records and engine can be used)."""

from typing import Any

from fastapi import APIRouter, Request, Response

from loupe.app.api.envelope import Reply
from loupe.app.services.engine import EngineState

router = APIRouter(prefix="/health", tags=["health"])


@router.get("")
async def health(request: Request) -> Reply[dict[str, Any]]:
    """Status, engine state, version, uptime."""
    here = request.app.state.workspace
    return Reply(data=here.system.health() if here else {"status": "starting"})


@router.get("/live")
async def live() -> Reply[dict[str, str]]:
    """The process answers."""
    return Reply(data={"status": "ok"})


@router.get("/ready")
async def ready(request: Request, response: Response) -> Reply[dict[str, Any]]:
    """200 once records and engine can be used, else 503. To ask for it begins it."""
    here = request.app.state.workspace
    if here is not None:
        here.warm_up.hasten()
    is_ready = here is not None and here.engine.state is EngineState.READY
    response.status_code = 200 if is_ready else 503
    return Reply(data={"status": "ok" if is_ready else "starting"})
