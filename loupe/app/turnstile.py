"""One at a time, with the event loop free in between: for work on the loop that many ask for at one moment."""

import asyncio


class Turnstile:
    """Laying out a page takes tens of milliseconds of the loop; a class of twenty opens it at once. Whoever waits at
    `passed` goes on alone, and before the next one does, the loop has done whatever else was due.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def passed(self) -> None:
        """Wait until it is one's turn."""
        async with self._lock:
            await asyncio.sleep(0)
