"""Models in memory: brought in when first asked for, shared by everyone, and let go when memory is needed.

What is in memory are *parts*: a base model, a donor, a verbalizer, a reconstructor, each known by its folder and dtype.
A pair is made of parts, so switching inside a group loads only what differs, and the base stays. A request holds its
parts from the moment it has them until it ends; what somebody holds is never let go, what nobody holds leaves longest
unused first when the memory budget asks for room. What does not fit even then is refused with numbers.
News: the bridge key "models".
"""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from loupe.app.bridge import Bridge
from loupe.app.errors import Conflict, NotReady, describe
from loupe.app.services.catalogue import STARTER, Catalogue, Kind, ModelEntry, PairSpec
from loupe.app.services.engine import Engine
from loupe.app.services.groups import Groups, Pair
from loupe.app.services.options import AnalysisOptions, GenerationOptions
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption, Cancelled, OutOfDeviceMemory

if TYPE_CHECKING:
    from loupe.engine.device import DeviceThread, JobHandle
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.nla.load_job import LoadJob, LoadPart
    from loupe.engine.nla.pair import NLAPair

log = logging.getLogger(__name__)

Options = TypeVar("Options", AnalysisOptions, GenerationOptions)
Submit = Callable[["DeviceThread", "LoadJob"], "JobHandle"]
OnStage = Callable[[str], None]


@dataclass(slots=True, eq=False)
class LoadedPart:
    """One part in memory: what it is, its bytes, how many requests hold it, and when the last one let go."""

    part: "LoadPart"
    thing: Any
    size: int
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True, eq=False)
class LoadedPair:
    """A model, its NLA pair, and the model the vectors come from, in memory."""

    spec: PairSpec
    model: "LanguageModel"
    pair: "NLAPair"
    donor: "LanguageModel | None"
    parts: tuple[LoadedPart, ...]

    @property
    def size(self) -> int:
        """Bytes of all parts, also of those that other pairs share."""
        return sum(part.size for part in self.parts)

    @property
    def users(self) -> int:
        """How many requests hold the pair's own halves."""
        return min(part.users for part in self.parts)

    @property
    def used_at(self) -> float:
        """When somebody last let go of it."""
        return max(part.used_at for part in self.parts)


class Models:
    """Loads parts on the device thread, one request's at a time, and remembers them."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        catalogue: Catalogue,
        groups: Groups,
        bridge: Bridge,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.catalogue = catalogue
        self.groups = groups
        self.loading: str | None = None
        self.stage = ""
        self.failures: dict[str, dict[str, Any]] = {}
        self._bridge = bridge
        self._clock = clock
        self._parts: dict[LoadPart, LoadedPart] = {}
        self._pairs: dict[PairSpec, LoadedPair] = {}
        self._busy = asyncio.Lock()

    @property
    def loaded(self) -> tuple[LoadedPair, ...]:
        """The pairs in memory, the most recently used last."""
        return tuple(sorted(self._pairs.values(), key=lambda pair: pair.used_at))

    @property
    def parts(self) -> tuple[LoadedPart, ...]:
        """The parts in memory, the most recently used last."""
        return tuple(sorted(self._parts.values(), key=lambda part: part.used_at))

    def settled(self, options: Options) -> Options:
        """The same options with the model named that they mean."""
        return options if options.model else options.model_copy(update={"model": self.groups.default})

    def spec(self, options: AnalysisOptions | GenerationOptions, *, paths_allowed: bool) -> PairSpec:
        """The folders that the options name. Raises NotFound, Forbidden, NotReady, Conflict, or BadOption when half a
        pair is missing."""
        model = options.model or self.groups.default
        verbalizer, reconstructor = options.verbalizer, options.reconstructor
        donor, layer = options.donor, getattr(options, "layer", None)
        if model == STARTER and not self.catalogue.has_starter:
            raise NotReady("The starter is not there. Build it with `loupe starter build`, or name another model.")
        pair = self.groups.find_pair(model)
        if pair is not None:
            if pair.problem and not (verbalizer and reconstructor):
                raise Conflict(f"The pair {pair.id} cannot be used yet: {pair.problem}")
            model = pair.model
            verbalizer, reconstructor = verbalizer or pair.verbalizer, reconstructor or pair.reconstructor
            donor = donor or pair.donor
        folder = partial(self.catalogue.folder, paths_allowed=paths_allowed)
        model_folder = folder(model)
        if not verbalizer or not reconstructor:
            missing = "verbalizer" if not verbalizer else "reconstructor"
            raise BadOption(f"{model} needs an NLA pair to be explained: name its {missing} (--{missing}).")
        return PairSpec(
            model=model_folder,
            verbalizer=folder(verbalizer),
            reconstructor=folder(reconstructor),
            layer=layer,
            donor=folder(donor) if donor else None,
            dtype=options.dtype or self.settings.dtype,
        )

    # Using what is in memory.

    @asynccontextmanager
    async def use(self, spec: PairSpec) -> AsyncIterator[LoadedPair]:
        """The pair, loaded now if need be, and kept in memory for the block."""
        held = await self._held(spec)
        try:
            yield held
        finally:
            self._let_go(held.parts)

    @asynccontextmanager
    async def use_model(self, folder: Path, dtype: str = "") -> AsyncIterator["LanguageModel"]:
        """A base model without a pair, loaded now if need be, and kept in memory for the block."""
        parts = await self._taken([self._model_part(folder, dtype)])
        try:
            yield parts[0].thing
        finally:
            self._let_go(parts)

    async def preload(self, options: AnalysisOptions) -> None:
        """Load the pair that such a request would use, so that the first one need not wait for it."""
        await self.bring(self.spec(options, paths_allowed=False))

    async def bring(
        self, wanted: PairSpec | Path, *, dtype: str = "", submit: Submit | None = None, on_stage: OnStage | None = None
    ) -> None:
        """Load a pair or a model ahead of its use; nothing happens when it is there."""
        if isinstance(wanted, PairSpec):
            held = await self._held(wanted, submit, on_stage)
            self._let_go(held.parts)
        else:
            self._let_go(await self._taken([self._model_part(wanted, dtype)], submit, on_stage))

    async def unload(self, spec: PairSpec) -> None:
        """Let a pair's halves go, and its base when no other pair reads it. Raises Conflict while somebody uses it."""
        pair = self._pairs.get(spec)
        if pair is None:
            return
        others = {part.part for other in self._pairs.values() if other is not pair for part in other.parts}
        self._drop_unheld([part for part in pair.parts if part.part not in others], spec.model)
        self._pairs.pop(spec, None)
        self._tell("ready")

    async def unload_folder(self, folder: Path) -> int:
        """Let every part go that was loaded from a folder; returns how many. Raises Conflict while one is in use."""
        found = [part for part in self._parts.values() if folder in (part.part.folder, part.part.beside)]
        self._drop_unheld(found, folder)
        self._tell("ready")
        return len(found)

    def drop_idle(self, minutes: float) -> int:
        """Let go what nobody has used for that long; returns how many parts."""
        late = self._clock() - minutes * 60
        idle = [part for part in self.parts if not part.users and part.used_at <= late]
        for part in idle:
            self._drop(part)
        if idle:
            self._tell("ready")
        return len(idle)

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

    async def _held(self, spec: PairSpec, submit: Submit | None = None, on_stage: OnStage | None = None) -> LoadedPair:
        parts = await self._taken(self._parts_of(spec), submit, on_stage)
        if spec not in self._pairs:
            try:
                self._pairs[spec] = await asyncio.to_thread(_joined, spec, parts)
            except BaseException:
                self._let_go(parts)
                raise
        return self._pairs[spec]

    async def _taken(
        self, wanted: Sequence["LoadPart"], submit: Submit | None = None, on_stage: OnStage | None = None
    ) -> tuple[LoadedPart, ...]:
        """The parts, each held once more; what is missing is loaded first, one request's parts at a time."""
        if any(part not in self._parts for part in wanted):
            async with self._busy:
                if any(part not in self._parts for part in wanted):
                    await self._load(wanted, submit, on_stage)
                return self._hold(wanted)
        return self._hold(wanted)

    def _hold(self, wanted: Iterable["LoadPart"]) -> tuple[LoadedPart, ...]:
        held = tuple(self._parts[part] for part in wanted)
        for part in held:
            part.users += 1
        return held

    def _let_go(self, parts: Iterable[LoadedPart]) -> None:
        for part in parts:
            part.users -= 1
            part.used_at = self._clock()

    # Loading.

    async def _load(self, wanted: Sequence["LoadPart"], submit: Submit | None, on_stage: OnStage | None) -> None:
        from loupe.engine.nla.load_job import LoadJob

        missing = [part for part in wanted if part not in self._parts]
        name = self.catalogue.name_of(missing[-1].folder)
        self.loading = name
        started = time.monotonic()
        try:
            device = await self.engine.device()
            self._at(f"hashing {name}", on_stage)
            sizes = await asyncio.to_thread(_looked_at, missing)
            self._make_room(sum(sizes.values()), set(wanted), device, name)
            have = {part: self._parts[part].thing for part in wanted if part in self._parts}
            job = LoadJob(missing, have, device=device.device)
            handle = submit(device, job) if submit else device.submit(job, on_event=self._watch(on_stage))
            self._at(f"loading {name}", on_stage)
            await self._registered(handle, missing)
        except (asyncio.CancelledError, Cancelled):
            raise
        except Exception as error:
            self.failures[name] = describe(error)
            raise
        finally:
            self.loading, self.stage = None, ""
            self._tell("ready")
        self.failures.pop(name, None)
        took = {"seconds": round(time.monotonic() - started, 2), "model": name, "parts": len(missing)}
        log.info("loaded", extra={"fields": took})

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
        from loupe.engine.nla.load_job import Role, bytes_of

        for part in missing:
            thing = things[part]
            self._parts[part] = LoadedPart(part, thing, bytes_of(thing), used_at=self._clock())
            if part.role is Role.VERBALIZER and (rows := self._batch_rows(part.folder)):
                thing.batch.max_rows = rows

    def _batch_rows(self, verbalizer: Path) -> int | None:
        """The override of the automatic batch: the setting's, else that of a pair with this verbalizer."""
        if self.settings.batch_rows:
            return self.settings.batch_rows
        name = self.catalogue.name_of(verbalizer)
        return next((pair.batch_rows for pair in self.groups.pairs() if pair.verbalizer == name), None)

    def _make_room(self, needed: int, wanted: set["LoadPart"], device: "DeviceThread", name: str) -> None:
        """Let go of what nobody holds, longest unused first, until `needed` bytes fit. Raises OutOfDeviceMemory."""
        limit = self.settings.model_memory_mb * 2**20
        idle = [part for part in self.parts if not part.users and part.part not in wanted]
        while idle and (needed > device.memory.available() or (limit and self._total() + needed > limit)):
            self._drop(idle.pop(0))
            gc.collect()
        device.memory.require(needed, f"Loading {name}", FREE_SOME)
        if limit and self._total() + needed > limit:
            holdings = {part.part.owner: part.size for part in self.parts}
            raise OutOfDeviceMemory(
                f"Loading {name} needs {needed:,} bytes; {self._total():,} of the {limit:,} bytes for models "
                f"(LOUPE_MODEL_MEMORY_MB) are in use by models that somebody works with.",
                advice=FREE_SOME,
                needed=needed,
                available=max(0, limit - self._total()),
                holdings=holdings,
            )

    def _total(self) -> int:
        return sum(part.size for part in self._parts.values())

    def _drop_unheld(self, parts: Sequence[LoadedPart], folder: Path) -> None:
        if users := max((part.users for part in parts), default=0):
            name = self.catalogue.name_of(folder)
            raise Conflict(f"{users} running requests use {name}. Wait for them or cancel them.")
        for part in parts:
            self._drop(part)

    def _drop(self, part: LoadedPart) -> None:
        del self._parts[part.part]
        for spec, pair in list(self._pairs.items()):
            if part in pair.parts:
                del self._pairs[spec]
        if device := self.engine.running:
            device.memory.release(part.part.owner)
        log.info("let go", extra={"fields": {"part": part.part.owner}})

    def _parts_of(self, spec: PairSpec) -> list["LoadPart"]:
        from loupe.engine.nla.load_job import LoadPart, Role

        name = self.catalogue.name_of
        parts = [self._model_part(spec.model, spec.dtype)]
        if spec.donor is not None:
            owner = f"donor {name(spec.donor)}"
            parts.append(LoadPart(Role.DONOR, spec.donor, owner, spec.dtype, beside=spec.model))
        parts.append(
            LoadPart(Role.VERBALIZER, spec.verbalizer, f"verbalizer {name(spec.verbalizer)}", layer=spec.layer)
        )
        ar = f"reconstructor {name(spec.reconstructor)}"
        parts.append(LoadPart(Role.RECONSTRUCTOR, spec.reconstructor, ar, beside=spec.verbalizer, layer=spec.layer))
        return parts

    def _model_part(self, folder: Path, dtype: str) -> "LoadPart":
        from loupe.engine.nla.load_job import LoadPart, Role

        dtype = dtype or self.settings.dtype
        told = "" if dtype == "auto" else f" ({dtype})"
        return LoadPart(Role.MODEL, folder, f"model {self.catalogue.name_of(folder)}{told}", dtype)

    def _watch(self, on_stage: OnStage | None) -> Callable[[Any], None]:
        def watch(event: Any) -> None:
            self._at(f"{event.message} of {self.loading}", on_stage)

        return watch

    def _at(self, stage: str, on_stage: OnStage | None) -> None:
        self.stage = stage
        if on_stage is not None:
            on_stage(stage)
        self._tell("loading")

    def _tell(self, what: str) -> None:
        self._bridge.publish("models", what)


FREE_SOME = "Unload a model that is not needed, choose a smaller dtype, or use a device with more memory."


def _looked_at(parts: Sequence["LoadPart"]) -> dict["LoadPart", int]:
    """Bytes of each part, and on the way every hash that the load will ask for, so that it need not compute them."""
    from loupe.engine.models.donors import adapter_weights, is_adapter
    from loupe.engine.models.fingerprint import file_sha256, fingerprint_folder

    for part in parts:
        if is_adapter(part.folder):
            file_sha256(adapter_weights(part.folder))
        elif (part.folder / "config.json").is_file():
            fingerprint_folder(part.folder)
    return {part: part.nbytes() for part in parts}


def _joined(spec: PairSpec, parts: Sequence[LoadedPart]) -> LoadedPair:
    from loupe.engine.nla.load_job import Role, pair_of

    things = {part.part.role: part.thing for part in parts}
    pair = pair_of({part.part: part.thing for part in parts})
    return LoadedPair(spec, things[Role.MODEL], pair, things.get(Role.DONOR), tuple(parts))


def entry_json(entry: ModelEntry, models: Models) -> dict[str, Any]:
    """A catalogue entry and its state for programs; absent values are left out."""
    parts = models.in_memory(entry.path)
    state = "loaded" if parts else "on disk"
    if models.loading == entry.id:
        state = "loading"
    known = {
        "id": entry.id,
        "kind": entry.kind,
        "state": state,
        "size_bytes": entry.size,
        "source": entry.source,
        "revision": entry.revision,
        "architecture": entry.architecture,
        "n_layers": entry.n_layers,
        "d_model": entry.d_model,
        "layer": entry.layer,
        "dtype": entry.dtype,
        "licence": entry.licence,
        "base": entry.base,
        "loaded": bool(parts),
        "memory_bytes": sum(part.size for part in parts) or None,
        "users": sum(part.users for part in parts) if parts else None,
        "stage": models.stage if state == "loading" else None,
        "error": models.failures.get(entry.id) if state == "on disk" else None,
    }
    return {name: value for name, value in known.items() if value is not None}


__all__ = ["Kind", "LoadedPair", "LoadedPart", "Models", "entry_json"]
