"""What was deleted and can still be brought back, of every noun; a row's id is `NOUN/ID`."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from loupe.app.pages.library_entry import Entry, Said
from loupe.app.services.groups import GROUP, PAIR
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace

MOST = 200
NOUNS = {"models": "folder", "pairs": "NLA pair", "groups": "model group", "saes": "SAE", "datasets": "dataset"}


async def deleted_rows(workspace: Workspace) -> list[Entry]:
    """Folders, pairs, groups, SAEs and datasets in the bin, each noun's last deleted first."""
    store, days = workspace.store, timedelta(days=workspace.settings.deleted_models_days)
    rows = [
        _entry("models", row["id"], row["id"], row["restorable_until"], size_text(row["size_bytes"]))
        for row in workspace.library.deleted()
    ]
    for noun, kind in (("pairs", PAIR), ("groups", GROUP)):
        for entry in reversed(await store.library.list(kind, deleted=True)):
            rows.append(_entry(noun, entry.id, entry.name, _until(entry.deleted_at, days)))
    for record in (await store.saes.list(deleted=True, limit=MOST)).items:
        rows.append(_entry("saes", record.id, record.name, _until(record.deleted_at, days), size_text(record.size)))
    for record in (await store.datasets.list(deleted=True, limit=MOST)).items:
        rows.append(_entry("datasets", record.id, record.name, _until(record.deleted_at, days)))
    return rows


async def act_on_deleted(workspace: Workspace, act: str, id: str, author: str) -> Said | str:
    """Bring one back."""
    noun, _, own = id.partition("/")
    back: dict[str, Callable[[str], Awaitable[Any]]] = {
        "models": workspace.library.restore,
        "pairs": workspace.groups.restore_pair,
        "groups": workspace.groups.restore_group,
        "saes": workspace.saes.restore,
        "datasets": workspace.datasets.restore,
    }
    found = await back[noun](own)
    return f"{getattr(found, 'name', own)} is back."


def _until(deleted_at: datetime | None, days: timedelta) -> str:
    return (deleted_at + days).isoformat() if deleted_at else ""


def _entry(noun: str, id: str, name: str, until: str, size: str = "") -> Entry:
    return Entry(
        id=f"{noun}/{id}",
        name=name,
        state="deleted",
        chips=((NOUNS[noun], "What it was."),),
        facts=tuple(filter(None, (size, f"until {until[:16].replace('T', ' ')} UTC"))),
        acts=(("restore", "Restore"),),
    )
