"""Backups from the page and the API: made, listed and checked as jobs, always in one folder of the server's choice.

The command line may name any folder (`loupe backup TARGET`); a browser may not.
"""

import asyncio
from pathlib import Path
from typing import Any

from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.storage.backup import Snapshot, snapshots, verify
from loupe.storage.repos.jobs import NewJob
from loupe.storage.store import Store


class Backups:
    """Registers the job kinds `backup` and `backup check`. `target` is where snapshots go."""

    def __init__(self, store: Store, jobs: Jobs, target: Path | None) -> None:
        self.store = store
        self.jobs = jobs
        self.target = target or store.data_dir.backups / "snapshots"
        jobs.register(Kind("backup", self._make))
        jobs.register(Kind("backup check", self._check))

    async def make(self, *, author: str = "") -> LiveJob:
        """Copy everything recorded while work goes on."""
        return await self.jobs.submit(NewJob(kind="backup", name="all records", request={}, author=author))

    async def check(self, number: int | None = None, *, author: str = "") -> LiveJob:
        """Read a snapshot in full and compare every byte; the newest one without a number."""
        name = f"snapshot {number}" if number else "newest snapshot"
        return await self.jobs.submit(NewJob(kind="backup check", name=name, request={"number": number}, author=author))

    async def list(self) -> tuple[Snapshot, ...]:
        """The complete snapshots, newest first."""
        return tuple(await asyncio.to_thread(snapshots, self.target))

    async def _make(self, job: LiveJob) -> dict[str, Any]:
        job.report(0, None, "copying")
        snapshot = await self.store.backup(self.target)
        job.say(f"snapshot {snapshot.number} with {len(snapshot.artefacts)} artefacts")
        return snapshot_json(snapshot)

    async def _check(self, job: LiveJob) -> dict[str, Any]:
        job.report(0, None, "comparing every byte")
        snapshot = await asyncio.to_thread(verify, self.target, job.record.request["number"])
        job.say(f"snapshot {snapshot.number} is whole")
        return snapshot_json(snapshot)


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """A backup for programs."""
    return {
        "number": snapshot.number,
        "folder": str(snapshot.folder),
        "created_at": snapshot.created_at.isoformat(),
        "artefacts": len(snapshot.artefacts),
        "damaged": list(snapshot.damaged),
    }
