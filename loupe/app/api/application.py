"""The REST API as one FastAPI application: what programs, the command line and tests talk to."""

import logging
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, ValidationException, WebSocketRequestValidationError
from fastapi.responses import RedirectResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.websockets import WebSocket

from loupe.app.api import (
    activations,
    analyses,
    datasets,
    docs,
    events,
    generations,
    groups,
    health,
    jobs,
    lenses,
    metrics,
    models,
    pairs,
    runs,
    saes,
    system,
    templates,
    trainings,
    uploads,
)
from loupe.app.api.envelope import error_response
from loupe.app.api.older import surface
from loupe.app.api.older.surface import is_older
from loupe.app.api.openapi import error_responses, operation_id, schema_of
from loupe.app.errors import UNEXPECTED, answer_for, describe
from loupe.app.security.guard import path_of
from loupe.app.services.system import version
from loupe.app.workspace import Workspace

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
EVERYTHING = ("/api", "/api/{_rest:path}")
ROOMS = (
    analyses,
    generations,
    runs,
    jobs,
    models,
    pairs,
    groups,
    datasets,
    activations,
    trainings,
    templates,
    saes,
    lenses,
    system,
    uploads,
    health,
    events,
)


def build_api(workspace: Workspace | None = None, *, paths_allowed: bool = False) -> FastAPI:
    """The application. `workspace` may be put into `app.state` later, when the server has started.

    `paths_allowed` is for in-process callers: they may name any folder, as the user who runs them may.
    """
    app = FastAPI(
        title="Loupe",
        version=version(),
        summary="A workbench for looking inside language models.",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        responses=error_responses(),
        generate_unique_id_function=operation_id,
    )
    app.openapi = lambda: schema_of(app)
    app.state.workspace = workspace
    app.state.paths_allowed = paths_allowed
    for room in ROOMS:
        app.include_router(room.router, prefix=PREFIX)
    app.include_router(docs.router, prefix=PREFIX)
    for older in surface.ROUTERS:
        app.include_router(older)
    app.include_router(health.router, include_in_schema=False)
    app.include_router(metrics.router)
    app.add_middleware(metrics.Timed)
    for path in EVERYTHING:
        app.add_api_route(path, _unknown, methods=METHODS, include_in_schema=False)
    for kind in (RequestValidationError, WebSocketRequestValidationError):
        app.add_exception_handler(kind, partial(_refused, status=400))
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _failed)
    for known in _known_roots():
        app.add_exception_handler(known, _refused)
    return app


async def _unknown(request: Request) -> Response:
    path = path_of(request.scope).rstrip("/")
    if path == "/api":
        return RedirectResponse(f"{request.scope.get('root_path', '')}{PREFIX}/docs")
    if answered := _methods_at(request):
        told = f"{request.method} is not answered here. Use {' or '.join(answered)}."
        raise HTTPException(405, told, {"Allow": ", ".join(answered)})
    raise HTTPException(404, f"There is no {request.method} {path}.")


def _methods_at(request: Request) -> list[str]:
    """What may be asked of this address; empty where there is nothing."""
    rooms = [r for r in request.app.routes if not isinstance(r, Mount) and getattr(r, "path", "") not in EVERYTHING]
    scopes = {method: dict(request.scope) | {"method": method} for method in METHODS}
    return [m for m, scope in scopes.items() if any(r.matches(scope)[0] is Match.FULL for r in rooms)]


def answer_programs(pages: Starlette) -> None:
    """Below the pages too, an error is a page only for who asks for one; programs get the shape they know."""
    show = pages.exception_handlers.get(404)
    if show is None or show is _missing_page:
        return
    pages.state.show_missing = show
    pages.add_exception_handler(404, _missing_page)
    pages.add_exception_handler(HTTPException, _refused)


async def _missing_page(request: Request, error: Exception) -> Response:
    if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", ""):
        return await request.app.state.show_missing(request, error)
    return error_response(error)


def _known_roots() -> tuple[type[Exception], ...]:
    from loupe.app.errors import AppError
    from loupe.engine.errors import LoupeError
    from loupe.storage.errors import StorageError

    return AppError, LoupeError, StorageError


async def _refused(asked: HTTPConnection, error: Exception, *, status: int | None = None) -> Any:
    if answer_for(error).status >= 500 and not isinstance(error, HTTPException | ValidationException):
        log.warning("%s %s: %s", asked.scope.get("method", asked.scope["type"]), asked.url.path, error)
    if isinstance(asked, WebSocket):
        told = describe(error)
        await asked.close(1013 if told["retryable"] else 1008, told["code"])
        return None
    if is_older(path_of(asked.scope)):
        unprocessable = isinstance(error, RequestValidationError)
        told = {"detail": describe(error)["message"]}
        return error_response(error, status=422 if unprocessable else status, extra=told)
    return error_response(error, status=status)


async def _failed(asked: HTTPConnection, error: Exception) -> Response:
    log.error("%s %s failed", asked.scope.get("method", asked.scope["type"]), asked.url.path, exc_info=error)
    return error_response(error, status=UNEXPECTED.status)
