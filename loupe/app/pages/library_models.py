"""Folders in the library: base models, verbalizers and reconstructors, donors and adapters."""

from loupe.app.pages.library_entry import Entry, Said
from loupe.app.services.catalogue import STARTER, Kind, ModelEntry
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace


async def model_rows(workspace: Workspace) -> list[Entry]:
    """Base models."""
    return [_model(workspace, e) for e in workspace.catalogue.entries() if e.kind is Kind.MODEL]


async def checkpoint_rows(workspace: Workspace) -> list[Entry]:
    """Verbalizers and reconstructors, the folders that pairs are made of."""
    kinds = (Kind.VERBALIZER, Kind.RECONSTRUCTOR)
    return [_model(workspace, e) for e in workspace.catalogue.entries() if e.kind in kinds]


async def donor_rows(workspace: Workspace) -> list[Entry]:
    """Adapters, and models that a group or a pair takes activations from."""
    named = {d for g in workspace.groups.groups() for d in g.donors} | {p.donor for p in workspace.groups.pairs()}
    entries = workspace.catalogue.entries()
    return [_model(workspace, e) for e in entries if e.kind is Kind.ADAPTER or e.id in named]


def state_of_entry(workspace: Workspace, entry: ModelEntry) -> str:
    """loaded, loading or on disk."""
    if workspace.models.loading == entry.id:
        return "loading"
    return "loaded" if workspace.models.in_memory(entry.path) else "on disk"


async def act_on_model(workspace: Workspace, act: str, id: str, author: str) -> Said | str:
    """Load, unload or delete a folder."""
    if act == "load":
        await workspace.loads.load_model(id, author=author)
        return f"Loading {id}."
    if act == "unload":
        await workspace.models.unload_folder(workspace.catalogue.get(id).path)
        return f"{id} left memory."
    row = await workspace.library.delete(id, confirm=True)
    until = row["restorable_until"][:16].replace("T", " ")
    return Said(f"{id} was deleted; it can be restored until {until} UTC.", lambda: workspace.library.restore(id))


def _model(workspace: Workspace, entry: ModelEntry) -> Entry:
    state = state_of_entry(workspace, entry)
    shape = f"{entry.n_layers} blocks x {entry.d_model}" if entry.n_layers and entry.d_model else ""
    block = "" if entry.layer is None else f"block {entry.layer}"
    precision = entry.dtype or ""
    facts = (
        entry.architecture or "",
        shape,
        block,
        precision,
        size_text(entry.size),
        entry.licence or "",
        entry.source,
    )
    acts = [("load", "Load")] if state == "on disk" and entry.kind is Kind.MODEL else []
    acts += [("unload", "Unload")] if state == "loaded" else []
    acts += [("delete", "Delete")] if entry.id.partition("/")[0] != STARTER else []
    failure = workspace.models.failures.get(entry.id)
    return Entry(
        id=entry.id,
        name=entry.id,
        state=state,
        facts=tuple(filter(None, facts)),
        chips=((entry.kind.value, "What this folder is for."),) if entry.kind is not Kind.MODEL else (),
        problem=str(failure["message"]) if failure and state == "on disk" else "",
        acts=tuple(acts),
        href=f"/library/models/{entry.id}",
    )
