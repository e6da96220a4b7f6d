"""Models in memory: brought in when first asked for, shared by everyone, and let go when memory is needed.

What is in memory are *parts* (`parts.py`). A pair is made of parts, so switching inside a group loads only what
differs, and the base stays; pairs of the same parts are in memory together. News: the bridge key "models".
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from loupe.app.bridge import Bridge
from loupe.app.errors import Conflict, describe
from loupe.app.services.catalogue import Catalogue, PairSpec
from loupe.app.services.engine import Engine
from loupe.app.services.groups import Group, Groups, Pair
from loupe.app.services.options import AnalysisOptions, GenerationOptions
from loupe.app.services.pair_spec import spec_of
from loupe.app.services.parts import LoadedPair, LoadedPart, Parts, joined, looked_at, model_part, parts_of
from loupe.app.services.placements import placement_of
from loupe.app.settings import Settings
from loupe.engine.errors import Cancelled

if TYPE_CHECKING:
    from loupe.engine.device import DeviceThread, JobHandle
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.models.placement import Placement
    from loupe.engine.nla.load_job import LoadJob, LoadPart

log = logging.getLogger(__name__)

Options = TypeVar("Options", AnalysisOptions, GenerationOptions)
Submit = Callable[["DeviceThread", "LoadJob"], "JobHandle"]
OnStage = Callable[[str], None]


class Models:
    """Loads parts on the device thread, one request's at a time, and joins them to pairs."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        catalogue: Catalogue,
        groups: Groups,
        bridge: Bridge,
        clock: Callable[[], float] = time.monotonic,
        placed: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.placed = {} if placed is None else placed
        self.engine = engine
        self.catalogue = catalogue
        self.groups = groups
        self.loading: str | None = None
        self.stage = ""
        self.failures: dict[str, dict[str, Any]] = {}
        self.memory = Parts(settings, engine, self._left, clock)
        self._bridge = bridge
        self._pairs: dict[PairSpec, LoadedPair] = {}
        self._busy = asyncio.Lock()

    @property
    def loaded(self) -> tuple[LoadedPair, ...]:
        """The pairs in memory, the most recently used last."""
        return tuple(sorted(self._pairs.values(), key=lambda pair: pair.used_at))

    @property
    def parts(self) -> tuple[LoadedPart, ...]:
        """The parts in memory, the most recently used last."""
        return self.memory.all

    def settled(self, options: Options) -> Options:
        """The same options with the model named that they mean."""
        return options if options.model else options.model_copy(update={"model": self.groups.default})

    def spec(self, options: AnalysisOptions | GenerationOptions, *, paths_allowed: bool) -> PairSpec:
        """The folders that the options name. Raises as `spec_of`."""
        return spec_of(options, self.settings, self.catalogue, self.groups, paths_allowed=paths_allowed)

    # Using what is in memory.

    @asynccontextmanager
    async def use(self, spec: PairSpec) -> AsyncIterator[LoadedPair]:
        """The pair, loaded now if need be, and kept in memory for the block."""
        held = await self._held(spec)
        try:
            yield held
        finally:
            self.memory.let_go(held.parts)

    @asynccontextmanager
    async def use_model(self, folder: Path, dtype: str = "") -> AsyncIterator["LanguageModel"]:
        """A base model without a pair, loaded now if need be, and kept in memory for the block."""
        parts = await self._taken([self._model_part(folder, dtype)])
        try:
            yield parts[0].thing
        finally:
            self.memory.let_go(parts)

    async def preload(self, options: AnalysisOptions) -> None:
        """Load the pair that such a request would use, so that the first one need not wait for it."""
        await self.bring(self.spec(options, paths_allowed=False))

    async def bring(
        self, wanted: PairSpec | Path, *, dtype: str = "", submit: Submit | None = None, on_stage: OnStage | None = None
    ) -> None:
        """Load a pair or a model ahead of its use; nothing happens when it is there."""
        if isinstance(wanted, PairSpec):
            held = await self._held(wanted, submit, on_stage)
            self.memory.let_go(held.parts)
        else:
            self.memory.let_go(await self._taken([self._model_part(wanted, dtype)], submit, on_stage))

    async def unload(self, spec: PairSpec) -> None:
        """Let a pair's halves go, and its base when no other pair reads it. Raises Conflict while somebody uses it."""
        pair = self._pairs.get(spec)
        if pair is None:
            return
        others = {part.part for other in self._pairs.values() if other is not pair for part in other.parts}
        self.memory.drop_unheld(
            [part for part in pair.parts if part.part not in others], self.catalogue.name_of(spec.model)
        )
        self._pairs.pop(spec, None)
        self._tell("ready")

    async def unload_pair(self, pair: Pair) -> None:
        """Let the halves of a pair go by its name, and whatever is made of the same. Raises as `unload`, NotFound."""
        av, ar = (self.catalogue.get(half).path for half in (pair.verbalizer, pair.reconstructor))
        for loaded in self.loaded:
            if (loaded.spec.verbalizer, loaded.spec.reconstructor) == (av, ar):
                await self.unload(loaded.spec)

    async def unload_base(self, id: str) -> None:
        """Let a model and everything that reads it go. Raises as `unload`, NotFound."""
        base = self.catalogue.get(id).path
        for loaded in self.loaded:
            if loaded.spec.model == base:
                await self.unload(loaded.spec)
        await self.unload_folder(base)

    async def unload_folder(self, folder: Path) -> int:
        """Let every part go that was loaded from a folder; returns how many. Raises Conflict while one is in use."""
        found = [part for part in self.parts if folder in (part.part.folder, part.part.beside)]
        self.memory.drop_unheld(found, self.catalogue.name_of(folder))
        self._tell("ready")
        return len(found)

    def drop_idle(self, minutes: float) -> int:
        """Let go what nobody has used for that long; returns how many parts."""
        gone = self.memory.drop_idle(minutes)
        if gone:
            self._tell("ready")
        return gone

    def in_memory(self, folder: Path) -> list[LoadedPart]:
        """The parts that were loaded from this folder."""
        return [part for part in self.parts if part.part.folder == folder]

    def state_of(self, pair: Pair) -> str:
        """loaded, loading, on disk, or unusable because a folder is missing or of a kind that is not read."""
        known = {entry.id: entry.path for entry in self.catalogue.entries()}
        if pair.problem or any(folder not in known for folder in pair.folders):
            return "unusable"
        if self.loading and self.loading in pair.folders:
            return "loading"
        wanted = (known[pair.model], known[pair.verbalizer], known[pair.reconstructor], known.get(pair.donor or ""))
        specs = (loaded.spec for loaded in self._pairs.values())
        there = any((s.model, s.verbalizer, s.reconstructor, s.donor) == wanted for s in specs)
        return "loaded" if there else "on disk"

    def first_usable(self, group: Group) -> str:
        """The pair that a group means: its first that can be used. Raises Conflict when there is none."""
        known = {pair.id: pair for pair in self.groups.pairs()}
        for id in group.pairs:
            if id in known and self.state_of(known[id]) != "unusable":
                return id
        raise Conflict(f"The group {group.id} has no pair that can be used.")

    async def _held(self, spec: PairSpec, submit: Submit | None = None, on_stage: OnStage | None = None) -> LoadedPair:
        parts = await self._taken(parts_of(self.catalogue, spec, self._place), submit, on_stage)
        if spec not in self._pairs:
            try:
                self._pairs[spec] = await asyncio.to_thread(joined, spec, parts)
            except BaseException:  # cancelling included: a part that stays held could never leave
                self.memory.let_go(parts)
                raise
            self._tell("ready")
        return self._pairs[spec]

    async def _taken(
        self, wanted: Sequence["LoadPart"], submit: Submit | None = None, on_stage: OnStage | None = None
    ) -> tuple[LoadedPart, ...]:
        """The parts, each held once more; what is missing is loaded first, one request's parts at a time."""
        if self.memory.missing(wanted):
            async with self._busy:
                if self.memory.missing(wanted):
                    await self._load(wanted, submit, on_stage)
                return self.memory.hold(wanted)
        return self.memory.hold(wanted)

    def _left(self, part: LoadedPart) -> None:
        for spec, pair in list(self._pairs.items()):
            if part in pair.parts:
                del self._pairs[spec]

    # Loading.

    async def _load(self, wanted: Sequence["LoadPart"], submit: Submit | None, on_stage: OnStage | None) -> None:
        missing = self.memory.missing(wanted)
        name = self.loading = self.catalogue.name_of(missing[-1].folder)
        started = time.monotonic()
        try:
            await self._brought(missing, wanted, submit, on_stage)
        except (asyncio.CancelledError, Cancelled):
            raise
        except Exception as error:  # kept for whoever asks why it is not there, then raised as it is
            self.failures[name] = describe(error)
            raise
        finally:
            self.loading, self.stage = None, ""
            self._tell("ready")
        self.failures.pop(name, None)
        took = {"seconds": round(time.monotonic() - started, 2), "model": name, "parts": len(missing)}
        log.info("loaded", extra={"fields": took})

    async def _brought(
        self,
        missing: Sequence["LoadPart"],
        wanted: Sequence["LoadPart"],
        submit: Submit | None,
        on_stage: OnStage | None,
    ) -> None:
        from loupe.engine.nla.load_job import LoadJob

        name = str(self.loading)
        device = await self.engine.device()
        self._at(f"hashing {name}", on_stage)
        sizes = await asyncio.to_thread(looked_at, missing, device)
        self.memory.make_room(sizes, wanted, device, name)
        job = LoadJob(missing, self.memory.things(wanted), device=device.device)
        handle = submit(device, job) if submit else device.submit(job, on_event=self._watch(on_stage))
        self._at(f"loading {name}", on_stage)
        await self._registered(handle, missing)

    async def _registered(self, handle: "JobHandle", missing: Sequence["LoadPart"]) -> None:
        """Wait for a load and remember its parts, also when whoever asked for it is gone by the time it ends."""
        future = asyncio.wrap_future(handle.future)
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            handle.cancel()
            await asyncio.wait([future])
            if not future.cancelled() and future.exception() is None:
                self._remember(future.result(), missing)
            raise
        self._remember(future.result(), missing)

    def _remember(self, things: dict["LoadPart", Any], missing: Sequence["LoadPart"]) -> None:
        from loupe.engine.nla.load_job import Role, bytes_by_place

        for part in missing:
            thing = things[part]
            self.memory.remember(part, thing, bytes_by_place(thing))
            if part.role is Role.VERBALIZER and (rows := self._batch_rows(part.folder)):
                thing.batch.admission.max_rows = rows

    def _batch_rows(self, verbalizer: Path) -> int | None:
        """The override of the automatic batch: the setting's, else that of a pair with this verbalizer."""
        if self.settings.batch_rows:
            return self.settings.batch_rows
        name = self.catalogue.name_of(verbalizer)
        return next((pair.batch_rows for pair in self.groups.pairs() if pair.verbalizer == name), None)

    def _model_part(self, folder: Path, dtype: str) -> "LoadPart":
        return model_part(self.catalogue, folder, dtype or self.settings.dtype, self._place)

    def _place(self, folder: Path) -> "Placement | None":
        return placement_of(self.engine, self.placed.get(self.catalogue.name_of(folder), ""))

    def _watch(self, on_stage: OnStage | None) -> Callable[[Any], None]:
        def watch(event: Any) -> None:
            if (stage := f"{event.message} of {self.loading}") != self.stage:  # bytes that grow are no new stage
                self._at(stage, on_stage)

        return watch

    def _at(self, stage: str, on_stage: OnStage | None) -> None:
        self.stage = stage
        if on_stage is not None:
            on_stage(stage)
        self._tell("loading")

    def _tell(self, what: str) -> None:
        self._bridge.publish("models", what)
