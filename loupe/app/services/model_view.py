"""A model folder as programs see it: what its files say, and what memory holds of it."""

from typing import Any

from loupe.app.services.catalogue import ModelEntry
from loupe.app.services.models import Models


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
        "device": models.placed.get(entry.id),
        "devices": sorted({device for part in parts for device in part.by_device}) or None,
        "users": sum(part.users for part in parts) if parts else None,
        "stage": models.stage if state == "loading" else None,
        "error": models.failures.get(entry.id) if state == "on disk" else None,
    }
    return {name: value for name, value in known.items() if value is not None}
