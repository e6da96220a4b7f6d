"""SAEs from a hub and to one, as jobs: `sae_download` and `sae_upload`, accepted, shown with progress, tried again.

A download is pinned to its commit when it is accepted; what arrives is imported like any other files (`saes.py`), and
the files themselves go. An upload sends one SAE and nothing else, to the repository that was named for it.
"""

import asyncio
import threading
from pathlib import Path
from typing import Any

from loupe.app.errors import Conflict
from loupe.app.outbound.hub import Plan
from loupe.app.outbound.hub_saes import SaeHub
from loupe.app.services.downloads import Downloads, plan_of, plan_request
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.app.services.saes import Saes
from loupe.engine.errors import Cancelled
from loupe.storage.repos.jobs import NewJob


class SaeExchange:
    """Registers the job kinds and submits them."""

    def __init__(self, saes: Saes, hub: SaeHub, downloads: Downloads, jobs: Jobs) -> None:
        self.saes = saes
        self.hub = hub
        self.downloads = downloads
        self.jobs = jobs
        jobs.register(Kind("sae_download", self._download))
        jobs.register(Kind("sae_upload", self._upload))

    async def preview(self, repo: str, revision: str = "main") -> dict[str, Any]:
        """The SAEs of a repository, pinned to its commit, without downloading. Raises as `SaeHub.plan_saes`."""
        plan, found = await asyncio.to_thread(self.hub.plan_saes, repo, revision)
        told = {"repo": repo, "revision": revision, "commit": plan.commit, "licence": plan.licence, "gated": plan.gated}
        saes = [{"path": each.path, "size_bytes": each.size} for each in found]
        return {name: value for name, value in told.items() if value is not None} | {"saes": saes}

    async def download(
        self, repo: str, path: str, revision: str = "main", *, model: str, name: str = "", author: str = ""
    ) -> LiveJob:
        """Begin to fetch one SAE of a repository for a model. Raises NotFound, RateLimited, as `preview`, and
        HubRefused when the repository has no SAE at `path`."""
        self.saes.catalogue.get(model)
        self.downloads.check_rate()
        plan = await asyncio.to_thread(self._part, repo, revision, path)
        self.downloads.count()
        asked = plan_request(plan) | {"path": path, "model": model, "name": name}
        return await self.jobs.submit(NewJob(kind="sae_download", name=f"{repo} {path}", request=asked, author=author))

    async def upload(self, id: str, repo: str, *, path: str = "", private: bool = False, author: str = "") -> LiveJob:
        """Begin to send an SAE to a repository, which is made where it is not there. Raises NotFound, OfflineRefused,
        HubRefused without a token."""
        record = await self.saes.rows.get(id)
        self.hub.may_write()
        asked = {"sae": id, "repo": repo, "path": path, "private": private}
        return await self.jobs.submit(
            NewJob(kind="sae_upload", name=f"{record.name} to {repo}", request=asked, author=author)
        )

    def _part(self, repo: str, revision: str, path: str) -> Plan:
        plan, _ = self.hub.plan_saes(repo, revision)
        return self.hub.plan_of_sae(plan, path)

    async def _download(self, live: LiveJob) -> dict[str, Any]:
        asked = live.record.request
        plan = plan_of(asked)
        live.begin()
        live.report(0, plan.total_bytes, f"fetching {asked['path']} of {plan.repo} at {plan.commit[:12]}")
        with self.downloads.room(live.id) as room:
            place = await self._fetched(live, plan, asked["path"], room)
            origin = {"repo": plan.repo, "path": asked["path"], "commit": plan.commit, "licence": plan.licence}
            name = asked["name"] or f"{plan.repo.partition('/')[2]} {asked['path']}".removesuffix(" .")
            record = await self.saes.keep(
                place,
                model=asked["model"],
                name=name,
                details={n: v for n, v in origin.items() if v},
                author=live.record.author,
            )
        live.report(plan.total_bytes, plan.total_bytes, f"arrived as {record.name}")
        return {"sae": record.id}

    async def _fetched(self, live: LiveJob, plan: Plan, path: str, room: Path) -> Path:
        stop = threading.Event()
        with live.stopped_by(stop.set):
            try:
                return await asyncio.to_thread(self.hub.download_sae, plan, path, room, live.report, stop)
            except Conflict:
                if stop.is_set():
                    raise Cancelled("The download was stopped; nothing half stays.") from None
                raise

    async def _upload(self, live: LiveJob) -> dict[str, Any]:
        asked = live.record.request
        record = await self.saes.rows.get(asked["sae"])
        live.begin()
        live.note(f"sending {record.name} to {asked['repo']}")
        folder = await asyncio.to_thread(self.saes.folder, record)
        live.settle()  # a commit that is on its way cannot be called back
        commit = await asyncio.to_thread(
            self.hub.upload_sae,
            folder,
            asked["repo"],
            path=asked["path"],
            message=f"Upload {record.name} from Loupe",
            private=asked["private"],
        )
        live.say(f"{asked['repo']} has it at commit {commit[:12]}")
        return {"sae": record.id, "repo": asked["repo"], "commit": commit}
