"""Torch and the starter, brought into memory before anybody asks, and after the first page stands.

Importing torch holds Python's lock for seconds: done while a page is drawn, it is the page that takes them. So it waits
until a browser shows a page or somebody asks whether the engine is ready, or until nobody has come for a while.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loupe.app.services.catalogue import Catalogue
from loupe.app.services.engine import Engine
from loupe.app.services.models import Models
from loupe.app.services.options import AnalysisOptions
from loupe.engine import garbage

log = logging.getLogger(__name__)

NOBODY_CAME_S = 4.0


class WarmUp:
    """Runs once in the background of a server; `hasten` ends the waiting."""

    def __init__(self, engine: Engine, models: Models, catalogue: Catalogue, *, preload: bool) -> None:
        self._engine = engine
        self._models = models
        self._preload = preload and catalogue.has_starter
        self._wanted = asyncio.Event()

    def hasten(self) -> None:
        """A page stands, or somebody waits for the engine: begin."""
        self._wanted.set()

    @asynccontextmanager
    async def in_background(self) -> AsyncIterator[None]:
        """While the block runs; what is still loading at its end is left to `Engine.close`."""
        warming = asyncio.create_task(self._run(), name="warm-up")
        try:
            yield
        finally:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(NOBODY_CAME_S):
                await self._wanted.wait()
        except TimeoutError:
            log.debug("nobody came yet; warming up for whoever comes")
        garbage.hold()
        try:
            await self._engine.device()
            if self._preload:
                await self._models.preload(AnalysisOptions(text=" "))
        except Exception:  # nobody asked for it yet; whoever asks meets the same failure and is told
            log.exception("the engine could not be warmed up; requests will say why")
        finally:
            garbage.settle()
