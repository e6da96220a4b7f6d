"""An address that shows a page, for rooms to register theirs with.

@page(api, "/history")
async def history(search: str = "") -> None: ...
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from nicegui import ui

PATIENCE_S = 30  # while torch is being imported, or on a busy machine, a page may take longer than NiceGUI's 3 s

Build = Callable[..., Awaitable[None]]


def page(api: FastAPI, path: str) -> Callable[[Build], Build]:
    """Register what builds a page. Those opened at one moment begin one after the other, and between two of them the
    loop does what else is due: to lay a page out takes tens of milliseconds, and a class of twenty opens it at once.
    """

    def registered(build: Build) -> Build:
        @ui.page(path, response_timeout=PATIENCE_S)
        @functools.wraps(build)
        async def in_turn(*args: object, **asked: object) -> None:
            async with api.state.door:
                await asyncio.sleep(0)
            await build(*args, **asked)

        return in_turn

    return registered
