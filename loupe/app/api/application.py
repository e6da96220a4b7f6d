"""The REST API as one FastAPI application: what programs, the command line and tests talk to."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from loupe.app.api import analyses, events, health, models, runs, system
from loupe.app.api.envelope import ErrorReply, error_response
from loupe.app.errors import UNEXPECTED, answer_for
from loupe.app.services.system import version
from loupe.app.workspace import Workspace

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": ErrorReply} for code in (400, 401, 404, 409, 422, 429, 503)}


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
        responses=ERRORS,
    )
    app.state.workspace = workspace
    app.state.paths_allowed = paths_allowed
    for room in (analyses, runs, models, system, health, events):
        app.include_router(room.router, prefix=PREFIX)
    app.include_router(health.router, include_in_schema=False)
    app.add_api_route("/api/{_rest:path}", _unknown, methods=METHODS, include_in_schema=False)
    app.add_exception_handler(RequestValidationError, lambda _, e: error_response(e, status=400))
    app.add_exception_handler(HTTPException, lambda _, e: error_response(e))
    app.add_exception_handler(Exception, _failed)
    for known in _known_roots():
        app.add_exception_handler(known, _refused)
    return app


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def _unknown(request: Request) -> Response:
    if request.url.path.rstrip("/") == "/api":
        return RedirectResponse(f"{PREFIX}/openapi.json")
    raise HTTPException(404, f"There is no {request.method} {request.url.path}.")


def _known_roots() -> tuple[type[Exception], ...]:
    from loupe.app.errors import AppError
    from loupe.engine.errors import LoupeError
    from loupe.storage.errors import StorageError

    return AppError, LoupeError, StorageError


async def _refused(request: Request, error: Exception) -> Response:
    if answer_for(error).status >= 500:
        log.warning("%s %s: %s", request.method, request.url.path, error)
    return error_response(error)


async def _failed(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(error, status=UNEXPECTED.status)
