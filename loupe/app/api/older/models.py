"""Groups and models as the older surface lists them: a group is a base model, its models are the NLA pairs on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from loupe.app.errors import NotFound
from loupe.app.services.groups import Group, Pair
from loupe.app.services.options import AnalysisOptions
from loupe.app.services.parts import LoadedPair
from loupe.app.workspace import Workspace


@dataclass(frozen=True, slots=True)
class OlderModel:
    """A pair that one may ask for by `model_id`, and the group it is listed in."""

    pair: Pair
    group: Group

    @property
    def id(self) -> str:
        """What `model_id` names."""
        return self.pair.id

    @property
    def group_id(self) -> str:
        """What `model_group` names."""
        return self.group.id

    @property
    def layer(self) -> int | None:
        """The block that is read."""
        return self.pair.layer

    @property
    def asked(self) -> dict[str, Any]:
        """The options that name this pair today."""
        return {"model": self.pair.id}

    def options(self) -> AnalysisOptions:
        """A request that would use this pair."""
        return AnalysisOptions.model_validate({"text": " "} | self.asked)


def device_of(here: Workspace) -> str:
    """The device that computes, or the one that will."""
    running = here.engine.running
    return str(running.device) if running else here.settings.device


def older_models(here: Workspace) -> list[OlderModel]:
    """Every pair that can be used, the starter's first; one without a group makes a group with its base."""
    groups, folders = here.groups.groups(), {entry.id for entry in here.catalogue.entries()}
    usable = [pair for pair in here.groups.pairs() if not pair.problem and folders.issuperset(pair.folders)]
    of = {id: group for group in reversed(groups) for id in group.pairs}
    return [OlderModel(pair, of.get(pair.id) or _alone(pair, usable)) for pair in usable]


def _alone(pair: Pair, pairs: Iterable[Pair]) -> Group:
    beside = tuple(other.id for other in pairs if other.model == pair.model)
    return Group(id=pair.model, name=pair.model, base=pair.model, pairs=beside)


def find_model(here: Workspace, id: str) -> OlderModel:
    """The model, or the first one of the group, of this id. Raises NotFound."""
    known = older_models(here)
    found = [m for m in known if m.id == id] or [m for m in known if m.group_id == id]
    if found:
        return found[0]
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
        "name": model.pair.name,
        "description": model.pair.description or model.pair.source,
        "layer": model.layer,
        "auto_batch_size_max": model.pair.batch_rows,
        "visible": True,
        "backend_only": False,
        "checkpoint_filename": model.pair.verbalizer.rpartition("/")[2],
        "checkpoint_full": model.pair.verbalizer,
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
    group, rows = models[0].group, [model_json(here, model, current) for model in models]
    loaded = any(row["is_loaded"] for row in rows)
    return {
        "group_id": group.id,
        "group_name": group.name,
        "description": group.description or group.source,
        "base_model": group.base,
        "device_info": [device_of(here)] if loaded else [],
        "is_cpu_cached": any(row["is_cpu_cached"] for row in rows),
        "visible": True,
        "models": rows,
    }
