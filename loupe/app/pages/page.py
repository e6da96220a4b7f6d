"""An address that shows a page, for rooms to register theirs with.

@page(api, "/history")
async def history(search: str = "") -> None: ...
"""

import functools
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from nicegui import ui

from loupe.app.errors import NotReady
from loupe.app.workspace import Workspace

PATIENCE_S = 30  # while torch is being imported, or on a busy machine, a page may take longer than NiceGUI's 3 s

Build = Callable[..., Awaitable[None]]


def workspace_of(api: FastAPI) -> Workspace:
    """The open workspace. Raises NotReady while the server starts or stops."""
    if api.state.workspace is None:
        raise NotReady("The server is starting or stopping. Reload in a moment.")
    return api.state.workspace


def page(api: FastAPI, path: str) -> Callable[[Build], Build]:
    """Register what builds a page. Those opened at one moment are built in turns; a large one waits for further turns
    between its parts.
    """

    def registered(build: Build) -> Build:
        @ui.page(path, response_timeout=PATIENCE_S)
        @functools.wraps(build)
        async def in_turn(*args: object, **asked: object) -> None:
            await workspace_of(api).turnstile.passed()
            await build(*args, **asked)

        return in_turn

    return registered
