"""Runs of an upload, taken in as a job: a large file takes longer to read than a request may stay open."""

import asyncio
from typing import Any

import psutil

from loupe.app.errors import Conflict
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.app.services.runs import Runs
from loupe.app.services.uploads import Uploads
from loupe.storage.repos.jobs import NewJob

MEMORY_PER_BYTE = 12  # of a file while it is read: its text, its values, and what is written of them


class RunUploads:
    """Imports of files that came in pieces."""

    def __init__(self, runs: Runs, uploads: Uploads, jobs: Jobs) -> None:
        self.runs = runs
        self.uploads = uploads
        self.jobs = jobs
        jobs.register(Kind("import", self._work))

    async def start(self, upload: str, *, author: str = "") -> LiveJob:
        """Begin to take in the runs of a complete upload. Raises NotFound, Conflict where something is to come, or
        where the file is too large to be read in this machine's memory."""
        path = await self.uploads.path(upload)
        size, free = path.stat().st_size, psutil.virtual_memory().available
        if size * MEMORY_PER_BYTE > free:
            raise Conflict(
                f"Reading {size} bytes of runs takes about {size * MEMORY_PER_BYTE} bytes of memory; {free} are free. "
                "Import the runs in several files."
            )
        file = (await self.uploads.get(upload)).file
        return await self.jobs.submit(NewJob(kind="import", name=file, request={"upload": upload}, author=author))

    async def _work(self, live: LiveJob) -> dict[str, Any]:
        id, author = str(live.record.request["upload"]), live.record.author
        path = await self.uploads.path(id)
        live.begin()
        live.say("reading the file")
        content = await asyncio.to_thread(path.read_bytes)
        live.settle()  # what follows is all of the file or nothing
        records = await self.runs.take_in(content, live.record.name, by=author, job=live.id)
        await self.uploads.used_up(id)
        live.report(len(records), len(records), f"{len(records)} run{'s' * (len(records) != 1)} imported")
        return {"runs": [record.id for record in records]}
