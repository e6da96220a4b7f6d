"""Backups by themselves: every few minutes while records change, and once more when the server ends.

On a rented machine the data directory lies on a disk that may vanish, and a volume that may not is too slow for SQLite.
What can be lost is what was recorded since the last backup: at most the interval plus the time one backup takes, and
nothing after an orderly end.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from loupe.storage.errors import StorageError
from loupe.storage.store import Store

log = logging.getLogger(__name__)


class Safekeeping:
    """Keeps copies of one store in `target`. A backup that fails is said once for each reason, and tried again."""

    def __init__(self, store: Store, target: Path) -> None:
        self.store = store
        self.target = target
        self.last: dict[str, Any] | None = None
        self.problem: str | None = None
        self._kept: tuple[tuple[int, int], ...] | None = None

    async def every(self, seconds: float) -> None:
        """For ever: wait, then keep."""
        while True:
            await asyncio.sleep(seconds)
            await self.keep()

    async def keep(self) -> bool:
        """Back up unless nothing was recorded since the last time; whether the records are safe now."""
        state = self._state()
        if state == self._kept:
            return True
        started = time.monotonic()
        try:
            snapshot = await self.store.backup(self.target)
        except StorageError as error:
            self._complain(str(error))
            return False
        self._kept, self.problem = state, None
        seconds = round(time.monotonic() - started, 2)
        self.last = {"number": snapshot.number, "at": snapshot.created_at.isoformat(), "seconds": seconds}
        log.info("backed up", extra={"fields": self.last})
        return True

    def _state(self) -> tuple[tuple[int, int], ...]:
        """Size and time of the database and its log, which any commit changes."""
        database = self.store.data_dir.database
        files = (database, database.with_name(f"{database.name}-wal"))
        return tuple((stat.st_size, stat.st_mtime_ns) for file in files if file.exists() for stat in [file.stat()])

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            log.error("the backup to %s failed: %s", self.target, problem)
        self.problem = problem


@asynccontextmanager
async def safekept(store: Store, target: Path | None, minutes: float) -> AsyncIterator[Safekeeping | None]:
    """Keep copies while the block runs, and a last one at its end; nothing at all without a target."""
    if target is None:
        yield None
        return
    keeping = Safekeeping(store, target)
    task = asyncio.create_task(keeping.every(minutes * 60), name="safekeeping")
    try:
        yield keeping
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await keeping.keep()
