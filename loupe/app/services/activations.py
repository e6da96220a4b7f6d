"""Activations on disk: what a model computes at some hook points over token rows, written once, trained on often.

A cache is its artefact: what it holds, what it was made of and its statistics stand in `cache.json` beside the shards.
The job kind `activations` writes one; it can be paused, and after a restart it goes on behind the last whole shard. A
training that reads a cache leaves out what the cache leaves out, and holds out the same token rows.
"""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.bridge import Bridge
from loupe.app.errors import Conflict, NotFound
from loupe.app.services.activation_cache import KIND, Cache, caches_of, whole
from loupe.app.services.activations_request import LEFT_OUT, ActivationsRequest
from loupe.app.services.catalogue import Catalogue
from loupe.app.services.engine import Engine
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.app.services.models import Models
from loupe.app.services.training_job import open_token_rows, training_part
from loupe.app.services.training_request import TrainingRequest
from loupe.engine.errors import BadOption, LayerOutOfRange
from loupe.storage.errors import NotFound as NotStored
from loupe.storage.repos.artefacts import ArtefactRecord
from loupe.storage.repos.jobs import JobRecord, NewJob
from loupe.storage.rows import FINAL_STATES, WorkState
from loupe.storage.store import Store

if TYPE_CHECKING:
    from loupe.engine.models.hooks import HookPoint
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.sae.cache import WriteCache

HALF = shutil.ignore_patterns("*.new")  # a manifest that a dead process was about to replace
BUFFER_ROWS = 65_536  # of the live stream that is written down


class Activations:
    """The caches of this data directory."""

    def __init__(
        self, store: Store, engine: Engine, catalogue: Catalogue, models: Models, jobs: Jobs, bridge: Bridge
    ) -> None:
        self.store = store
        self.engine = engine
        self.catalogue = catalogue
        self.models = models
        self.jobs = jobs
        self.bridge = bridge
        self._turn = asyncio.Lock()
        jobs.register(Kind(KIND, self._work, pausable=True, restarts=True, again=self._again))

    async def open(self) -> None:
        """Remove what jobs that have ended left half written."""
        begun = self.store.data_dir.activations
        for folder in await asyncio.to_thread(lambda: [*begun.iterdir()] if begun.is_dir() else []):
            if not await self._goes_on(folder.name):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def all(self) -> list[Cache]:
        """Every finished cache, the newest first."""
        return await caches_of(self.store)

    async def get(self, id: str) -> Cache:
        """One cache. Raises NotFound."""
        for cache in await self.all():
            if cache.id == id:
                return cache
        raise NotFound(f"There is no cache of activations {id!r}.")

    async def start(self, request: ActivationsRequest, *, author: str = "") -> LiveJob:
        """Accept a cache to be written. Raises NotFound, BadOption, LayerOutOfRange before anything is kept."""
        rows = await self.store.datasets.tokenisation(request.tokenisation)
        entry = self.catalogue.get(request.model)
        if entry.path != self.catalogue.get(rows.model).path:
            raise BadOption(f"These token rows were made for {rows.model}. Tokenise the dataset for {request.model}.")
        points = await asyncio.to_thread(_points, request.points)
        if entry.n_layers is not None:
            for point in points:
                if point.layer >= entry.n_layers:
                    raise LayerOutOfRange(f"{point} does not exist: the model has blocks 0 to {entry.n_layers - 1}.")
        wanted = request.model_dump(mode="json")
        return await self.jobs.submit(NewJob(kind=KIND, name=request.title, request=wanted, author=author))

    async def delete(self, id: str) -> Cache:
        """Remove a cache for good. Raises NotFound, Conflict while a training that has not ended reads it."""
        cache = await self.get(id)
        for state in (each for each in WorkState if each not in FINAL_STATES):
            for job in (await self.store.jobs.list(kind="training", state=state, limit=200)).items:
                if job.request.get("activations") == id:
                    raise Conflict(f"The training {job.name} reads it. Stop that first.")
        await self.store.remove(await self.store.artefact_records.drop_unused(id))
        self.bridge.publish("library")
        return cache

    # For trainings.

    async def settled(self, request: TrainingRequest) -> TrainingRequest:
        """The request with what its cache decides: token rows, what is held out and left out.

        Raises NotFound, CorruptFile, BadOption where the request says otherwise.
        """
        if request.activations is None:
            return request
        facts = whole(cache := await self.get(request.activations))
        taken = {name: facts.source[name] for name in ("tokenisation", *LEFT_OUT)}
        for name, value in taken.items():
            given = getattr(request, name)
            if name in request.model_fields_set and given not in (value, ""):
                raise BadOption(f"{name} is {given}, and {cache.name} was written with {value}: leave {name} unset.")
        if self.catalogue.get(facts.source["model"]).path != self.catalogue.get(request.model).path:
            raise BadOption(f"{cache.name} holds activations of {facts.source['model']}, not of {request.model}.")
        if request.buffer_rows < facts.largest_shard:
            raise BadOption(
                f"buffer_rows = {request.buffer_rows}: a shard has {facts.largest_shard} rows; give as many."
            )
        return request.model_copy(update=taken)

    async def check_points(self, id: str | None, points: "Sequence[HookPoint]") -> None:
        """Raises BadOption where a training reads or writes what its cache does not hold."""
        if id is None:
            return
        facts = whole(await self.get(id))
        if missing := [str(point) for point in points if point not in facts.points]:
            held = ", ".join(map(str, facts.points))
            raise BadOption(f"{', '.join(missing)} is not in this cache; it has {held}.")

    # The work.

    async def _again(self, job: JobRecord, author: str) -> str:
        """A job that failed or was cancelled once more: it goes on with the shards that are there."""
        live = await self.jobs.submit(NewJob(kind=KIND, name=job.name, request=job.request, author=author))
        if (begun := self._begun(job.id)).is_dir():
            begun.rename(self._begun(live.id))  # before the work begins: nothing is awaited in between
        return live.id

    async def _work(self, live: LiveJob) -> dict[str, Any]:
        request, begun = ActivationsRequest.model_validate(live.record.request), self._begun(live.id)
        try:
            live.check()
            live.note("waiting for another cache")
            async with self._turn:
                live.check()
                await self._written(live, request, begun)
            live.settle()
            record = await self._kept(request, begun)
        finally:
            if live.cancelled:
                await asyncio.to_thread(shutil.rmtree, begun, ignore_errors=True)
        self.bridge.publish("library")
        return {"activations": record.id}

    async def _written(self, live: LiveJob, request: ActivationsRequest, begun: Path) -> None:
        rows = await self.store.datasets.tokenisation(request.tokenisation)
        folder = (await asyncio.to_thread(self.store.artefacts.open, rows.artefact_id)).folder
        live.note("loading the model")
        async with self.models.use_model(self.catalogue.get(request.model).path) as lm:
            job = await asyncio.to_thread(_job, lm, folder, begun, request)
            device = await self.engine.device()
            buffer = job.stream.nbytes
            await asyncio.to_thread(device.memory.require, buffer, "This cache", "Give it fewer hook points.")
            await live.on_device(device, job)

    async def _kept(self, request: ActivationsRequest, begun: Path) -> ArtefactRecord:
        """Make an artefact of a folder that is complete; its shards are linked, not copied, until that is recorded."""

        def keep() -> str:
            with self.store.artefacts.write(KIND, request.title) as draft:
                shutil.copytree(begun, draft.folder, copy_function=_linked, dirs_exist_ok=True, ignore=HALF)
            return draft.id

        artefact = await asyncio.to_thread(self.store.artefacts.open, await asyncio.to_thread(keep))
        record = await self.store.keep(artefact)
        await asyncio.to_thread(shutil.rmtree, begun, ignore_errors=True)
        return record

    def _begun(self, id: str) -> Path:
        return self.store.data_dir.activations / id

    async def _goes_on(self, id: str) -> bool:
        try:
            return (await self.store.jobs.get(id)).state not in FINAL_STATES
        except NotStored:
            return False


# In a thread: reading files, and whatever needs the engine's modules.


def _points(names: Sequence[str]) -> "tuple[HookPoint, ...]":
    from loupe.engine.models.hooks import HookPoint

    return tuple(HookPoint.parse(name) for name in names)


def _job(lm: "LanguageModel", folder: Path, begun: Path, request: ActivationsRequest) -> "WriteCache":
    from loupe.engine.sae.cache import WriteCache
    from loupe.engine.sae.stream import ActivationStream, Drop

    rows = training_part(open_token_rows(folder), request.held_out)
    drop = Drop(special=request.drop_special, first=request.drop_first, norm_factor=request.drop_outliers)
    stream = ActivationStream(lm, rows, _points(request.points), buffer_rows=BUFFER_ROWS, drop=drop)
    source = {"model": request.model, "model_fingerprint": lm.fingerprint, "tokenisation": request.tokenisation}
    source |= {name: getattr(request, name) for name in LEFT_OUT}
    most = min(request.rows or rows.n_tokens, rows.n_tokens)
    size, shard, dtype = int(request.max_gb * 1e9), request.shard_rows, request.dtype
    return WriteCache(stream, begun, source, size, most, shard, dtype, name=request.title)


def _linked(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:  # a file system without links
        shutil.copy2(source, target)
