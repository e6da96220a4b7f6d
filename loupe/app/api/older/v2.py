"""`/api/v2`: groups and models, the default among them, and what is in memory."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Here
from loupe.app.api.older.desk import Desk, TheDesk, Who
from loupe.app.api.older.gpu import gpu_stats
from loupe.app.api.older.models import device_of, find_model, groups_json, model_json, older_models
from loupe.app.api.older.rest import AnalyzeBody, Queued, accept, queued
from loupe.app.errors import Conflict, NotFound
from loupe.app.workspace import Workspace

router = APIRouter(prefix="/api/v2", tags=["v2"])

Named = Annotated[str, Field(min_length=1, max_length=500)]


class ModelBody(BaseModel):
    """A model, and for the older clients' sake a device, which Loupe chooses itself."""

    model_config = ConfigDict(
        extra="ignore", protected_namespaces=(), json_schema_extra={"examples": [{"model_id": "starter"}]}
    )

    model_id: Named
    device_id: int | str | None = None


class GroupBody(BaseModel):
    """A group."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"examples": [{"group_id": "starter"}]})

    group_id: Named
    device_id: int | str | None = None


class ProcessBody(AnalyzeBody):
    """A text, how to analyse it, and with what."""


@router.get("/models")
async def models(here: Here, older: TheDesk) -> dict[str, Any]:
    """Every model, in groups, and the default one."""
    rows = [model_json(here, model, older.current) for model in older_models(here)]
    return {"models": rows, "groups": groups_json(here, older.current), "current_model": older.current or None}


@router.get("/groups")
async def groups(here: Here, older: TheDesk) -> dict[str, Any]:
    """Every group with its models."""
    return {"groups": groups_json(here, older.current)}


@router.get("/current")
async def current(here: Here, older: TheDesk) -> dict[str, Any]:
    """The model that requests without one get."""
    model = older.model(None)
    return {"model_id": model.id, "group_id": model.group_id} | model_json(here, model, older.current)


@router.get("/system/state")
async def state(here: Here, older: TheDesk) -> dict[str, Any]:
    """Devices, groups, and what is in memory."""
    return system_state(here, older)


@router.get("/devices/{device}/memory")
async def device_memory(device: str, here: Here) -> dict[str, Any]:
    """Memory of a device, by number or name."""
    _check_device(here, device)
    return {"device": device_of(here)} | memory(here)


@router.get("/models/memory")
async def models_memory(here: Here) -> dict[str, Any]:
    """What the loaded models hold, and what there is."""
    return memory(here)


@router.get("/models/{id:path}/info")
async def info(id: str, here: Here, older: TheDesk) -> dict[str, Any]:
    """One model."""
    return model_info(here, older, id)


@router.post("/models/switch")
async def switch(body: ModelBody, older: TheDesk, who: Who) -> dict[str, Any]:
    """Make a model the default for requests that name none. Requests that run are not touched."""
    return await switched(older, body.model_id, who.name)


@router.post("/switch")
async def switch_too(body: ModelBody, older: TheDesk, who: Who) -> dict[str, Any]:
    """The same as `/models/switch`."""
    return await switched(older, body.model_id, who.name)


@router.post("/models/load")
async def load(body: ModelBody, here: Here) -> dict[str, Any]:
    """Load a model."""
    model = find_model(here, body.model_id)
    await here.models.preload(model.options())
    return {"status": "loaded", "model_id": model.id, "device": device_of(here)}


@router.post("/groups/load")
async def load_group(body: GroupBody, here: Here) -> dict[str, Any]:
    """Load every model of a group."""
    return await loaded_group(here, body.group_id)


@router.post("/groups/{id:path}/preload")
async def preload_group(id: str, here: Here) -> dict[str, Any]:
    """The same as `/groups/load`."""
    return await loaded_group(here, id)


@router.post("/models/process")
async def process(body: ProcessBody, here: Here, older: TheDesk, who: Who) -> Queued:
    """Analyse a text with a model; `/status/{id}` tells how far it is."""
    live = await accept(older, who.owner, who.name, body.text, body.options, body.model_id or body.options.model_id)
    return queued(here, live)


@router.delete("/devices/{device}/clear")
async def clear(device: str, here: Here) -> dict[str, Any]:
    """Let every model go that nobody uses."""
    _check_device(here, device)
    return await cleared(here)


async def switched(older: Desk, id: str, author: str) -> dict[str, Any]:
    """Switch, and tell every socket how it goes. Raises NotFound, ModelError."""
    group = find_model(older.here, id).group_id
    about = {"group_id": group, "source_group_id": older.model(None).group_id, "device": device_of(older.here)}
    if about["group_id"] != about["source_group_id"]:
        older.broadcast({"type": "group_switch_starting"} | about)
    older.broadcast({"type": "group_switch_status", "status": "starting"} | about)
    try:
        model = await older.switch(id, author)
    except Exception as error:  # whatever it is, everyone who heard of the beginning hears of the end
        older.broadcast({"type": "group_switch_status", "status": "failed", "error": str(error)} | about)
        raise
    older.broadcast({"type": "group_switch_status", "status": "completed"} | about)
    return {"status": "success", "model_id": model.id, "group_id": model.group_id, "device": device_of(older.here)}


async def loaded_group(here: Workspace, id: str) -> dict[str, Any]:
    """Load every model of a group. Raises NotFound."""
    members = [model for model in older_models(here) if model.group_id == id]
    if not members:
        raise NotFound(f"There is no group {id!r}.")
    for model in members:
        await here.models.preload(model.options())
    return {"status": "loaded", "group_id": id, "models": [m.id for m in members], "device": device_of(here)}


async def cleared(here: Workspace) -> dict[str, Any]:
    """Unload what nobody uses."""
    gone, kept = 0, 0
    for pair in here.models.loaded:
        try:
            await here.models.unload(pair.spec)
            gone += 1
        except Conflict:
            kept += 1
    return {"status": "success", "device": device_of(here), "unloaded": gone, "in_use": kept}


def model_info(here: Workspace, older: Desk, id: str) -> dict[str, Any]:
    """One model, as the older `get_model_info` tells it. Raises NotFound."""
    model = find_model(here, id)
    row = model_json(here, model, older.current)
    known = {
        "model_id": model.id,
        "display_name": row["name"],
        "layer": row.get("layer"),
        "auto_batch_size_max": row.get("auto_batch_size_max"),
        "loaded": row["is_loaded"],
        "locations": [device_of(here)] if row["is_loaded"] else [],
        "checkpoint": row["checkpoint_full"],
        "generation_config": {},
    }
    return {name: value for name, value in known.items() if value is not None}


def system_state(here: Workspace, older: Desk) -> dict[str, Any]:
    """`devices`, `groups`, `cpu_cached_groups`."""
    rows = groups_json(here, older.current)
    loaded = [model["id"] for group in rows for model in group["models"] if model["is_loaded"]]
    switching = here.models.loading is not None
    device = {"device": device_of(here), "is_switching": switching, "loaded_models": loaded}
    if older.current:
        device["current_group"] = older.model(None).group_id
    cached = [group["group_id"] for group in rows if group["is_cpu_cached"]]
    return {"devices": [device], "groups": rows, "cpu_cached_groups": cached}


def memory(here: Workspace) -> dict[str, Any]:
    """Bytes of the loaded models' weights, the bound on them, and the accelerator's own numbers."""
    used = sum(part.size for part in here.models.parts)
    stats = gpu_stats(here)
    own = {k: v for k, v in stats.items() if k.startswith("memory_")}
    return {"models_bytes": used, "models_limit_bytes": here.settings.model_memory_mb * 2**20} | own


def _check_device(here: Workspace, given: str) -> None:
    name = device_of(here)
    if given not in (name, name.rpartition(":")[2], "0"):
        raise NotFound(f"There is no device {given!r}; this server computes on {name}.")
