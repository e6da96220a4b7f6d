"""What the library lists: one section a noun, each a function from the workspace to rows.

A room that comes later adds its noun with `add_section` when its page is registered; everything it must give is a
`Section`: its rows, what can be done with one of them, and where an entry's own page is.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from loupe.app.errors import describe
from loupe.app.services.catalogue import STARTER, Kind, ModelEntry
from loupe.app.services.groups import Group, Pair
from loupe.app.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `state` is loaded, loading, on disk, unusable or deleted; `facts` are short; `acts` are (act, label).

    All strings are plain text; whoever draws them escapes them.
    """

    id: str
    name: str
    state: str
    facts: tuple[str, ...] = ()
    chips: tuple[tuple[str, str], ...] = ()
    about: str = ""
    problem: str = ""
    acts: tuple[tuple[str, str], ...] = ()
    href: str = ""


Act = Callable[[Workspace, str, str, str], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Section:
    """A noun of the library. `act(workspace, act, id, author)` does one of a row's acts and returns what to say."""

    noun: str
    title: str
    about: str
    rows: Callable[[Workspace], Sequence[Entry]]
    act: Act
    empty: str = "Nothing here yet."


def size_text(count: int) -> str:
    """Bytes as a person reads them."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= step:
            return f"{count / step:.1f} {unit}" if count < 100 * step else f"{count / step:.0f} {unit}"
    return f"{count} B"


def model_rows(workspace: Workspace) -> list[Entry]:
    """Base models."""
    return [_model(workspace, e) for e in workspace.catalogue.entries() if e.kind is Kind.MODEL]


def checkpoint_rows(workspace: Workspace) -> list[Entry]:
    """Verbalizers and reconstructors, the folders that pairs are made of."""
    kinds = (Kind.VERBALIZER, Kind.RECONSTRUCTOR)
    return [_model(workspace, e) for e in workspace.catalogue.entries() if e.kind in kinds]


def donor_rows(workspace: Workspace) -> list[Entry]:
    """Adapters, and models that a group or a pair takes activations from."""
    named = {d for g in workspace.groups.groups() for d in g.donors} | {p.donor for p in workspace.groups.pairs()}
    entries = workspace.catalogue.entries()
    return [_model(workspace, e) for e in entries if e.kind is Kind.ADAPTER or e.id in named]


def pair_rows(workspace: Workspace) -> list[Entry]:
    """NLA pairs."""
    return [_pair(workspace, pair) for pair in workspace.groups.pairs()]


def group_rows(workspace: Workspace) -> list[Entry]:
    """Model groups."""
    return [_group(workspace, group) for group in workspace.groups.groups()]


def deleted_rows(workspace: Workspace) -> list[Entry]:
    """Folders that can be brought back."""
    return [
        Entry(
            id=row["id"],
            name=row["id"],
            state="deleted",
            facts=(size_text(row["size_bytes"]), f"until {row['restorable_until'][:16].replace('T', ' ')} UTC"),
            acts=(("restore", "Restore"),),
        )
        for row in workspace.library.deleted()
    ]


def state_of_entry(workspace: Workspace, entry: ModelEntry) -> str:
    """loaded, loading or on disk."""
    if workspace.models.loading == entry.id:
        return "loading"
    return "loaded" if workspace.models.in_memory(entry.path) else "on disk"


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


def _pair(workspace: Workspace, pair: Pair) -> Entry:
    state = workspace.models.state_of(pair)
    chips = [("default", "Answers requests that name no model.")] if pair.id == workspace.groups.default else []
    acts = [("load", "Load")] if state == "on disk" else [("unload", "Unload")] if state == "loaded" else []
    if state != "unusable" and not chips:
        acts.append(("default", "Make default"))
    if pair.source != "shipped with Loupe":
        acts.append(("delete", "Delete"))
    layer = "" if pair.layer is None else f"block {pair.layer}"
    parts = (
        layer,
        f"reads {pair.model}",
        pair.verbalizer,
        pair.reconstructor,
        f"donor {pair.donor}" if pair.donor else "",
    )
    missing = f"A folder is missing: {', '.join(pair.folders)}." if state == "unusable" and not pair.problem else ""
    return Entry(
        id=pair.id,
        name=pair.name,
        state=state,
        facts=tuple(filter(None, parts)),
        chips=tuple(chips),
        about=pair.description,
        problem=pair.problem or missing,
        acts=tuple(acts),
        href=f"/library/pairs/{pair.id}",
    )


def _group(workspace: Workspace, group: Group) -> Entry:
    known = {pair.id: pair for pair in workspace.groups.pairs()}
    states = [workspace.models.state_of(known[id]) for id in group.pairs if id in known]
    state = next((s for s in ("loading", "loaded", "on disk") if s in states), "unusable" if states else "on disk")
    chips = [("default", "One of its pairs answers requests that name no model.")]
    acts = [("load", "Load")] if state == "on disk" and states else []
    acts += [("unload", "Unload")] if state == "loaded" else []
    acts += [("delete", "Delete")] if group.source != "shipped with Loupe" else []
    donors = f"{len(group.donors)} donors" if group.donors else ""
    return Entry(
        id=group.id,
        name=group.name,
        state=state,
        facts=tuple(filter(None, (f"base {group.base}", f"{len(group.pairs)} pairs", donors, group.source))),
        chips=tuple(chips) if workspace.groups.default in group.pairs else (),
        about=group.description,
        acts=tuple(acts),
        href=f"/library/groups/{group.id}",
    )


async def act_on_model(workspace: Workspace, act: str, id: str, author: str) -> str:
    """Load, unload, delete or restore a folder; returns what to say."""
    if act == "load":
        await workspace.loads.load_model(id, author=author)
        return f"Loading {id}."
    if act == "unload":
        await workspace.models.unload_folder(workspace.catalogue.get(id).path)
        return f"{id} left memory."
    if act == "restore":
        await workspace.library.restore(id)
        return f"{id} is back."
    row = await workspace.library.delete(id, confirm=True)
    return f"{id} was deleted; it can be restored until {row['restorable_until'][:16].replace('T', ' ')} UTC."


async def act_on_pair(workspace: Workspace, act: str, id: str, author: str) -> str:
    """Load, unload, delete, or make default; returns what to say."""
    if act == "load":
        await workspace.loads.load_pair(id, author=author)
        return f"Loading {id}."
    if act == "unload":
        pair = workspace.groups.pair(id)
        av, ar = (workspace.catalogue.get(part).path for part in (pair.verbalizer, pair.reconstructor))
        for loaded in workspace.models.loaded:
            if (loaded.spec.verbalizer, loaded.spec.reconstructor) == (av, ar):
                await workspace.models.unload(loaded.spec)
        return f"{id} left memory."
    if act == "default":
        await workspace.groups.set_default(id, author=author)
        return f"{id} now answers requests that name no model."
    await workspace.groups.delete_pair(id)
    return f"{id} was deleted; it can be restored over the API."


async def act_on_group(workspace: Workspace, act: str, id: str, author: str) -> str:
    """Load, unload or delete a group; returns what to say."""
    group = workspace.groups.group(id)
    if act == "load":
        known = {pair.id: pair for pair in workspace.groups.pairs()}
        usable = [p for p in group.pairs if p in known and workspace.models.state_of(known[p]) != "unusable"]
        if not usable:
            return f"No pair of {id} can be used."
        await workspace.loads.load_pair(usable[0], author=author)
        return f"Loading {usable[0]}, the first pair of {id}."
    if act == "unload":
        base = workspace.catalogue.get(group.base).path
        for loaded in workspace.models.loaded:
            if loaded.spec.model == base:
                await workspace.models.unload(loaded.spec)
        await workspace.models.unload_folder(base)
        return f"{id} left memory."
    await workspace.groups.delete_group(id)
    return f"{id} was deleted; its pairs and folders stay."


SECTIONS: list[Section] = [
    Section(
        "models",
        "Models",
        "Language models whose activations are read. Load one ahead of its first use, or let the first request do it.",
        model_rows,
        act_on_model,
    ),
    Section(
        "pairs",
        "NLA pairs",
        "A verbalizer and a reconstructor for one layer of one model. Pairs of one base share it in memory.",
        pair_rows,
        act_on_pair,
    ),
    Section(
        "groups",
        "Model groups",
        "One base model, its pairs and its donors; switching between the pairs of a group leaves the base in place.",
        group_rows,
        act_on_group,
    ),
    Section(
        "donors",
        "Donors and adapters",
        "Fine-tunes and PEFT adapters whose activations are read through their base model's pair.",
        donor_rows,
        act_on_model,
        "No donor yet. Add a fine-tune or an adapter as a model, and attach it to a group or name it in a request.",
    ),
    Section(
        "checkpoints",
        "Verbalizers and reconstructors",
        "The folders that pairs are made of.",
        checkpoint_rows,
        act_on_model,
    ),
    Section(
        "deleted",
        "Deleted",
        "What can still be brought back.",
        deleted_rows,
        act_on_model,
        "Nothing was deleted.",
    ),
]


def add_section(section: Section, before: str = "deleted") -> None:
    """List another noun, ahead of the one named."""
    place = next((n for n, known in enumerate(SECTIONS) if known.noun == before), len(SECTIONS))
    SECTIONS.insert(place, section)


def failure_text(error: Exception) -> str:
    """An error in one line, for a place where a row was to be."""
    return str(describe(error)["message"])
