"""Datasets: texts to train on, made from files, pasted text, the hub or the starter's story world; cut into token rows.

Both are jobs (`dataset`, `tokenisation`): accepted, shown with progress, cancelled, tried again. A record appears when
the bytes are complete, so nothing is ever half-registered.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from loupe.app.bridge import Bridge
from loupe.app.errors import Conflict, Forbidden
from loupe.app.outbound.hub_datasets import DatasetHub
from loupe.app.services import dataset_hub
from loupe.app.services import dataset_texts as texts_of
from loupe.app.services.activation_cache import caches_of
from loupe.app.services.catalogue import Catalogue
from loupe.app.services.dataset_request import DatasetRequest, TokenisationRequest
from loupe.app.services.downloads import Downloads
from loupe.app.services.engine import Engine
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.app.services.models import Models
from loupe.app.services.uploads import Uploads
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption, Cancelled
from loupe.storage.repos.datasets import DatasetRecord, NewDataset, NewTokenisation, TokenisationRecord
from loupe.storage.repos.jobs import NewJob
from loupe.storage.store import Store

if TYPE_CHECKING:
    from loupe.engine.data.making import MadeDataset
    from loupe.engine.data.texts import StoredTexts, StoryTexts
    from loupe.engine.jobs import Job

STORIES = {"count": 20_000, "first_seed": 200_000_000}  # seeds that no part of the starter was trained on
STORIES_NAME = "Story world"
READERS = {"training": "training", "activations": "cache"}


class Datasets:
    """The datasets of this data directory."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        catalogue: Catalogue,
        models: Models,
        jobs: Jobs,
        bridge: Bridge,
        hub: DatasetHub,
        downloads: Downloads,
        uploads: Uploads,
    ) -> None:
        self.uploads = uploads
        self.bridge = bridge
        self.hub = hub
        self.downloads = downloads
        self.settings = settings
        self.store = store
        self.rows = store.datasets
        self.engine = engine
        self.catalogue = catalogue
        self.models = models
        self.jobs = jobs
        jobs.register(Kind("dataset", self._make))
        jobs.register(Kind("tokenisation", self._tokenise))

    async def with_stories(self) -> None:
        """Make sure that the story world is in the list: a function of its seeds, it takes no space."""
        found = await self.rows.list(search=STORIES_NAME, limit=1)
        if found.total or (await self.rows.list(search=STORIES_NAME, limit=1, deleted=True)).total:
            return
        texts = await asyncio.to_thread(texts_of.stories, STORIES)
        await self.rows.add(
            NewDataset(
                name=STORIES_NAME, source="starter", documents=STORIES["count"], characters=0,
                fingerprint=texts.fingerprint, details=dict(STORIES),
            )
        )  # fmt: skip

    async def create(self, request: DatasetRequest, *, paths_allowed: bool = False, author: str = "") -> LiveJob:
        """Begin to make a dataset. Raises BadOption, Forbidden, EmptyDataset, NotADataset before anything is kept; for
        one of the hub RateLimited, OfflineRefused, HubRefused, HubUnreachable."""
        self._check(request, paths_allowed=paths_allowed)
        if request.repo is None:
            await asyncio.to_thread(texts_of.source_of, await self._placed(request))
        else:
            self.downloads.check_rate()
            await asyncio.to_thread(dataset_hub.part_of, self.hub, request)
            self.downloads.count()
        job = NewJob(kind="dataset", name=request.name, request=request.model_dump(mode="json"), author=author)
        return await self.jobs.submit(job)

    async def upload(
        self, request: DatasetRequest, filename: str, size: int, body: AsyncIterator[bytes], *, author: str = ""
    ) -> LiveJob:
        """Take in a whole file, and make a dataset of it. Raises as `create` and as an upload does."""
        record = await self.uploads.take(filename, size, body, author=author)
        try:
            return await self.create(request.model_copy(update={"upload": record.id}), author=author)
        except BaseException:
            self.store.uploads.remove(record.id)  # at once, also while the request is being cancelled
            raise

    async def preview(self, request: DatasetRequest, *, paths_allowed: bool = False) -> dict[str, Any]:
        """Columns and first cells, before anything is made. Raises as `create`."""
        self._check(request, paths_allowed=paths_allowed)
        if request.repo is not None:
            return await asyncio.to_thread(dataset_hub.preview, self.hub, request)
        return await asyncio.to_thread(texts_of.preview, await self._placed(request))

    async def texts(self, id: str) -> "StoredTexts | StoryTexts":
        """The documents of a dataset. Raises NotFound, CorruptFile."""
        record = await self.rows.get(id)
        if record.artefact_id is None:
            return texts_of.stories(record.details)
        return await asyncio.to_thread(texts_of.stored, (self.store.artefacts.open(record.artefact_id)).folder)

    async def documents(self, id: str, *, search: str = "", start: int = 0, limit: int = 20) -> dict[str, Any]:
        """Documents that contain `search`, from number `start` on; `next` is where to go on, None at the end."""
        texts = await self.texts(id)
        return await asyncio.to_thread(texts_of.found_in, texts, search, start, limit)

    async def tokenise(self, id: str, request: TokenisationRequest, *, author: str = "") -> LiveJob:
        """Begin to cut a dataset into token rows. Raises NotFound, BadOption."""
        from loupe.engine.data.cutting import CutOptions

        record = await self.rows.get(id)
        await asyncio.to_thread(CutOptions.from_dict, request.cut())
        self.catalogue.get(request.model)
        name = request.name or f"{record.name}, {request.mode} {request.max_tokens}"
        wanted = request.model_dump(mode="json") | {"dataset_id": id, "name": name}
        return await self.jobs.submit(NewJob(kind="tokenisation", name=name, request=wanted, author=author))

    async def preview_tokens(self, id: str, request: TokenisationRequest, document: int = 0) -> list[list[dict]]:
        """The first rows that one document becomes, token by token. Raises NotFound, BadOption, BadPositions."""
        texts = await self.texts(id)
        folder = self.catalogue.get(request.model).path
        return await asyncio.to_thread(texts_of.preview_tokens, folder, texts.document(document), request)

    async def delete(self, id: str) -> DatasetRecord:
        """Put a dataset into the bin. Raises NotFound, Conflict while a training reads it or a cache was made of it."""
        for each in await self.rows.tokenisations(id):
            await self._check_free(each.id)
        record = await self.rows.delete(id)
        self.bridge.publish("library")
        return record

    async def restore(self, id: str) -> DatasetRecord:
        """Take a dataset out of the bin. Raises NotFound."""
        record = await self.rows.restore(id)
        self.bridge.publish("library")
        return record

    async def delete_tokenisation(self, id: str) -> None:
        """Forget token rows for good. Raises NotFound, Conflict while a training or a cache depends on them."""
        await self._check_free(id)
        for artefact in await self.rows.delete_tokenisation(id):
            await self.store.remove(artefact)

    async def purge(self, days: float) -> None:
        """Remove what has been in the bin for that long."""
        for artefact in await self.rows.purge(timedelta(days=days)):
            await self.store.remove(artefact)

    @staticmethod
    def _check(request: DatasetRequest, *, paths_allowed: bool) -> None:
        if sum(each is not None for each in (request.text, request.path, request.upload, request.repo)) != 1:
            raise BadOption("Give a text, a path, an upload, or a repository of the hub: one of them.")
        if request.path is not None and not paths_allowed:
            raise Forbidden("Paths are taken only from this machine's own command line; upload the file instead.")

    async def _placed(self, request: DatasetRequest) -> DatasetRequest:
        """The request with the place of its upload, if it names one. Raises NotFound, Conflict."""
        if request.upload is None:
            return request
        return request.model_copy(update={"path": str(await self.uploads.path(request.upload))})

    async def _check_free(self, tokenisation: str) -> None:
        for live in self.jobs.live:
            if live.record.kind in READERS and live.record.request.get("tokenisation") == tokenisation:
                raise Conflict(f"The {READERS[live.record.kind]} {live.record.name} reads it. Stop that first.")
        for cache in await caches_of(self.store, tokenisation):
            raise Conflict(f"The activations {cache.name} were cached from it. Delete those first.")

    # The work.

    async def _make(self, live: LiveJob) -> dict[str, Any]:
        request = DatasetRequest.model_validate(live.record.request)
        facts: dict[str, Any] = {}
        if request.repo is not None:
            made, facts = await self._from_hub(live, request)
        else:
            source = await asyncio.to_thread(texts_of.source_of, await self._placed(request))
            made = await self._on_device(live, texts_of.make_job(request, source))
        if request.upload is not None:
            facts["file"] = (await self.uploads.get(request.upload)).file
        new = NewDataset(
            name=request.name,
            source="hub" if request.repo else "pasted" if request.text is not None else "file",
            documents=made.documents,
            characters=made.characters,
            fingerprint=made.fingerprint,
            author=live.record.author,
            details={"column": made.column, "chat": made.chat, **facts},
            statistics=made.statistics,
        )
        record = await self.rows.add(new, self.store.artefacts.open(made.artefact_id))
        if request.upload is not None:
            await self.uploads.used_up(request.upload)
        return {"dataset": record.id}

    async def _tokenise(self, live: LiveJob) -> dict[str, Any]:
        asked = dict(live.record.request)
        record = await self.rows.get(asked.pop("dataset_id"))
        request = TokenisationRequest.model_validate(asked)
        texts = await self.texts(record.id)
        entry = self.catalogue.get(request.model)
        job = await asyncio.to_thread(texts_of.tokenise_job, entry.path, texts, record, request)
        made = await self._on_device(live, job)
        new = NewTokenisation(
            dataset_id=record.id,
            name=request.name,
            model=request.model,
            tokenizer_fingerprint=made.tokenizer_fingerprint,
            rows=made.rows,
            tokens=made.tokens,
            fingerprint=made.fingerprint,
            author=live.record.author,
            options=made.options,
            statistics=made.statistics,
        )
        kept = await self.rows.add_tokenisation(new, self.store.artefacts.open(made.artefact_id))
        return {"tokenisation": kept.id}

    async def _from_hub(self, live: LiveJob, request: DatasetRequest) -> tuple["MadeDataset", dict[str, Any]]:
        stop, write = threading.Event(), self.store.artefacts.write
        live.begin()
        with live.stopped_by(stop.set), self.downloads.room(live.id) as room:
            try:
                return await asyncio.to_thread(dataset_hub.made, self.hub, room, request, live.report, write, stop)
            except Conflict:
                if stop.is_set():
                    raise Cancelled("The download was stopped; nothing half stays.") from None
                raise

    async def _on_device(self, live: LiveJob, job: "Job") -> Any:
        return await live.on_device(await self.engine.device(), job, writer=self.store.artefacts.write)


def dataset_json(record: DatasetRecord, tokenisations: tuple[TokenisationRecord, ...] = ()) -> dict[str, Any]:
    """A dataset for programs."""
    known = {
        "id": record.id,
        "name": record.name,
        "author": record.author,
        "source": record.source,
        "documents": record.documents,
        "characters": record.characters or None,
        "fingerprint": record.fingerprint,
        "details": record.details,
        "statistics": record.statistics,
        "created_at": record.created_at.isoformat(),
        "deleted_at": record.deleted_at.isoformat() if record.deleted_at else None,
        "tokenisations": [tokenisation_json(each) for each in tokenisations],
    }
    return {name: value for name, value in known.items() if value is not None}


def tokenisation_json(record: TokenisationRecord) -> dict[str, Any]:
    """Token rows for programs."""
    return {
        "id": record.id,
        "dataset_id": record.dataset_id,
        "name": record.name,
        "author": record.author,
        "model": record.model,
        "rows": record.rows,
        "tokens": record.tokens,
        "fingerprint": record.fingerprint,
        "options": record.options,
        "statistics": record.statistics,
        "created_at": record.created_at.isoformat(),
    }
