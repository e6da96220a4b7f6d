"""What goes by itself: runs and models that lay in the bin long enough, uploads nobody came back to, idle models."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

EVERY_S = 30.0

Sweep = Callable[[], Awaitable[object]]


class Sweeper:
    """Does each of its sweeps now and every half a minute, one after the other, until it is closed."""

    def __init__(self, sweeps: Mapping[str, Sweep], every_s: float = EVERY_S) -> None:
        self._sweeps = sweeps
        self._every_s = every_s
        self._said: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._task = asyncio.create_task(self._run(), name="sweeper")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sweep(self) -> None:
        """Do all of them once; one that fails is tried again the next time, and said in the log once a reason."""
        for what, sweep in self._sweeps.items():
            try:
                await sweep()
                self._said.pop(what, None)
            except Exception as error:  # a full disk, a folder that is gone: whatever it is, the other sweeps go on
                if self._said.get(what) != str(error):
                    log.exception("the %s could not be swept; it is tried again", what)
                self._said[what] = str(error)

    async def _run(self) -> None:
        while True:
            await self.sweep()
            await asyncio.sleep(self._every_s)
