"""NLA pairs and model groups in the library."""

from loupe.app.pages.library_entry import Entry, Said
from loupe.app.services.groups import Group, Pair
from loupe.app.workspace import Workspace


async def pair_rows(workspace: Workspace) -> list[Entry]:
    """NLA pairs."""
    return [pair_entry(workspace, pair) for pair in workspace.groups.pairs()]


async def group_rows(workspace: Workspace) -> list[Entry]:
    """Model groups."""
    return [group_entry(workspace, group) for group in workspace.groups.groups()]


async def act_on_pair(workspace: Workspace, act: str, id: str, author: str) -> Said | str:
    """Load, unload, delete, or make default."""
    if act == "load":
        await workspace.loads.load_pair(id, author=author)
        return f"Loading {id}."
    if act == "unload":
        await workspace.models.unload_pair(workspace.groups.pair(id))
        return f"{id} left memory."
    if act == "default":
        await workspace.groups.set_default(id, author=author)
        return f"{id} now answers requests that name no model."
    await workspace.groups.delete_pair(id)
    return Said(f"{id} was deleted; its folders stay.", lambda: workspace.groups.restore_pair(id))


async def act_on_group(workspace: Workspace, act: str, id: str, author: str) -> Said | str:
    """Load, unload or delete a group."""
    group = workspace.groups.group(id)
    if act == "load":
        pair = workspace.models.first_usable(group)
        await workspace.loads.load_pair(pair, author=author)
        return f"Loading {pair}, the first pair of {id}."
    if act == "unload":
        await workspace.models.unload_base(group.base)
        return f"{id} left memory."
    await workspace.groups.delete_group(id)
    return Said(f"{id} was deleted; its pairs and folders stay.", lambda: workspace.groups.restore_group(id))


def pair_entry(workspace: Workspace, pair: Pair) -> Entry:
    """One pair as a row."""
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


def group_entry(workspace: Workspace, group: Group) -> Entry:
    """One group as a row."""
    known = {pair.id: pair for pair in workspace.groups.pairs()}
    states = [workspace.models.state_of(known[id]) for id in group.pairs if id in known]
    state = next((s for s in ("loading", "loaded", "on disk") if s in states), "unusable" if states else "on disk")
    chips = [("default", "One of its pairs answers requests that name no model.")]
    acts = [("load", "Load")] if state == "on disk" and states else []
    acts += [("unload", "Unload")] if state == "loaded" else []
    acts += [("delete", "Delete")] if group.source != "shipped with Loupe" else []
    donors = f"{len(group.donors)} donors" if group.donors else ""
    pairs = f"{len(group.pairs)} pair{'s' * (len(group.pairs) != 1)}"
    return Entry(
        id=group.id,
        name=group.name,
        state=state,
        facts=tuple(
            filter(
                None,
                (f"base {group.base}", pairs, donors, group.source),
            )
        ),
        chips=tuple(chips) if workspace.groups.default in group.pairs else (),
        about=group.description,
        acts=tuple(acts),
        href=f"/library/groups/{group.id}",
    )
