"""Downloads from the hub as jobs: accepted, shown with progress, cancelled, remembered."""

import asyncio
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loupe.app.errors import NotFound, RateLimited, describe
from loupe.app.outbound.hub import Hub, Plan
from loupe.app.services.events import EventStream
from loupe.app.settings import Settings
from loupe.storage.repos.jobs import Jobs, NewJob
from loupe.storage.rows import WorkState

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Download:
    """One download: bytes so far, and where it ended."""

    id: str
    plan: Plan
    state: WorkState = WorkState.RUNNING
    done: int = 0
    folder: Path | None = None
    error: dict[str, Any] | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def status(self) -> dict[str, Any]:
        """For programs; absent values are left out."""
        known = {
            "id": self.id,
            "state": self.state,
            "repo": self.plan.repo,
            "commit": self.plan.commit,
            "licence": self.plan.licence,
            "done_bytes": self.done,
            "total_bytes": self.plan.total_bytes,
            "model": self.folder.name if self.folder else None,
            "error": self.error,
        }
        return {name: value for name, value in known.items() if value is not None}


class Downloads:
    """At most so many an hour; each runs in a thread of its own."""

    def __init__(self, settings: Settings, hub: Hub, models: Path, jobs: Jobs, events: EventStream) -> None:
        self.settings = settings
        self.hub = hub
        self.models = models
        self.jobs = jobs
        self.events = events
        self._downloads: dict[str, Download] = {}
        self._tasks: dict[str, asyncio.Task] = {}
        self._started: deque[float] = deque(maxlen=settings.downloads_per_hour)

    async def preview(self, repo: str, revision: str = "main") -> Plan:
        """What a download would fetch. Raises OfflineRefused, HubRefused, HubUnreachable."""
        return await asyncio.to_thread(self.hub.plan, repo, revision)

    async def start(self, repo: str, revision: str = "main") -> Download:
        """Look at the repository and begin. Raises OfflineRefused, HubRefused, HubUnreachable, RateLimited."""
        self._check_rate()
        plan = await self.preview(repo, revision)
        record = await self.jobs.create(
            NewJob(kind="download", name=repo, request={"repo": repo, "commit": plan.commit})
        )
        self._started.append(time.monotonic())
        download = self._downloads[record.id] = Download(record.id, plan)
        task = asyncio.create_task(self._run(download), name=f"download-{record.id}")
        self._tasks[record.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(record.id, None))
        return download

    async def wait(self, id: str) -> Download:
        """Until a download has ended, however it did."""
        if task := self._tasks.get(id):
            await asyncio.wait([task])
        return self.get(id)

    def get(self, id: str) -> Download:
        """A download of this process. Raises NotFound."""
        if id not in self._downloads:
            raise NotFound(f"There is no download {id!r}.")
        return self._downloads[id]

    def cancel(self, id: str) -> Download:
        """Stop a download; nothing half stays."""
        download = self.get(id)
        download.stop.set()
        return download

    async def close(self) -> None:
        """Stop everything and wait for it."""
        for download in self._downloads.values():
            download.stop.set()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def _run(self, download: Download) -> None:
        await self.jobs.start(download.id)

        def on_progress(done: int, _total: int) -> None:
            download.done = done

        try:
            fetch = (self.hub.download, download.plan, self.models, on_progress, download.stop)
            download.folder = await asyncio.to_thread(*fetch)
        except Exception as error:
            await self._end(download, error)
        else:
            download.state, download.done = WorkState.DONE, download.plan.total_bytes
            await self.jobs.finish(download.id)
        self.events.emit("job", download.state, download.status())

    async def _end(self, download: Download, error: Exception) -> None:
        download.error = describe(error)
        if download.stop.is_set():
            download.state = WorkState.CANCELLED
            await self.jobs.cancel(download.id)
            return
        download.state = WorkState.FAILED
        log.warning("download failed", exc_info=error, extra={"fields": {"repo": download.plan.repo}})
        await self.jobs.fail(download.id, code=download.error["code"], message=download.error["message"])

    def _check_rate(self) -> None:
        now = time.monotonic()
        full = len(self._started) == self._started.maxlen
        if full and now - self._started[0] < 3600:
            wait = 3600 - (now - self._started[0])
            limit = self.settings.downloads_per_hour
            raise RateLimited(f"At most {limit} downloads an hour. Try again in {wait:.0f} s.", retry_after_s=wait)
