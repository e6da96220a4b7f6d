"""Sparse autoencoders of this data directory: trained here, imported from other libraries' files, or shipped.

An import detects the format, says what it had to assume, and keeps the SAE as a SAELens folder of its own, so that what
is kept does not depend on where it came from. The job kind `evaluation` judges an SAE on token rows and keeps the card.
"""

import asyncio
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from loupe.app.bridge import Bridge
from loupe.app.errors import Conflict, Forbidden, NotFound
from loupe.app.outbound.hub_saes import MANIFEST
from loupe.app.services.catalogue import STARTER, Catalogue
from loupe.app.services.engine import Engine
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.app.services.models import Models
from loupe.app.services.training_job import open_token_rows
from loupe.engine.errors import WidthMismatch
from loupe.storage.artefacts import Artefact
from loupe.storage.errors import StorageError
from loupe.storage.repos.jobs import NewJob
from loupe.storage.repos.saes import NewSae, SaeRecord
from loupe.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Generator

    from loupe.engine.context import JobContext
    from loupe.engine.jobs import Event
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.sae.formats import LoadedSAE

EVALUATED_ROWS = 256
T = TypeVar("T")


class Saes:
    """The SAEs, and the work on them that is not training."""

    def __init__(
        self, store: Store, engine: Engine, catalogue: Catalogue, models: Models, jobs: Jobs, bridge: Bridge
    ) -> None:
        self.bridge = bridge
        self.store = store
        self.rows = store.saes
        self.engine = engine
        self.catalogue = catalogue
        self.models = models
        self.jobs = jobs
        jobs.register(Kind("evaluation", self._evaluate))

    async def open(self) -> None:
        """List the SAEs that ship with the starter."""
        for folder in sorted((self.catalogue.starter / "saes").glob("*/cfg.json")):
            await self.rows.add(await asyncio.to_thread(_shipped, folder.parent))

    def folder(self, record: SaeRecord) -> Path:
        """Where an SAE lies, its bytes verified. Raises NotFound, CorruptArtefact."""
        return self.store.artefacts.open(record.artefact_id).folder if record.artefact_id else Path(record.path)

    async def take_in(
        self, path: str, *, model: str = STARTER, name: str = "", paths_allowed: bool = False, author: str = ""
    ) -> SaeRecord:
        """Import an SAE from a folder or file of any format that is known.

        Raises Forbidden, NotFound, UnknownFormat, UnsafeFile, CorruptFile, WidthMismatch; nothing is kept then.
        """
        if not paths_allowed:
            raise Forbidden("Paths are taken only from this machine's own command line.")
        return await self.keep(Path(path), model=model, name=name, author=author)

    async def keep(
        self, place: Path, *, model: str, name: str = "", details: Mapping[str, Any] | None = None, author: str = ""
    ) -> SaeRecord:
        """Keep what files hold as an SAE of this model; `details` say where they came from. Raises as `take_in`."""
        entry = self.catalogue.get(model)
        loaded = await asyncio.to_thread(_read, place)
        if entry.d_model is not None and loaded.sae.d_in != entry.d_model * len(loaded.hook_points):
            raise WidthMismatch(
                f"This SAE reads activations {loaded.sae.d_in} wide; those of {model} are {entry.d_model} wide."
            )
        title = name or place.name
        artefact = await asyncio.to_thread(self._written, loaded, title, model)
        origin = dict(details) if details is not None else {"from": place.name}
        new = _new_sae(
            loaded,
            name=title,
            model=model,
            source="imported",
            assumptions=loaded.assumptions,
            details=origin | {"model_named": loaded.model_name},
            author=author,
        )
        return self._told(await self.rows.add(new, artefact))

    async def evaluate(self, id: str, tokenisation: str, *, rows: int = EVALUATED_ROWS, author: str = "") -> LiveJob:
        """Begin to judge an SAE on token rows. Raises NotFound."""
        record = await self.rows.get(id)
        await self.store.datasets.tokenisation(tokenisation)
        wanted = {"sae": id, "tokenisation": tokenisation, "rows": rows}
        new = NewJob(kind="evaluation", name=f"evaluate {record.name}", request=wanted, author=author)
        return await self.jobs.submit(new)

    async def delete(self, id: str) -> SaeRecord:
        """Put an SAE into the bin. Raises NotFound, Conflict for one that ships."""
        record = await self.rows.get(id)
        if record.source == STARTER:
            raise Conflict("This SAE ships with Loupe and cannot be deleted.")
        return self._told(await self.rows.delete(id))

    async def restore(self, id: str) -> SaeRecord:
        """Take an SAE out of the bin. Raises NotFound."""
        return self._told(await self.rows.restore(id))

    async def rename(self, id: str, name: str) -> SaeRecord:
        """Give it another name. Raises NotFound."""
        return self._told(await self.rows.describe(id, name=name))

    async def purge(self, days: float) -> None:
        """Remove what has been in the bin for that long."""
        for artefact in await self.rows.purge(timedelta(days=days)):
            await self.store.remove(artefact)

    async def zipped(self, id: str) -> tuple[str, bytes]:
        """The SAELens folder as one zip file, with its name. Raises NotFound."""

        def packed(folder: Path, record: SaeRecord) -> tuple[str, bytes]:
            safe = _safe(record.name)
            return f"{safe}.zip", _zip(folder, safe)

        return await self._read(id, packed)

    async def write_to(self, id: str, path: str, *, paths_allowed: bool = False) -> Path:
        """Write the SAELens folder into a folder of this machine; returns where it lies, complete or not at all.

        Raises Forbidden, NotFound, Conflict when there is something of that name.
        """
        if not paths_allowed:
            raise Forbidden("Paths are taken only from this machine's own command line or browser.")
        return await self._read(id, lambda folder, record: _copied(folder, path, _safe(record.name)))

    async def _read(self, id: str, read: Callable[[Path, SaeRecord], T]) -> T:
        """Read an SAE's folder in a thread; again where the SAE became another version of itself meanwhile."""
        while True:
            record = await self.rows.get(id)
            try:
                return await asyncio.to_thread(lambda record=record: read(self.folder(record), record))
            except (FileNotFoundError, StorageError):
                if (await self.rows.get(id)).artefact_id == record.artefact_id:
                    raise

    def _written(self, loaded: "LoadedSAE", name: str, model: str) -> Artefact:
        from loupe.engine.sae.formats import ModelFacts, write_saelens

        with self.store.artefacts.write("sae", name, {"from": loaded.source_format}) as draft:
            write_saelens(
                draft.folder,
                loaded.sae,
                loaded.hook_points,
                ModelFacts(loaded.model_name or model),
                hook_point_out=loaded.hook_point_out,
            )
        return self.store.artefacts.open(draft.id)

    async def _evaluate(self, live: LiveJob) -> dict[str, Any]:
        asked = live.record.request
        record = await self.rows.get(asked["sae"])
        tokenisation = await self.store.datasets.tokenisation(asked["tokenisation"])
        rows_folder = self.store.artefacts.open(tokenisation.artefact_id).folder
        entry = self.catalogue.get(record.model)
        async with self.models.use_model(entry.path) as lm:
            job = await asyncio.to_thread(_Judging, lm, self.folder(record), rows_folder, asked["rows"])
            card = await live.on_device(await self.engine.device(), job)
        self._told(await self.rows.describe(record.id, card=card, details={"evaluated_on": tokenisation.name}))
        return {"sae": record.id}

    def _told(self, record: SaeRecord) -> SaeRecord:
        self.bridge.publish("library")
        return record


def sae_json(record: SaeRecord) -> dict[str, Any]:
    """An SAE for programs; absent values are left out."""
    known = asdict(record) | {
        "created_at": record.created_at.isoformat(),
        "deleted_at": record.deleted_at.isoformat() if record.deleted_at else None,
        "path": None,
    }
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in known.items() if value is not None
    }


class _Judging:
    """The evaluation as a device job; its result is the card as plain values."""

    name = "evaluation"

    def __init__(self, lm: "LanguageModel", folder: Path, rows_folder: Path, rows: int) -> None:
        from loupe.engine.jobs import Priority

        self.priority = Priority.BATCH
        self.lm = lm
        self.loaded = _read(folder)
        found = open_token_rows(rows_folder)
        self.rows = found.part(0, min(rows, len(found)))

    def run(self, ctx: "JobContext") -> "Generator[Event, None, dict[str, Any]]":
        from loupe.engine.jobs import Progress
        from loupe.engine.sae.evaluation import evaluate
        from loupe.engine.sae.formats import for_model

        loaded = for_model(self.loaded, self.lm)
        writes = (loaded.hook_point_out,) if loaded.hook_point_out else ()
        steps = evaluate(self.lm, loaded.sae, loaded.hook_points, self.rows, writes=writes)
        done = 0
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value.to_dict()
            done += 1
            yield Progress(done, None, "evaluating")


def _read(path: Path) -> "LoadedSAE":
    from loupe.engine.sae.formats import read_sae

    return read_sae(path.expanduser())


def _shipped(folder: Path) -> NewSae:
    """The record of an SAE that ships, from what stands in its `cfg.json`: to list it, torch need not be in memory."""
    described = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))["metadata"]["loupe"]
    config, card = described["config"], folder / "evals.json"
    return NewSae(
        name=f"starter {folder.name}",
        architecture=config["architecture"],
        hook_points=tuple(described["hook_points"]),
        hook_point_out=described.get("hook_point_out"),
        model=STARTER,
        model_fingerprint="",
        d_in=config["d_in"],
        d_sae=config["d_sae"],
        k=config.get("k"),
        source=STARTER,
        card=json.loads(card.read_text(encoding="utf-8")) if card.is_file() else None,
        size=sum(file.stat().st_size for file in folder.iterdir()),
        path=str(folder),
    )


def _new_sae(loaded: "LoadedSAE", **known: Any) -> NewSae:
    config = loaded.sae.config
    return NewSae(
        architecture=str(config.architecture),
        hook_points=tuple(str(point) for point in loaded.hook_points),
        hook_point_out=str(loaded.hook_point_out) if loaded.hook_point_out else None,
        model_fingerprint="",
        d_in=config.d_in,
        d_sae=config.d_sae,
        k=config.k,
        source_format=loaded.source_format,
        **known,
    )


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[:80].strip(".") or "sae"


def _copied(folder: Path, path: str, name: str) -> Path:
    into = Path(path).expanduser()
    if not (into.is_absolute() and into.is_dir()):
        raise NotFound(f"There is no folder {into}. Give the full path of one.")
    target = into / name
    if target.exists():
        raise Conflict(f"There is a {name} in {into} already.")
    aside = Path(tempfile.mkdtemp(prefix=".incoming-", dir=into))
    try:
        for file in folder.iterdir():
            if file.is_file() and file.name != MANIFEST:
                shutil.copyfile(file, aside / file.name)
        aside.chmod(0o755)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _zip(folder: Path, name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name != MANIFEST:
                file.write(path, f"{name}/{path.name}")
    return packed.getvalue()
