"""Datasets: texts to train on, made from files, pasted text or the starter's story world, and cut into token rows.

Both are jobs (`dataset`, `tokenisation`): accepted, shown with progress, cancelled, tried again. A record appears when
the bytes are complete, so nothing is ever half-registered.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from loupe.app.errors import Conflict, Forbidden
from loupe.app.services.catalogue import STARTER, Catalogue
from loupe.app.services.engine import Engine
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.app.services.models import Models
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption
from loupe.storage.repos.datasets import DatasetRecord, NewDataset, NewTokenisation, TokenisationRecord
from loupe.storage.repos.jobs import NewJob
from loupe.storage.store import Store

if TYPE_CHECKING:
    from loupe.engine.data.sources import Source
    from loupe.engine.data.texts import StoredTexts, StoryTexts
    from loupe.engine.jobs import Job

STORIES = {"count": 20_000, "first_seed": 200_000_000}  # seeds that no part of the starter was trained on
STORIES_NAME = "Story world"


class DatasetRequest(BaseModel):
    """A dataset to be made: from a pasted text, or from files on this machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200, description="What it is called.")
    text: str | None = Field(default=None, max_length=50_000_000, description="The text itself, pasted.")
    path: str | None = Field(default=None, description="File or folder: txt, jsonl, json, csv, tsv or parquet.")
    column: str | None = Field(default=None, description="Column of the text or chat; unset takes the likely one.")
    split: Literal["blank_line", "line", "file"] = Field(
        default="blank_line", description="What separates documents in plain text."
    )
    limit: int | None = Field(default=None, ge=1, description="Read at most this many documents.")


class TokenisationRequest(BaseModel):
    """How a dataset is cut into token rows for one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(default=STARTER, description="Model whose tokenizer is used.")
    name: str = Field(default="", max_length=200, description="What it is called; unset names it by its options.")
    mode: Literal["pack", "window"] = Field(
        default="pack", description="Pack documents end to end, or give each windows of its own."
    )
    max_tokens: int = Field(default=128, ge=2, le=1 << 20, description="Tokens of a row.")
    overlap: int = Field(default=0, ge=0, description="Tokens that a window repeats of the one before, as context.")
    min_tokens: int = Field(default=2, ge=1, description="Rows shorter than this are left out.")
    bos: Literal["row", "document", "none"] | None = Field(
        default=None, description="Where the beginning-of-text token stands; unset: as the tokenizer does."
    )
    separator: Literal["eos", "bos", "none"] | None = Field(
        default=None, description="What stands between packed documents; unset: the end-of-text token, if any."
    )
    documents: int | None = Field(default=None, ge=1, description="Read at most this many documents.")

    def cut(self) -> dict[str, Any]:
        """The options of the cutting alone."""
        return self.model_dump(include={"mode", "max_tokens", "overlap", "min_tokens", "bos", "separator"})


class Datasets:
    """The datasets of this data directory."""

    def __init__(
        self, settings: Settings, store: Store, engine: Engine, catalogue: Catalogue, models: Models, jobs: Jobs
    ) -> None:
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
        await self.rows.add(
            NewDataset(
                name=STORIES_NAME, source="starter", documents=STORIES["count"], characters=0,
                fingerprint=await asyncio.to_thread(lambda: _stories(STORIES).fingerprint), details=dict(STORIES),
            )
        )  # fmt: skip

    async def create(self, request: DatasetRequest, *, paths_allowed: bool = False, author: str = "") -> LiveJob:
        """Begin to make a dataset. Raises BadOption, Forbidden, EmptyDataset, NotADataset before anything is kept."""
        if (request.text is None) == (request.path is None):
            raise BadOption("Give either a text or a path.")
        if request.path is not None and not paths_allowed:
            raise Forbidden("Paths are taken only from this machine's own command line; upload the file instead.")
        await asyncio.to_thread(_source, request)
        job = NewJob(kind="dataset", name=request.name, request=request.model_dump(mode="json"), author=author)
        return await self.jobs.submit(job)

    async def upload(
        self, request: DatasetRequest, filename: str, body: AsyncIterator[bytes], *, author: str = ""
    ) -> LiveJob:
        """Take in a file piece by piece, and make a dataset of it. Raises NotADataset, EmptyDataset."""
        folder = self.store.data_dir.path / "uploads"
        await asyncio.to_thread(folder.mkdir, mode=0o700, exist_ok=True)
        from loupe.storage.paths import new_id

        place = folder / f"{new_id()}{''.join(Path(filename).suffixes[-2:])[:16]}"
        try:
            with await asyncio.to_thread(place.open, "wb") as file:
                async for piece in body:
                    await asyncio.to_thread(file.write, piece)
            kept = request.model_copy(update={"path": str(place)})
            await asyncio.to_thread(_source, kept)
            wanted = kept.model_dump(mode="json") | {"uploaded": filename[:200]}
            return await self.jobs.submit(NewJob(kind="dataset", name=request.name, request=wanted, author=author))
        except BaseException:
            with suppress(OSError):
                place.unlink()
            raise

    async def preview(self, request: DatasetRequest, *, paths_allowed: bool = False) -> dict[str, Any]:
        """Columns and first cells, before anything is made. Raises as `create`."""
        if request.path is not None and not paths_allowed:
            raise Forbidden("Paths are taken only from this machine's own command line; upload the file instead.")
        return await asyncio.to_thread(_preview, request)

    async def texts(self, id: str) -> "StoredTexts | StoryTexts":
        """The documents of a dataset. Raises NotFound, CorruptFile."""
        record = await self.rows.get(id)
        if record.artefact_id is None:
            return _stories(record.details)
        return await asyncio.to_thread(_stored, (self.store.artefacts.open(record.artefact_id)).folder)

    async def documents(self, id: str, *, search: str = "", start: int = 0, limit: int = 20) -> dict[str, Any]:
        """Documents that contain `search`, from number `start` on; `next` is where to go on, None at the end."""
        texts = await self.texts(id)
        return await asyncio.to_thread(_found, texts, search, start, limit)

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
        return await asyncio.to_thread(_preview_tokens, folder, texts.document(document), request)

    async def delete(self, id: str) -> DatasetRecord:
        """Put a dataset into the bin. Raises NotFound, Conflict while a training reads it."""
        for each in await self.rows.tokenisations(id):
            self._check_free(each.id)
        return await self.rows.delete(id)

    async def delete_tokenisation(self, id: str) -> None:
        """Forget token rows for good. Raises NotFound, Conflict while a training reads them."""
        self._check_free(id)
        for artefact in await self.rows.delete_tokenisation(id):
            await self.store.remove(artefact)

    async def purge(self, days: float) -> None:
        """Remove what has been in the bin for that long."""
        for artefact in await self.rows.purge(timedelta(days=days)):
            await self.store.remove(artefact)

    def _check_free(self, tokenisation: str) -> None:
        for live in self.jobs.live:
            if live.record.kind == "training" and live.record.request.get("tokenisation") == tokenisation:
                raise Conflict(f"The training {live.record.name} reads it. Stop that first.")

    # The work.

    async def _make(self, live: LiveJob) -> dict[str, Any]:
        asked = dict(live.record.request)
        uploaded = asked.pop("uploaded", None)
        request = DatasetRequest.model_validate(asked)
        try:
            job = await asyncio.to_thread(_make_job, request)
            made = await self._on_device(live, job)
        finally:
            if uploaded and request.path:
                await asyncio.to_thread(Path(request.path).unlink, missing_ok=True)
        new = NewDataset(
            name=request.name,
            source="pasted" if request.text is not None else "file",
            documents=made.documents,
            characters=made.characters,
            fingerprint=made.fingerprint,
            author=live.record.author,
            details={"column": made.column, "chat": made.chat} | ({"file": uploaded} if uploaded else {}),
            statistics=made.statistics,
        )
        record = await self.rows.add(new, self.store.artefacts.open(made.artefact_id))
        return {"dataset": record.id}

    async def _tokenise(self, live: LiveJob) -> dict[str, Any]:
        asked = dict(live.record.request)
        record = await self.rows.get(asked.pop("dataset_id"))
        request = TokenisationRequest.model_validate(asked)
        texts = await self.texts(record.id)
        entry = self.catalogue.get(request.model)
        job = await asyncio.to_thread(_tokenise_job, entry.path, texts, record, request)
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


# In a thread: reading files, and whatever needs the engine's modules.


def _stories(details: dict[str, Any]) -> "StoryTexts":
    from loupe.engine.data.texts import StoryTexts

    return StoryTexts(int(details["count"]), int(details["first_seed"]))


def _stored(folder: Path) -> "StoredTexts":
    from loupe.engine.data.texts import StoredTexts

    return StoredTexts(folder)


def _source(request: DatasetRequest) -> "Source":
    from loupe.engine.data.sources import LocalFiles, PastedText
    from loupe.engine.data.tables import Split

    split = Split(request.split)
    if request.text is not None:
        return PastedText(request.text, split)
    return LocalFiles.at(Path(str(request.path)).expanduser(), split)


def _make_job(request: DatasetRequest) -> "Job":
    from loupe.engine.data.making import MakeDataset

    return MakeDataset(_source(request), request.name, column=request.column, limit=request.limit)


def _preview(request: DatasetRequest) -> dict[str, Any]:
    from loupe.engine.data.columns import preview

    rows = (row for piece in _source(request).pieces() for row in piece.rows)
    seen = preview(rows)
    columns = [{"name": c.name, "kind": c.kind, "examples": list(c.examples)} for c in seen.columns]
    return {"columns": columns, "chosen": seen.chosen}


def _found(texts: "StoredTexts | StoryTexts", search: str, start: int, limit: int) -> dict[str, Any]:
    from loupe.engine.data.texts import passages

    found = texts.find(search, start, limit)
    rows = [{"number": number, "text": text} for number, text in passages(texts, found.documents)]
    return {"documents": rows, "next": found.next, "total": len(texts)}


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def _tokenise_job(
    folder: Path, texts: "StoredTexts | StoryTexts", record: DatasetRecord, request: TokenisationRequest
) -> "Job":
    from loupe.engine.data.cutting import CutOptions
    from loupe.engine.data.tokenising import Tokenise

    return Tokenise(
        texts,
        _tokenizer(folder),
        CutOptions.from_dict(request.cut()),
        request.name,
        documents=request.documents,
        characters=record.characters,
    )


def _preview_tokens(folder: Path, document: Any, request: TokenisationRequest) -> list[list[dict]]:
    from loupe.engine.data.cutting import CutOptions
    from loupe.engine.data.tokenising import preview_rows

    rows = preview_rows(_tokenizer(folder), document, CutOptions.from_dict(request.cut()))
    return [[{"text": view.text, "flags": int(flags)} for view, flags in row] for row in rows]
