"""The library's folders: added, inspected, deleted with a way back; what depends on what; what is idle or forgotten.

A folder of this machine becomes a link under `models/`; a download is a folder there. Deleting moves either into
`models/.deleted/`, from where it can be restored until its days are over. What memory holds is the business of
`models.py`; pairs and groups are that of `groups.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loupe.app.errors import Conflict, Forbidden, NotFound, StillUsed
from loupe.app.outbound.hub import Hub
from loupe.app.services.catalogue import STARTER, Catalogue, Kind, ModelEntry, is_model_folder, read_entry
from loupe.app.services.engine import Engine
from loupe.app.services.fit import Fit, dtypes_here, fit_of_folder, fit_of_plan
from loupe.app.services.groups import Groups
from loupe.app.services.model_bin import ModelBin
from loupe.app.services.models import Models
from loupe.app.settings import Settings
from loupe.engine.errors import UnknownFormat
from loupe.storage.paths import checked_name
from loupe.storage.store import Store


@dataclass(frozen=True, slots=True)
class Dependants:
    """What would miss a folder: pairs made of it, groups around it, saved runs that name it, and who uses it now."""

    pairs: tuple[str, ...]
    groups: tuple[str, ...]
    runs: int
    users: int

    @property
    def any(self) -> bool:
        """Whether anything but memory depends on it."""
        return bool(self.pairs or self.groups or self.runs)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {"pairs": list(self.pairs), "groups": list(self.groups), "runs": self.runs, "users": self.users}


class Library:
    """Folders under `models/`, with everything known about them. `purges` empty the bins of other nouns."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        catalogue: Catalogue,
        groups: Groups,
        models: Models,
        hub: Hub,
        purges: Sequence[Callable[[float], Awaitable[None]]] = (),
    ) -> None:
        self.settings = settings
        self.store = store
        self.engine = engine
        self.catalogue = catalogue
        self.groups = groups
        self.models = models
        self.hub = hub
        self._purges = purges
        self._bin = ModelBin(catalogue.models, settings.deleted_models_days)
        self._trees: dict[Path, dict[str, Any]] = {}

    # Adding.

    async def add_folder(self, path: str, *, name: str = "", paths_allowed: bool) -> ModelEntry:
        """Take a folder of this machine into the list, as a link.

        Raises Forbidden (only the operator names paths), NotFound, UnknownFormat, UnsafeFile, CorruptFile,
        NameRejected, Conflict when the name is taken.
        """
        folder = self._folder(path, paths_allowed=paths_allowed)
        await asyncio.to_thread(_check_weights, folder)
        link = self.catalogue.models / checked_name(name or folder.name)
        if link.name == STARTER or link.exists() or link.is_symlink():
            raise Conflict(f"There is a {link.name!r} in the library already. Choose another name.")
        link.symlink_to(folder, target_is_directory=True)
        return self.catalogue.get(link.name)

    async def preview_folder(self, path: str, *, dtype: str = "auto", paths_allowed: bool) -> dict[str, Any]:
        """What adding it would bring: config, files, licence, fit. Raises as `add_folder`."""
        folder = self._folder(path, paths_allowed=paths_allowed)
        await asyncio.to_thread(_check_weights, folder)
        entry = read_entry(folder)
        fit = await fit_of_folder(self.engine, folder, dtype)
        files = [{"name": f.name, "size_bytes": f.stat().st_size} for f in sorted(folder.iterdir()) if f.is_file()]
        return _known(
            {
                "folder": str(folder),
                "kind": entry.kind,
                "architecture": entry.architecture,
                "n_layers": entry.n_layers,
                "d_model": entry.d_model,
                "layer": entry.layer,
                "dtype": entry.dtype,
                "licence": entry.licence,
                "total_bytes": entry.size,
                "files": files,
                "gated": False,
                "fit": fit.to_json(),
            }
        )

    async def preview_repo(self, repo: str, revision: str = "main", *, dtype: str = "auto") -> dict[str, Any]:
        """What a download would fetch, pinned to its commit, and whether it would fit. Raises as `Hub.plan`."""
        plan = await asyncio.to_thread(self.hub.plan, repo, revision)
        config = await asyncio.to_thread(self.hub.config, plan)
        weights = sum(f.size for f in plan.files if f.name.endswith(".safetensors"))
        fit = await fit_of_plan(self.engine, weights, config, dtype)
        text = config.get("text_config") or config
        return _known(
            {
                "repo": plan.repo,
                "revision": plan.revision,
                "commit": plan.commit,
                "licence": plan.licence,
                "gated": plan.gated,
                "total_bytes": plan.total_bytes,
                "architecture": config.get("model_type"),
                "n_layers": text.get("num_hidden_layers") or text.get("n_layer"),
                "d_model": text.get("hidden_size") or text.get("n_embd"),
                "dtype": text.get("dtype") or text.get("torch_dtype"),
                "files": [{"name": f.name, "size_bytes": f.size} for f in plan.files],
                "fit": fit.to_json(),
            }
        )

    # Looking.

    async def fit(self, id: str, dtype: str = "auto", device: str = "") -> Fit:
        """Whether this folder fits now where it would go: the device named, else the one chosen for it.

        Raises NotFound, UnsafeFile, UnknownFormat, CorruptFile, BadOption for a device that is none.
        """
        entry = self.catalogue.get(id)
        return await fit_of_folder(self.engine, entry.path, dtype, device or self.models.placed.get(id, ""))

    def dtypes(self, id: str) -> dict[str, str]:
        """Every dtype this model may be loaded with, with what this device cannot do said beside it."""
        running = self.engine.running
        device = str(running.device) if running else self.settings.device
        return dtypes_here(device, self.catalogue.get(id).path)

    async def architecture(self, id: str) -> dict[str, Any]:
        """The tree of modules with hook points. Raises NotFound, Conflict for an adapter, UnsupportedModel."""
        entry = self.catalogue.get(id)
        if entry.kind is Kind.ADAPTER:
            raise Conflict(
                f"{id} is an adapter: its modules are those of the model it adapts ({entry.base or 'unknown'})."
            )
        if entry.path not in self._trees:
            from loupe.engine.models.architecture import architecture_of, tree

            device = await self.engine.device()
            loaded = next(
                (part.thing for part in self.models.in_memory(entry.path) if hasattr(part.thing, "family")), None
            )

            def look() -> dict[str, Any]:
                whole = tree(loaded.model, loaded.family) if loaded is not None else architecture_of(entry.path)
                return whole.to_json()

            found = await asyncio.wrap_future(device.call(look, name="architecture"))
            if loaded is None and not _has_sites(found):
                return found  # an unlisted family: its hook points are known once it was loaded
            self._trees[entry.path] = found
        return self._trees[entry.path]

    async def fingerprint(self, id: str) -> str:
        """The sha256 over config and weights. Raises NotFound, UnsafeFile, UnknownFormat, CorruptFile."""
        from loupe.engine.models.donors import adapter_weights
        from loupe.engine.models.fingerprint import fingerprint_files, fingerprint_folder

        entry = self.catalogue.get(id)
        if entry.kind is Kind.ADAPTER:
            files = [entry.path / "adapter_config.json", adapter_weights(entry.path)]
            return await asyncio.to_thread(fingerprint_files, files)
        return await asyncio.to_thread(fingerprint_folder, entry.path)

    async def dependants(self, id: str) -> Dependants:
        """What depends on a folder. Raises NotFound."""
        entry = self.catalogue.get(id)
        pairs = self.groups.using(id)
        around = {g.id for thing in (id, *(p.id for p in pairs)) for g in self.groups.groups_of(thing)}
        runs = (await self.store.runs.list(model=id, limit=1)).total
        users = sum(part.users for part in self.models.in_memory(entry.path))
        return Dependants(tuple(p.id for p in pairs), tuple(sorted(around)), runs, users)

    # Leaving and coming back.

    async def delete(self, id: str, *, confirm: bool = False) -> dict[str, Any]:
        """Take a folder out of the list; it can be restored for some days.

        Raises NotFound, Forbidden for the starter, Conflict while it is in use, StillUsed when something
        depends on it and `confirm` is not set.
        """
        entry = self.catalogue.get(id)
        if entry.id.partition("/")[0] == STARTER:
            raise Forbidden("The starter ships with Loupe and stays.")
        found = await self.dependants(id)
        if found.any and not confirm:
            told = f"{len(found.pairs)} pairs, {len(found.groups)} groups and {found.runs} saved runs"
            asked = StillUsed(f"{id} is used by {told}. Confirm to delete it; it can be restored.")
            asked.details = {"dependants": found.to_json()}
            raise asked
        await self.models.unload_folder(entry.path)
        return self._bin.put(entry)

    async def restore(self, id: str) -> ModelEntry:
        """Take a folder back into the list. Raises NotFound, Conflict when its name is taken meanwhile."""
        self._bin.take_back(id)
        return self.catalogue.get(id)

    def deleted(self) -> list[dict[str, Any]]:
        """What can still be restored, the last deleted first."""
        return self._bin.rows()

    async def sweep(self) -> None:
        """Let idle models go, and remove for good what was deleted too long ago."""
        if self.settings.unload_idle_min:
            self.models.drop_idle(self.settings.unload_idle_min)
        await asyncio.to_thread(self._bin.empty, datetime.now(UTC))
        await self.store.library.purge(timedelta(days=self.settings.deleted_models_days))
        for purge in self._purges:
            await purge(self.settings.deleted_models_days)

    def _folder(self, path: str, *, paths_allowed: bool) -> Path:
        if not paths_allowed:
            raise Forbidden("Folders are taken only from this machine's own command line or browser.")
        folder = Path(path).expanduser()
        if not folder.is_absolute():
            raise NotFound(f"{path!r} is not a full path.")
        folder = folder.resolve()
        if not folder.is_dir():
            raise NotFound(f"There is no folder {folder}.")
        return folder


def _check_weights(folder: Path) -> None:
    from loupe.engine.models.donors import adapter_weights, is_adapter
    from loupe.engine.models.weights import weight_files

    if not is_model_folder(folder):
        raise UnknownFormat(f"{folder} has neither config.json nor adapter_config.json: it is no model folder.")
    if is_adapter(folder):
        adapter_weights(folder)
    else:
        weight_files(folder)


def _has_sites(node: dict[str, Any]) -> bool:
    return bool(node.get("sites")) or any(_has_sites(child) for child in node.get("children", ()))


def _known(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}
