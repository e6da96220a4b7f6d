"""Loaded models: brought in when first asked for, shared by everyone, and let go when memory is needed.

A pair in use is never let go. What is loading is published as "models".
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.bridge import Bridge
from loupe.app.errors import Conflict, NotReady
from loupe.app.services.catalogue import STARTER, Catalogue, Kind, ModelEntry, PairSpec
from loupe.app.services.engine import Engine
from loupe.app.services.options import AnalysisOptions
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption

if TYPE_CHECKING:
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.nla.pair import NLAPair

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class LoadedPair:
    """A model, its NLA pair, and the model the vectors come from, in memory. `size` in bytes on disk."""

    spec: PairSpec
    model: "LanguageModel"
    pair: "NLAPair"
    donor: "LanguageModel | None"
    size: int
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)


class Models:
    """Loads pairs on the device thread, at most one at a time, and remembers them."""

    def __init__(self, settings: Settings, engine: Engine, catalogue: Catalogue, bridge: Bridge) -> None:
        self.settings = settings
        self.engine = engine
        self.catalogue = catalogue
        self._bridge = bridge
        self._loaded: dict[PairSpec, LoadedPair] = {}
        self._loading = asyncio.Lock()
        self.loading: str | None = None

    @property
    def loaded(self) -> tuple[LoadedPair, ...]:
        """The pairs in memory, the most recently used last."""
        return tuple(sorted(self._loaded.values(), key=lambda pair: pair.used_at))

    def spec(self, options: AnalysisOptions, *, paths_allowed: bool) -> PairSpec:
        """The folders that the options name. Raises NotFound, Forbidden, or BadOption when half a pair is missing."""
        model, verbalizer, reconstructor = options.model, options.verbalizer, options.reconstructor
        if model == STARTER:
            verbalizer, reconstructor = verbalizer or f"{STARTER}/av", reconstructor or f"{STARTER}/ar"
            if not self.catalogue.has_starter:
                raise NotReady("The starter is not there. Build it with `loupe starter build`, or name another model.")
        folder = partial(self.catalogue.folder, paths_allowed=paths_allowed)
        model_folder = folder(model)
        if not verbalizer or not reconstructor:
            missing = "verbalizer" if not verbalizer else "reconstructor"
            raise BadOption(f"{model} needs an NLA pair to be explained: name its {missing} (--{missing}).")
        return PairSpec(
            model=model_folder,
            verbalizer=folder(verbalizer),
            reconstructor=folder(reconstructor),
            layer=options.layer,
            donor=folder(options.donor) if options.donor else None,
            dtype=options.dtype or self.settings.dtype,
        )

    @asynccontextmanager
    async def use(self, spec: PairSpec) -> AsyncIterator[LoadedPair]:
        """The pair, loaded now if need be, and kept in memory for the block."""
        loaded = await self._load(spec)
        loaded.users += 1
        try:
            yield loaded
        finally:
            loaded.users -= 1
            loaded.used_at = time.monotonic()

    async def preload(self, options: AnalysisOptions) -> None:
        """Load the pair that such a request would use, so that the first one need not wait for it."""
        await self._load(self.spec(options, paths_allowed=False))

    async def unload(self, spec: PairSpec) -> None:
        """Let a pair go. Raises Conflict while somebody uses it."""
        loaded = self._loaded.get(spec)
        if loaded is None:
            return
        if loaded.users:
            raise Conflict(f"{loaded.users} running analyses use {spec.model.name}. Wait for them or cancel them.")
        del self._loaded[spec]
        self._bridge.publish("models", "ready")

    async def _load(self, spec: PairSpec) -> LoadedPair:
        async with self._loading:
            if spec in self._loaded:
                return self._loaded[spec]
            device = await self.engine.device()
            self.loading = spec.model.name
            self._bridge.publish("models", "loading")
            started = time.monotonic()
            try:
                loaded = await asyncio.wrap_future(device.call(lambda: _load(spec, str(device.device)), name="load"))
            finally:
                self.loading = None
                self._bridge.publish("models", "ready")
            took = {"seconds": round(time.monotonic() - started, 2), "model": spec.model.name}
            log.info("pair loaded", extra={"fields": took})
            self._make_room(loaded.size)
            self._loaded[spec] = loaded
            return loaded

    def _make_room(self, size: int) -> None:
        limit = self.settings.model_memory_mb * 2**20
        for old in self.loaded:
            if sum(pair.size for pair in self._loaded.values()) + size <= limit:
                return
            if not old.users:
                del self._loaded[old.spec]
                log.info("pair let go", extra={"fields": {"model": old.spec.model.name}})


def _load(spec: PairSpec, device: str) -> LoadedPair:
    from transformers.utils import logging as transformers_logging

    from loupe.engine.models.donors import load_donor
    from loupe.engine.models.loading import load_model
    from loupe.engine.nla.pair import load_pair

    transformers_logging.set_verbosity_error()  # its load reports name parts that the engine checks by itself
    model = load_model(spec.model, dtype=spec.dtype, device=device)
    pair = load_pair(model, spec.verbalizer, spec.reconstructor, layer=spec.layer)
    donor = load_donor(model, spec.donor) if spec.donor else None
    folders = (spec.model, spec.verbalizer, spec.reconstructor, *filter(None, [spec.donor]))
    return LoadedPair(spec, model, pair, donor, sum(_weight_bytes(folder) for folder in folders))


def _weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def entry_json(entry: ModelEntry, loaded: tuple[LoadedPair, ...]) -> dict[str, Any]:
    """A catalogue entry for programs; absent values are left out."""
    folders = {f for pair in loaded for f in (pair.spec.model, pair.spec.verbalizer, pair.spec.reconstructor)}
    known = {
        "id": entry.id,
        "kind": entry.kind,
        "size_bytes": entry.size,
        "source": entry.source,
        "revision": entry.revision,
        "architecture": entry.architecture,
        "n_layers": entry.n_layers,
        "d_model": entry.d_model,
        "layer": entry.layer,
        "loaded": entry.path in folders,
    }
    return {name: value for name, value in known.items() if value is not None}


__all__ = ["Kind", "LoadedPair", "Models", "entry_json"]
