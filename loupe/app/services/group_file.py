"""Group files: our own `groups.json`, and the older `model_groups.json` of the talkative web app.

    {"loupe_groups": 1, "groups": [{"id", "name", "base", "description", "donors": [...], "pairs": [
        {"id", "name", "verbalizer", "reconstructor", "layer", "donor", "batch_rows", "description"}]}]}

The older file has `model_groups`, each with `group_id, group_name, base_model_path` and `models`, each of those with
`id, name, lens_checkpoint_path, layer, auto_batch_size_max, different_activations_orig_path`. Its checkpoints are of
the older, adapter-style kind, and usually pickles: such a pair is taken over with the reason why it cannot be read yet,
so that nothing of the file is lost in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loupe.app.errors import Conflict
from loupe.app.services.catalogue import Catalogue
from loupe.app.services.groups import Group, Groups, Pair, slug
from loupe.engine.errors import CorruptFile, UnknownFormat

VERSION = 1


@dataclass(frozen=True, slots=True)
class GroupFile:
    """What a file says, and what it said that could not be taken over."""

    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """What of a file is in the library now; `problems` say why a pair cannot be used yet, by its id."""

    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    problems: dict[str, str]
    unused: tuple[str, ...]


async def take_over(raw: object, catalogue: Catalogue, groups: Groups, *, author: str = "") -> Taken:
    """Keep the groups and pairs of a file. Raises UnknownFormat, CorruptFile, and Conflict when an id is taken."""
    found = read_groups(raw, catalogue)
    taken = {pair.id for pair in groups.pairs()} & {pair.id for pair in found.pairs}
    taken |= {group.id for group in groups.groups()} & {group.id for group in found.groups}
    if taken:
        raise Conflict(f"There are already {', '.join(sorted(taken))} in the library. Delete or rename them first.")
    pairs = tuple([await groups.add_pair(pair, author=author) for pair in found.pairs])
    kept = tuple([await groups.add_group(group, author=author) for group in found.groups])
    return Taken(kept, pairs, {pair.id: pair.problem for pair in pairs if pair.problem}, found.unused)


def read_groups(raw: object, catalogue: Catalogue) -> GroupFile:
    """Either format, from its parsed JSON. Raises UnknownFormat, CorruptFile."""
    if not isinstance(raw, Mapping):
        raise CorruptFile(f"A group file holds an object, this one a {type(raw).__name__}.")
    try:
        if "loupe_groups" in raw:
            return _ours(raw)
        if "model_groups" in raw:
            return _older(raw, catalogue)
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(f"The group file lacks something or has it in another form: {error!r}.") from error
    raise UnknownFormat("This is no group file: expected an object with `loupe_groups`, or the older `model_groups`.")


def write_groups(groups: tuple[Group, ...], pairs: tuple[Pair, ...]) -> dict[str, Any]:
    """Groups with the pairs they name, in our own format."""
    by_id = {pair.id: pair for pair in pairs}
    return {
        "loupe_groups": VERSION,
        "groups": [
            {
                "id": group.id,
                "name": group.name,
                "base": group.base,
                "description": group.description,
                "donors": list(group.donors),
                "pairs": [_written(by_id[id]) for id in group.pairs if id in by_id],
            }
            for group in groups
        ],
    }


def _written(pair: Pair) -> dict[str, Any]:
    names = ("id", "name", "verbalizer", "reconstructor", "layer", "donor", "batch_rows", "description")
    return {name: getattr(pair, name) for name in names if getattr(pair, name) not in (None, "")}


def _ours(raw: Mapping[str, Any]) -> GroupFile:
    if raw["loupe_groups"] != VERSION:
        raise UnknownFormat(f"This group file has version {raw['loupe_groups']!r}; {VERSION} is known.")
    groups, pairs = [], []
    for found in raw["groups"]:
        own = [
            Pair(model=str(found["base"]), source="group file", **{"name": each["id"], **each})
            for each in found.get("pairs", ())
        ]
        pairs += own
        groups.append(
            Group(
                id=slug(found["id"]),
                name=str(found.get("name") or found["id"]),
                base=str(found["base"]),
                pairs=tuple(pair.id for pair in own),
                donors=tuple(found.get("donors", ())),
                description=str(found.get("description", "")),
                source="group file",
            )
        )
    return GroupFile(tuple(groups), tuple(pairs))


def _older(raw: Mapping[str, Any], catalogue: Catalogue) -> GroupFile:
    groups, pairs = [], []
    for found in raw["model_groups"]:
        base, base_problem = _folder_of(str(found["base_model_path"]), catalogue)
        own = [_older_pair(each, base, base_problem, catalogue) for each in found.get("models", ())]
        pairs += own
        groups.append(
            Group(
                id=slug(found["group_id"]),
                name=str(found.get("group_name") or found["group_id"]),
                base=base,
                pairs=tuple(pair.id for pair in own),
                donors=tuple(dict.fromkeys(pair.donor for pair in own if pair.donor)),
                description=str(found.get("description", "")),
                source="model_groups.json",
            )
        )
    unused = tuple(f"settings.{name}" for name in raw.get("settings") or {})
    return GroupFile(tuple(groups), tuple(pairs), unused)


def _older_pair(raw: Mapping[str, Any], base: str, base_problem: str, catalogue: Catalogue) -> Pair:
    donor, donor_problem = None, ""
    if wanted := raw.get("different_activations_orig_path"):
        donor, donor_problem = _folder_of(str(wanted), catalogue)
    checkpoint = str(raw.get("lens_checkpoint_path") or "")
    return Pair(
        id=slug(raw["id"]),
        name=str(raw.get("name") or raw["id"]),
        model=base,
        layer=None if raw.get("layer") is None else int(raw["layer"]),
        donor=donor,
        batch_rows=raw.get("auto_batch_size_max") or raw.get("batch_size"),
        description=str(raw.get("description", "")),
        source="model_groups.json",
        problem=" ".join(filter(None, (_checkpoint_problem(checkpoint), base_problem, donor_problem))),
    )


def _checkpoint_problem(checkpoint: str) -> str:
    name = checkpoint.rstrip("/").rpartition("/")[2] or "its checkpoint"
    return (
        f"{name} is an adapter-style checkpoint of the older web app: `loupe convert` makes safetensors of it, and no "
        "verbalizer reads that kind yet."
    )


def _folder_of(named: str, catalogue: Catalogue) -> tuple[str, str]:
    """The catalogue's id for a hub id or a path of the older file, with what is wrong when there is none."""
    entries = catalogue.entries()
    flat = named.replace("/", "--")
    for entry in entries:
        if entry.id in (named, flat) or entry.id.startswith(f"{flat}@") or entry.id == Path(named).name:
            return entry.id, ""
    return named, f"{named} is not in the library: download it or add its folder."
