"""Loads and certifications as jobs: visible stages, cancel, retry, and an end that stays on record.

A request that needs a model loads it by itself; this is for loading ahead of any request, and for people who watch.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.errors import Conflict
from loupe.app.services.catalogue import Catalogue, Kind, PairSpec
from loupe.app.services.groups import Groups
from loupe.app.services.jobs import Jobs
from loupe.app.services.jobs import Kind as JobKind
from loupe.app.services.live_job import LiveJob
from loupe.app.services.models import Models
from loupe.app.services.options import AnalysisOptions
from loupe.app.services.placements import Placements
from loupe.app.services.system import versions
from loupe.storage.repos.jobs import NewJob
from loupe.storage.repos.library import Library as LibraryRows
from loupe.storage.repos.library import LibraryEntry

if TYPE_CHECKING:
    from loupe.engine.models.certify import Certificate

CERTIFICATE = "certificate"


class Loads:
    """Registers the job kinds `load` and `certify` and submits them."""

    def __init__(
        self,
        jobs: Jobs,
        models: Models,
        catalogue: Catalogue,
        groups: Groups,
        rows: LibraryRows,
        placements: Placements,
    ) -> None:
        self.jobs = jobs
        self.placements = placements
        self.models = models
        self.catalogue = catalogue
        self.groups = groups
        self.rows = rows
        self._rate: float | None = None  # bytes a second of the last load
        jobs.register(JobKind("load", self._load))
        jobs.register(JobKind("certify", self._certify))

    async def load_model(self, id: str, dtype: str = "", *, device: str = "", author: str = "") -> LiveJob:
        """Bring a base model into memory, onto a device where one is named.

        Raises NotFound, Conflict for a part of a pair or one in use elsewhere, BadOption for a device that is not here.
        """
        entry = self.catalogue.get(id)
        if entry.kind is not Kind.MODEL:
            raise Conflict(f"{id} is a {entry.kind}: it is loaded with the model it belongs to, as part of a pair.")
        await self._put([id], device, author)
        return await self.jobs.submit(
            NewJob(kind="load", name=id, request={"model": id, "dtype": dtype}, author=author)
        )

    async def load_pair(self, id: str, dtype: str = "", *, device: str = "", author: str = "") -> LiveJob:
        """Bring a pair and its base into memory, onto a device where one is named: its base too, unless another place
        was chosen for that. Raises NotFound, NotReady, Conflict, BadOption."""
        self._spec(id, dtype)
        pair = self.groups.pair(id)
        base = [] if pair.model in self.placements.chosen else [pair.model]
        await self._put([*base, pair.verbalizer, pair.reconstructor], device, author)
        return await self.jobs.submit(NewJob(kind="load", name=id, request={"pair": id, "dtype": dtype}, author=author))

    async def certify(self, id: str, dtype: str = "", *, author: str = "") -> LiveJob:
        """Check a model's hook points. Raises NotFound, or Conflict for what has none of its own."""
        entry = self.catalogue.get(id)
        if entry.kind in (Kind.ADAPTER, Kind.RECONSTRUCTOR):
            raise Conflict(f"{id} is a {entry.kind} and has no head to check: certify the model it belongs to.")
        return await self.jobs.submit(
            NewJob(kind="certify", name=id, request={"model": id, "dtype": dtype}, priority=1, author=author)
        )

    async def certificate(self, id: str) -> dict[str, Any] | None:
        """What the last certification found, with `stale` when the weights have changed since; None when never done."""
        found: LibraryEntry | None = await self.rows.find(CERTIFICATE, id)
        return None if found is None else dict(found.body)

    def estimate(self, size: int) -> float | None:
        """Seconds a load of so many bytes will take, from the last one; None before anything was loaded."""
        return None if self._rate is None else round(size / self._rate, 1)

    async def _put(self, ids: list[str], device: str, author: str) -> None:
        """Choose a place for these models; what is in memory elsewhere leaves it. Raises BadOption, Conflict."""
        if not device:
            return
        place = await self.placements.check(device)
        for id in ids:
            if self.placements.chosen.get(id, "") != place:
                await self.models.unload_folder(self.catalogue.get(id).path)
        await self.placements.choose(ids, place, author=author)

    def _spec(self, id: str, dtype: str) -> PairSpec:
        self.groups.pair(id)
        options = AnalysisOptions.model_validate({"text": " ", "model": id, "dtype": dtype or None})
        return self.models.spec(options, paths_allowed=False)

    async def _load(self, live: LiveJob) -> dict[str, Any]:
        request = live.record.request
        wanted: PairSpec | Path
        if "pair" in request:
            wanted = self._spec(request["pair"], request.get("dtype", ""))
        else:
            wanted = self.catalogue.get(request["model"]).path
        live.begin()
        started = datetime.now(UTC)
        await self.models.bring(wanted, dtype=request.get("dtype", ""), submit=live.submit, on_stage=live.say)
        seconds = (datetime.now(UTC) - started).total_seconds()
        size = sum(part.size for part in self.models.parts)
        if seconds > 0 and size:
            self._rate = size / seconds
        return {"seconds": round(seconds, 2)}

    async def _certify(self, live: LiveJob) -> dict[str, Any]:
        from loupe.engine.models.certify import CertifyJob

        entry = self.catalogue.get(live.record.request["model"])
        live.begin()
        live.say("loading the model")
        async with self.models.use_model(entry.path, live.record.request.get("dtype", "")) as lm:
            device = await self.models.engine.device()
            certificate: Certificate = await live.on_device(device, CertifyJob(lm))
            body = _body(certificate) | {
                "dtype": lm.dtype,
                "device": str(lm.device),
                "fingerprint": lm.fingerprint,
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": versions(),
            }
        await self.rows.put(CERTIFICATE, entry.id, body, name=entry.id, author=live.record.author)
        live.say("passed" if certificate.passed else "did not pass", "info" if certificate.passed else "warning")
        return body


def _body(certificate: "Certificate") -> dict[str, Any]:
    return {
        "passed": certificate.passed,
        "family": certificate.family,
        "listed": certificate.listed,
        "sites": [str(site.value) for site in certificate.sites],
        "partial_forward": certificate.partial_forward,
        "injects": certificate.injects,
        "checks": [_check(check) for check in certificate.checks],
    }


def _check(check: Any) -> dict[str, Any]:
    """A check for JSON, which has no infinity: a difference that could not be measured is left out."""
    told = asdict(check)
    return told if told["difference"] != float("inf") else {k: v for k, v in told.items() if k != "difference"}
