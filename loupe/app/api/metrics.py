"""Prometheus text at `/metrics`, and how long the API takes to begin an answer."""

import time
from typing import Any

from fastapi import APIRouter, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loupe.app.api.context import Here
from loupe.app.security.guard import path_of
from loupe.app.services import latency
from loupe.app.services.metrics import prometheus_text

router = APIRouter(tags=["metrics"])

TEXT = "text/plain; version=1.0.0; charset=utf-8"


@router.get("/metrics", response_class=Response)
async def metrics(here: Here) -> Response:
    """Jobs, device, memory, slices and latencies for Prometheus; the older JSON for `Accept: application/json`."""
    return Response(await prometheus_text(here), headers={"Content-Type": TEXT})


class Timed:
    """Notes how long each request under /api waits for the beginning of its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not path_of(scope).startswith("/api/v1/"):
            await self.app(scope, receive, send)
            return
        started = time.monotonic()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note(scope, time.monotonic() - started)
            await send(message)

        await self.app(scope, receive, timed)


def _note(scope: Scope, seconds: float) -> None:
    here: Any = scope["app"].state.workspace
    if here is not None:
        here.jobs.latencies.note(latency.API, seconds)
