"""Downloads from the hub as jobs: accepted, shown with progress, cancelled, tried again, remembered."""

import asyncio
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loupe.app.errors import Conflict, RateLimited
from loupe.app.outbound.hub import Hub, HubFile, Plan
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.app.settings import Settings
from loupe.engine.errors import Cancelled
from loupe.storage.repos.jobs import NewJob


class Downloads:
    """Registers the job kind `download`. At most so many an hour; each runs in a thread of its own."""

    def __init__(self, settings: Settings, hub: Hub, models: Path, jobs: Jobs) -> None:
        self.settings = settings
        self.hub = hub
        self.models = models
        self._arriving = models.parent / "arriving"
        self.jobs = jobs
        self._started: deque[float] = deque(maxlen=settings.downloads_per_hour)
        self._rate: float | None = None  # bytes a second of the last one
        jobs.register(Kind("download", self._work))

    async def start(self, repo: str, revision: str = "main", *, author: str = "") -> LiveJob:
        """Look at the repository and begin. Raises OfflineRefused, HubRefused, HubUnreachable, RateLimited."""
        self.check_rate()
        plan = await asyncio.to_thread(self.hub.plan, repo, revision)
        self.count()
        return await self.jobs.submit(NewJob(kind="download", name=repo, request=plan_request(plan), author=author))

    def estimate(self, size: int) -> float | None:
        """Seconds so many bytes will take, from the last download; None before the first."""
        return None if self._rate is None else round(size / self._rate, 1)

    async def _work(self, live: LiveJob) -> dict[str, Any]:
        plan = plan_of(live.record.request)
        stop = threading.Event()
        live.begin()
        live.report(0, plan.total_bytes, f"fetching {plan.repo} at {plan.commit[:12]}")
        started = time.monotonic()
        with live.stopped_by(stop.set):
            try:
                folder = await asyncio.to_thread(self.hub.download, plan, self.models, live.report, stop)
            except Conflict:
                if stop.is_set():
                    raise Cancelled("The download was stopped; nothing half stays.") from None
                raise
        live.report(plan.total_bytes, plan.total_bytes, f"arrived as {folder.name}")
        self._rate = plan.total_bytes / max(time.monotonic() - started, 1e-3)
        return {"model": folder.name}

    def check_rate(self) -> None:
        """Whether another download, of whatever kind, may begin now. Raises RateLimited."""
        now = time.monotonic()
        full = len(self._started) == self._started.maxlen
        if full and now - self._started[0] < 3600:
            wait = 3600 - (now - self._started[0])
            limit = self.settings.downloads_per_hour
            raise RateLimited(f"At most {limit} downloads an hour. Try again in {wait:.0f} s.", retry_after_s=wait)

    def count(self) -> None:
        """A download begins."""
        self._started.append(time.monotonic())

    @contextmanager
    def room(self, id: str) -> Iterator[Path]:
        """A folder for what arrives before it is made into something else; gone at the end of the block."""
        room = self._arriving / id
        room.mkdir(parents=True, exist_ok=True)
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)

    def clear(self) -> None:
        """Remove what was arriving when an earlier process died."""
        shutil.rmtree(self._arriving, ignore_errors=True)


def folder_name(plan: Plan) -> str:
    """The folder that a plan arrives in, and so the id of the model."""
    return f"{plan.repo.replace('/', '--')}@{plan.commit[:12]}"


def plan_request(plan: Plan) -> dict[str, Any]:
    """A plan as a job's record keeps it."""
    files = [[file.name, file.size] for file in plan.files]
    known = {"repo": plan.repo, "revision": plan.revision, "commit": plan.commit, "licence": plan.licence}
    return known | {"files": files}


def plan_of(request: dict[str, Any]) -> Plan:
    """The plan that a download's job was accepted with."""
    files = tuple(HubFile(str(name), int(size)) for name, size in request["files"])
    return Plan(request["repo"], request["revision"], request["commit"], files, request.get("licence"))
