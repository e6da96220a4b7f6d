"""Tuned lenses: those in the configured folder, those fitted here, and the one that ships with the starter.

A fitted lens is its artefact: what it belongs to and how good it is stands in the card beside its tensors. Which lens a
model's explanations are read with is decided in that order, the newest of those fitted here first, and only a lens that
was fitted to these very weights is taken. The job kind `lens` fits one; it can be paused, and goes on after a restart.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from loupe.app.errors import Conflict, NotFound
from loupe.app.services.catalogue import STARTER, Catalogue, Kind
from loupe.app.services.engine import Engine
from loupe.app.services.jobs import Jobs
from loupe.app.services.jobs import Kind as JobKind
from loupe.app.services.live_job import CHECKPOINT_WAIT_S, LiveJob
from loupe.app.services.models import Models
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption, CorruptFile
from loupe.storage.errors import StorageError
from loupe.storage.repos.artefacts import ArtefactRecord
from loupe.storage.repos.jobs import NewJob
from loupe.storage.store import Store

if TYPE_CHECKING:
    from loupe.engine.lens.fitting import FitLens
    from loupe.engine.lens.recipe import LensRecipe
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.models.lens import TunedLens

log = logging.getLogger(__name__)
PRIORITY = 2  # of trainings, see engine/jobs.py
HELD_OUT_ROWS = 256


class LensRequest(BaseModel):
    """A tuned lens to be fitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenisation: str = Field(min_length=1, max_length=64, description="Token rows to fit on.")
    model: str = Field(default=STARTER, max_length=300, description="Model whose blocks are fitted.")
    name: str = Field(default="", max_length=200, description="What it is called; unset: after the model.")
    held_out: float = Field(default=0.05, gt=0, lt=1, description="Share of the rows that only judge it.")
    options: dict[str, Any] = Field(default={}, description="Options of the fit: layers, steps, batch_rows, lr, seed.")

    @property
    def title(self) -> str:
        """The name it goes by."""
        return self.name or f"tuned lens of {self.model}"


@dataclass(frozen=True, slots=True)
class Lens:
    """One lens: where it lies, and what its card says. `source` is "folder", "fitted" or "starter".

    One with a `problem` cannot be read: it belongs to no model, and is listed so that it can be seen and deleted.
    """

    id: str
    name: str
    model: str
    source: str
    folder: Path
    size: int
    card: dict[str, Any]
    created_at: datetime | None = None
    problem: str | None = None


class Lenses:
    """The tuned lenses of this data directory."""

    def __init__(
        self, settings: Settings, store: Store, engine: Engine, catalogue: Catalogue, models: Models, jobs: Jobs
    ) -> None:
        self.settings = settings
        self.store = store
        self.engine = engine
        self.catalogue = catalogue
        self.models = models
        self.jobs = jobs
        self._fitted: list[Lens] = []  # the newest first
        jobs.register(JobKind("lens", self._work, pausable=True, restarts=True))

    async def open(self) -> None:
        """Read what was fitted here."""
        records = await self.store.artefact_records.of_kind("lens")
        self._fitted = await asyncio.to_thread(lambda: [*map(self._listed, records)])

    def all(self) -> list[Lens]:
        """Every lens, in the order in which they are preferred."""
        return [*self._configured(), *self._fitted, *self._shipped()]

    def get(self, id: str) -> Lens:
        """One lens. Raises NotFound."""
        for lens in self.all():
            if lens.id == id:
                return lens
        raise NotFound(f"There is no tuned lens {id!r}.")

    def of(self, lm: "LanguageModel", layer: int) -> "TunedLens | None":
        """The lens that a loaded model is read with at a block, with that block alone; None where there is none.

        Reads files: for a thread. Raises CorruptFile, UnsafeFile.
        """
        from loupe.engine.models.lens import TunedLens

        model = self.catalogue.name_of(lm.path) if lm.path else ""
        for lens in self.all():
            if lens.model == model and lens.card.get("model_fingerprint") in (None, lm.fingerprint):
                read = TunedLens.load(lens.folder, layers=(layer,))
                if read.layers:
                    return read
        return None

    def listed(self) -> list[dict[str, Any]]:
        """Every lens for programs; `in_use` marks the one that its model's explanations are read with first."""
        found, models = [], set[str]()
        for lens in self.all():
            found.append(lens_json(lens, in_use=not lens.problem and lens.model not in models))
            models.add(lens.model)
        return found

    async def start(self, request: LensRequest, *, author: str = "") -> LiveJob:
        """Accept a fit. Raises NotFound, Conflict, BadOption, LayerOutOfRange before anything is kept."""
        entry = self.catalogue.get(request.model)
        if entry.kind is not Kind.MODEL:
            raise Conflict(f"{request.model} is a {entry.kind}: a lens is fitted to a base model.")
        recipe = await asyncio.to_thread(_recipe, request.options)
        if entry.n_layers is not None:
            recipe.settled(entry.n_layers)
        await self.store.datasets.tokenisation(request.tokenisation)
        wanted = request.model_dump(mode="json")
        return await self.jobs.submit(
            NewJob(kind="lens", name=request.title, request=wanted, priority=PRIORITY, seed=recipe.seed, author=author)
        )

    async def delete(self, id: str) -> Lens:
        """Remove a lens that was fitted here, for good. Raises NotFound, Conflict for one from elsewhere."""
        lens = self.get(id)
        if lens.source != "fitted":
            raise Conflict(f"{lens.name} was not fitted here: remove its folder instead.")
        await self.store.remove(await self.store.artefact_records.drop_unused(id))
        self._fitted = [each for each in self._fitted if each.id != id]
        return lens

    # The work.

    async def _work(self, live: LiveJob) -> dict[str, Any]:
        request = LensRequest.model_validate(live.record.request)
        rows = await self.store.datasets.tokenisation(request.tokenisation)
        folder = self.store.artefacts.open(rows.artefact_id).folder
        saved = self.store.artefacts.open(live.checkpoint_id).folder if live.checkpoint_id else None
        async with self.models.use_model(self.catalogue.get(request.model).path) as lm:
            job = await asyncio.to_thread(_fit_job, lm, folder, request, live, saved)
            device = await self.engine.device()
            fitted = await live.on_device(device, job, keep=self._keeper(), writer=self.store.artefacts.write)
        record = await self.store.keep(await asyncio.to_thread(self.store.artefacts.open, fitted.artefact))
        await self.store.remove(await self.store.jobs.checkpoint(live.id, None))
        self._fitted.insert(0, await asyncio.to_thread(self._read, record))
        return {"lens": record.id}

    def _keeper(self):
        loop = asyncio.get_running_loop()

        async def recorded(artefact: str) -> str:
            return (await self.store.keep(await asyncio.to_thread(self.store.artefacts.open, artefact))).id

        def keep(state: dict[str, Any]) -> str:
            return asyncio.run_coroutine_threadsafe(recorded(state["artefact"]), loop).result(CHECKPOINT_WAIT_S)

        return keep

    # Where they lie.

    def _configured(self) -> Iterator[Lens]:
        root = self.settings.tuned_lens_dir
        for folder in sorted(root.iterdir()) if root is not None and root.is_dir() else ():
            if folder.is_dir() and (lens := _found(folder, f"folder-{folder.name}", folder.name, "folder")):
                yield lens

    def _shipped(self) -> Iterator[Lens]:
        if lens := _found(self.catalogue.starter / "lens", STARTER, STARTER, STARTER):
            yield lens

    def _read(self, record: ArtefactRecord) -> Lens:
        """A lens that was fitted here. Raises NotFound, CorruptArtefact, CorruptFile."""
        folder = self.store.artefacts.open(record.id).folder
        lens = _found(folder, record.id, "", "fitted", name=record.name, created_at=record.created_at)
        if lens is None:
            raise CorruptFile(f"{folder} holds no tensors of a tuned lens.")
        return lens

    def _listed(self, record: ArtefactRecord) -> Lens:
        try:
            return self._read(record)
        except (StorageError, CorruptFile) as error:
            log.warning("a tuned lens cannot be read", extra={"fields": {"lens": record.id}})
            known = (record.id, record.name, "", "fitted", Path(), record.size, {}, record.created_at)
            return Lens(*known, problem=str(error))


def lens_json(lens: Lens, *, in_use: bool) -> dict[str, Any]:
    """A lens for programs; absent values are left out."""
    card = {name: value for name, value in lens.card.items() if name not in ("model", "rows")}
    known = asdict(lens) | {
        "folder": None,
        "card": None,
        "created_at": lens.created_at.isoformat() if lens.created_at else None,
        "in_use": in_use,
        **card,
    }
    return {name: value for name, value in known.items() if value is not None}


# In a thread: reading files, and whatever needs the engine's modules.


def _found(folder: Path, id: str, model: str, source: str, **more: Any) -> Lens | None:
    """The lens in a folder; one that is named after its model unless its card names another."""
    from loupe.engine.models.lens import lens_card, lens_file

    if (file := lens_file(folder)) is None:
        return None
    try:
        card = lens_card(folder) or {}
    except CorruptFile:
        log.warning("the card of a tuned lens cannot be read", extra={"fields": {"lens": id}})
        card = {}
    model = model or str(card.get("model", ""))
    return Lens(id, more.pop("name", f"{model}, {source}"), model, source, folder, file.stat().st_size, card, **more)


def _recipe(options: dict[str, Any]) -> "LensRecipe":
    from loupe.engine.lens.recipe import LensRecipe

    return LensRecipe.from_dict(options)


def _fit_job(lm: "LanguageModel", folder: Path, request: LensRequest, live: LiveJob, saved: Path | None) -> "FitLens":
    from loupe.engine.data.tokenising import open_rows
    from loupe.engine.lens.files import read_state
    from loupe.engine.lens.fitting import FitLens

    rows = open_rows(folder)
    if len(rows) < 2:
        raise BadOption(f"A fit needs two rows of tokens, one of them held out; there is {len(rows)}.")
    count = min(len(rows) - 1, HELD_OUT_ROWS, max(1, round(len(rows) * request.held_out)))
    held_out, training = rows.part(0, count), rows.part(count, len(rows))
    state = read_state(saved) if saved else None
    recipe = _recipe(request.options)
    about = {"job_id": live.id, "author": live.record.author, "tokenisation": request.tokenisation}
    return FitLens(lm, training, held_out, recipe, model=request.model, about=about, state=state, name=request.title)
