"""Groups and models as the older surface lists them: a group is a base model, its models are the NLA pairs on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from loupe.app.errors import NotFound
from loupe.app.services.catalogue import STARTER, ModelEntry
from loupe.app.services.models import LoadedPair
from loupe.app.services.options import AnalysisOptions
from loupe.app.workspace import Workspace


@dataclass(frozen=True, slots=True)
class OlderModel:
    """A pair that one may ask for by `model_id`; `asked` names its parts for `AnalysisOptions`."""

    id: str
    group_id: str
    layer: int | None
    base: ModelEntry
    asked: dict[str, Any]

    def options(self) -> AnalysisOptions:
        """A request that would use this pair."""
        return AnalysisOptions.model_validate({"text": " "} | self.asked)


def device_of(here: Workspace) -> str:
    """The device that computes, or the one that will."""
    running = here.engine.running
    return str(running.device) if running else here.settings.device


def older_models(here: Workspace) -> list[OlderModel]:
    """Every pair that can be named, the starter's first."""
    entries = {entry.id: entry for entry in here.catalogue.entries()}
    found = []
    if STARTER in entries:
        layer = entries[f"{STARTER}/av"].layer
        found.append(OlderModel(STARTER, STARTER, layer, entries[STARTER], {"model": STARTER}))
    return found


def find_model(here: Workspace, id: str) -> OlderModel:
    """The model, or the first one of the group, of this id. Raises NotFound."""
    known = older_models(here)
    for model in known:
        if id in (model.id, model.group_id):
            return model
    raise NotFound(f"There is no model {id!r}. Known: {', '.join(m.id for m in known) or 'none'}.")


def pair_of(here: Workspace, model: OlderModel) -> LoadedPair | None:
    """The pair in memory, when it is."""
    spec = here.models.spec(model.options(), paths_allowed=False)
    return next((pair for pair in here.models.loaded if pair.spec == spec), None)


def model_json(here: Workspace, model: OlderModel, current: str) -> dict[str, Any]:
    """One model of a list."""
    loaded = pair_of(here, model) is not None
    on_gpu = loaded and device_of(here).startswith("cuda")
    known = {
        "id": model.id,
        "name": model.id,
        "description": model.base.source,
        "layer": model.layer,
        "visible": True,
        "backend_only": False,
        "checkpoint_filename": model.id.rpartition("/")[2],
        "checkpoint_full": model.id,
        "is_loaded": loaded,
        "is_gpu_loaded": on_gpu,
        "is_cpu_cached": loaded and not on_gpu,
        "is_current": model.id == current,
    }
    return {name: value for name, value in known.items() if value is not None}


def groups_json(here: Workspace, current: str) -> list[dict[str, Any]]:
    """Every group with its models."""
    models = older_models(here)
    return [_group(here, [m for m in models if m.group_id == id], current) for id in _ids(models)]


def _ids(models: Iterable[OlderModel]) -> list[str]:
    return list(dict.fromkeys(model.group_id for model in models))


def _group(here: Workspace, models: list[OlderModel], current: str) -> dict[str, Any]:
    base, rows = models[0].base, [model_json(here, model, current) for model in models]
    loaded = any(row["is_loaded"] for row in rows)
    return {
        "group_id": models[0].group_id,
        "group_name": models[0].group_id,
        "description": base.source,
        "base_model": base.id,
        "device_info": [device_of(here)] if loaded else [],
        "is_cpu_cached": any(row["is_cpu_cached"] for row in rows),
        "visible": True,
        "models": rows,
    }
