"""Parts in memory: a base model, a donor, a verbalizer, a reconstructor, each known by its folder and dtype.

A request holds its parts from the moment it has them until it ends. What somebody holds is never let go; what nobody
holds leaves longest unused first when the memory budget asks for room, and what does not fit even then is refused with
numbers. Everything here runs on the event loop.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.errors import Conflict
from loupe.app.services.catalogue import Catalogue, PairSpec
from loupe.app.services.engine import Engine
from loupe.app.settings import Settings
from loupe.engine import garbage
from loupe.engine.errors import OutOfDeviceMemory

if TYPE_CHECKING:
    from loupe.engine.device import DeviceThread
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.models.placement import Placement
    from loupe.engine.nla.load_job import LoadPart
    from loupe.engine.nla.pair import NLAPair

log = logging.getLogger(__name__)

FREE_SOME = "Unload a model that is not needed, choose a smaller dtype, or use a device with more memory."
OF_HALVES = ("fp32", "bf16", "fp16")  # a pair was trained whole: only what it reads is quantised


@dataclass(slots=True, eq=False)
class LoadedPart:
    """One part in memory: what it is, its bytes by device, how many requests hold it, and when the last one let go."""

    part: "LoadPart"
    thing: Any
    by_device: Mapping[str, int]
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """Its bytes on all devices."""
        return sum(self.by_device.values())


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


class Parts:
    """What is in memory, and who holds it. `on_drop(part)` is told of each that leaves."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        on_drop: Callable[[LoadedPart], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self._on_drop = on_drop
        self._clock = clock
        self._parts: dict[LoadPart, LoadedPart] = {}

    @property
    def all(self) -> tuple[LoadedPart, ...]:
        """The parts in memory, the most recently used last."""
        return tuple(sorted(self._parts.values(), key=lambda part: part.used_at))

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self._parts.values())

    def missing(self, wanted: Iterable["LoadPart"]) -> list["LoadPart"]:
        """Those that are not in memory."""
        return [part for part in wanted if part not in self._parts]

    def things(self, wanted: Iterable["LoadPart"]) -> dict["LoadPart", Any]:
        """Those that are in memory, as what was loaded."""
        return {part: self._parts[part].thing for part in wanted if part in self._parts}

    def hold(self, wanted: Iterable["LoadPart"]) -> tuple[LoadedPart, ...]:
        """All of them, each held once more; they must be in memory."""
        held = tuple(self._parts[part] for part in wanted)
        for part in held:
            part.users += 1
        return held

    def let_go(self, parts: Iterable[LoadedPart]) -> None:
        """Hold each once less."""
        for part in parts:
            part.users -= 1
            part.used_at = self._clock()

    def remember(self, part: "LoadPart", thing: Any, by_device: Mapping[str, int]) -> None:
        """A part has arrived in memory."""
        self._parts[part] = LoadedPart(part, thing, by_device, used_at=self._clock())

    def make_room(
        self, sizes: Mapping["LoadPart", int], wanted: Iterable["LoadPart"], device: "DeviceThread", name: str
    ) -> None:
        """Let go of what nobody holds, longest unused first, until parts of these sizes fit where they go.

        Raises OutOfDeviceMemory; for blocks that are spread over devices, loading says so itself.
        """
        limit, stays, needed = self.settings.model_memory_mb * 2**20, set(wanted), sum(sizes.values())
        for places, here in _by_places(sizes, device).items():
            budgets = [device.memory.on(place) for place in places]
            idle = [part for part in self._idle(stays) if part.by_device.keys() & {str(b.device) for b in budgets}]
            while idle and here > sum(budget.available() for budget in budgets):
                self._drop_now(idle.pop(0))
            if len(budgets) == 1:
                budgets[0].require(here, f"Loading {name}", FREE_SOME)
        idle = self._idle(stays)
        while limit and idle and self.size + needed > limit:
            self._drop_now(idle.pop(0))
        if limit and self.size + needed > limit:
            raise OutOfDeviceMemory(
                f"Loading {name} needs {needed:,} bytes; {self.size:,} of the {limit:,} bytes for models "
                f"(LOUPE_MODEL_MEMORY_MB) are in use by models that somebody works with.",
                advice=FREE_SOME,
                needed=needed,
                available=max(0, limit - self.size),
                holdings={part.part.owner: part.size for part in self.all},
            )

    def _idle(self, stays: set["LoadPart"]) -> list[LoadedPart]:
        return [part for part in self.all if not part.users and part.part not in stays]

    def _drop_now(self, part: LoadedPart) -> None:
        self.drop(part)
        garbage.collect()

    def drop_idle(self, minutes: float) -> int:
        """Let go what nobody has used for that long; returns how many."""
        late = self._clock() - minutes * 60
        idle = [part for part in self.all if not part.users and part.used_at <= late]
        for part in idle:
            self.drop(part)
        return len(idle)

    def drop_unheld(self, parts: Sequence[LoadedPart], name: str) -> None:
        """Let all of them go, or none. Raises Conflict while one is held."""
        if users := max((part.users for part in parts), default=0):
            raise Conflict(f"{users} running requests use {name}. Wait for them or cancel them.")
        for part in parts:
            self.drop(part)

    def drop(self, part: LoadedPart) -> None:
        """Let one go."""
        del self._parts[part.part]
        self._on_drop(part)
        if device := self.engine.running:
            device.memory.release(part.part.owner)
        log.info("let go", extra={"fields": {"part": part.part.owner}})


PlaceOf = Callable[[Path], "Placement | None"]


def model_part(catalogue: Catalogue, folder: Path, dtype: str, place_of: PlaceOf) -> "LoadPart":
    """A base model as a part."""
    from loupe.engine.nla.load_job import LoadPart, Role

    told = "" if dtype == "auto" else f" ({dtype})"
    owner = f"model {catalogue.name_of(folder)}{told}"
    return LoadPart(Role.MODEL, folder, owner, dtype, placement=place_of(folder))


def parts_of(catalogue: Catalogue, spec: PairSpec, place_of: PlaceOf) -> list["LoadPart"]:
    """What a pair is made of, in the order in which it is loaded. A donor goes where its base is."""
    from loupe.engine.nla.load_job import LoadPart, Role

    name = catalogue.name_of
    base = model_part(catalogue, spec.model, spec.dtype, place_of)
    parts = [base]
    if spec.donor is not None:
        donor = LoadPart(Role.DONOR, spec.donor, f"donor {name(spec.donor)}", spec.dtype, beside=spec.model)
        parts.append(replace(donor, placement=base.placement))
    dtype = spec.dtype if spec.dtype in OF_HALVES else "auto"
    told = "" if dtype == "auto" else f" ({dtype})"
    av, ar = f"verbalizer {name(spec.verbalizer)}{told}", f"reconstructor {name(spec.reconstructor)}{told}"
    there = LoadPart(Role.VERBALIZER, spec.verbalizer, av, dtype, layer=spec.layer)
    parts.append(replace(there, placement=place_of(spec.verbalizer)))
    there = LoadPart(Role.RECONSTRUCTOR, spec.reconstructor, ar, dtype, beside=spec.verbalizer, layer=spec.layer)
    parts.append(replace(there, placement=place_of(spec.reconstructor)))
    return parts


def _by_places(sizes: Mapping["LoadPart", int], device: "DeviceThread") -> dict[tuple[str, ...], int]:
    """Bytes that go to the same devices together."""
    found: dict[tuple[str, ...], int] = {}
    for part, size in sizes.items():
        placement = part.placement
        places = placement.devices + (("cpu",) if placement.offload else ()) if placement else (str(device.device),)
        found[places] = found.get(places, 0) + size
    return found


def looked_at(parts: Sequence["LoadPart"], device: "DeviceThread") -> dict["LoadPart", int]:
    """Bytes of each part where it goes, and on the way every hash that the load will ask for, so that it need not
    compute them."""
    from loupe.engine.models.donors import adapter_weights, is_adapter
    from loupe.engine.models.fingerprint import file_sha256, fingerprint_folder

    for part in parts:
        if is_adapter(part.folder):
            file_sha256(adapter_weights(part.folder))
        elif (part.folder / "config.json").is_file():
            fingerprint_folder(part.folder)
    return {part: part.nbytes((part.placement.home if part.placement else device.device).type) for part in parts}


def joined(spec: PairSpec, parts: Sequence[LoadedPart]) -> LoadedPair:
    """The pair that these parts make."""
    from loupe.engine.nla.load_job import Role, pair_of

    things = {part.part.role: part.thing for part in parts}
    pair = pair_of({part.part: part.thing for part in parts})
    return LoadedPair(spec, things[Role.MODEL], pair, things.get(Role.DONOR), tuple(parts))
