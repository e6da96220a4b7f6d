"""NLA pairs and model groups by name, and which pair answers requests that name no model.

A pair says which verbalizer and reconstructor read which model; a group is one base model with its pairs and donors.
The starter brings both; others are entries of the library, written by people or read from a group file
(`group_file.py`). A request may name a pair where it names a model, so `model="gemma-l20"` is enough everywhere.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from loupe.app.errors import Conflict, NotFound
from loupe.app.services.catalogue import STARTER, Catalogue
from loupe.engine.errors import BadOption
from loupe.storage.repos.library import Library, LibraryEntry

PAIR, GROUP, CHOICE, DEFAULT = "pair", "group", "choice", "default-pair"
_NOT_IN_IDS = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An NLA pair; `model`, `verbalizer`, `reconstructor` and `donor` are ids of folders in the catalogue.

    `problem` says why it cannot be used as it stands (a checkpoint of the older kind, say), and is empty when it can.
    """

    id: str
    name: str
    model: str
    verbalizer: str = ""
    reconstructor: str = ""
    layer: int | None = None
    donor: str | None = None
    batch_rows: int | None = None
    description: str = ""
    source: str = "added here"
    problem: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder the pair is made of."""
        return tuple(filter(None, (self.model, self.verbalizer, self.reconstructor, self.donor)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One base model, the pairs that read it, and donors whose activations they may read instead."""

    id: str
    name: str
    base: str
    pairs: tuple[str, ...] = ()
    donors: tuple[str, ...] = ()
    description: str = ""
    source: str = "added here"


class Groups:
    """The pairs and groups of a data directory, in memory; every change is written down first, then told."""

    def __init__(
        self,
        rows: Library,
        catalogue: Catalogue,
        default: str = STARTER,
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        self._changed = on_change
        self.rows = rows
        self.catalogue = catalogue
        self._default = default
        self._pairs: dict[str, Pair] = {}
        self._groups: dict[str, Group] = {}

    async def open(self) -> None:
        """Read what was kept."""
        self._pairs = {entry.id: _pair(entry) for entry in await self.rows.list(PAIR)}
        self._groups = {entry.id: _group(entry) for entry in await self.rows.list(GROUP)}
        chosen = await self.rows.find(CHOICE, DEFAULT)
        self._default = str(chosen.body["pair"]) if chosen else self._default

    @property
    def default(self) -> str:
        """The pair for requests that name no model."""
        known = {pair.id for pair in self.pairs()}
        return self._default if self._default in known or not known else next(iter(known & {STARTER} or known))

    def pairs(self) -> tuple[Pair, ...]:
        """Every pair, the starter's first."""
        return (*self._shipped(), *self._pairs.values())

    def groups(self) -> tuple[Group, ...]:
        """Every group, the starter's first."""
        ours = [pair.id for pair in self._shipped()]
        about = "The model that comes with Loupe, and its pairs."
        shipped = Group(
            id=STARTER, name="Starter", base=STARTER, pairs=tuple(ours), description=about, source="shipped with Loupe"
        )
        return (*((shipped,) if ours else ()), *self._groups.values())

    def pair(self, id: str) -> Pair:
        """One pair. Raises NotFound."""
        return _of_id(self.pairs(), id, "NLA pair")

    def group(self, id: str) -> Group:
        """One group. Raises NotFound."""
        return _of_id(self.groups(), id, "model group")

    def find_pair(self, named: str) -> Pair | None:
        """The pair that a request means: by id, by group (its first), or by base model (the first that reads it)."""
        pairs = self.pairs()
        for pair in pairs:
            if pair.id == named:
                return pair
        group = next((group for group in self.groups() if group.id == named and group.pairs), None)
        if group is not None:
            return next((pair for pair in pairs if pair.id == group.pairs[0]), None)
        return next((pair for pair in pairs if pair.model == named and not pair.problem), None)

    async def set_default(self, id: str, *, author: str = "") -> Pair:
        """Choose the pair for requests that name no model. Raises NotFound, Conflict when it cannot be used."""
        pair = self.pair(id)
        if pair.problem:
            raise Conflict(f"{id} cannot be the default: {pair.problem}")
        await self.rows.put(CHOICE, DEFAULT, {"pair": id}, author=author)
        self._default = id
        self._changed()
        return pair

    async def add_pair(self, pair: Pair, *, author: str = "") -> Pair:
        """Keep a pair. Raises Conflict for an id that is taken, NotFound for folders that are not there."""
        self._check_new(pair.id, self.pairs())
        if not pair.problem:
            for folder in (pair.model, pair.verbalizer, pair.reconstructor, *filter(None, [pair.donor])):
                self.catalogue.get(folder)
        await self.rows.put(PAIR, pair.id, _body(pair), name=pair.name, author=author)
        self._pairs[pair.id] = pair
        self._changed()
        return pair

    async def add_group(self, group: Group, *, author: str = "") -> Group:
        """Keep a group. Raises Conflict for an id that is taken, NotFound for pairs that are not there."""
        self._check_new(group.id, self.groups())
        for id in group.pairs:
            self.pair(id)
        return await self._write_group(group, author)

    async def change_group(self, id: str, *, author: str = "", **changes: Any) -> Group:
        """Other name, description, pairs or donors. Raises NotFound, Conflict for the starter's."""
        group = self._own(id, self._groups, "group")
        for pair in changes.get("pairs", ()):
            self.pair(pair)
        return await self._write_group(replace(group, **changes), author)

    async def attach_donor(self, group_id: str, donor: str, *, author: str = "") -> Group:
        """Add a donor (a fine-tune or an adapter) to a group. Raises NotFound, Conflict for the starter's."""
        self.catalogue.get(donor)
        group = self._own(group_id, self._groups, "group")
        donors = tuple(dict.fromkeys((*group.donors, donor)))
        return await self.change_group(group_id, donors=donors, author=author)

    async def delete_pair(self, id: str) -> Pair:
        """Put a pair into the bin. Raises NotFound, or Conflict for the starter's and for the default."""
        pair = self._own(id, self._pairs, "pair")
        if id == self.default:
            raise Conflict(f"{id} answers requests that name no model. Make another pair the default first.")
        await self.rows.delete(PAIR, id)
        del self._pairs[id]
        self._changed()
        return pair

    async def delete_group(self, id: str) -> Group:
        """Put a group into the bin; its pairs and folders stay. Raises NotFound, Conflict for the starter's."""
        group = self._own(id, self._groups, "group")
        await self.rows.delete(GROUP, id)
        del self._groups[id]
        self._changed()
        return group

    async def restore_pair(self, id: str) -> Pair:
        """Take a pair out of the bin. Raises NotFound."""
        pair = self._pairs[id] = _pair(await self.rows.restore(PAIR, id))
        self._changed()
        return pair

    async def restore_group(self, id: str) -> Group:
        """Take a group out of the bin. Raises NotFound."""
        group = self._groups[id] = _group(await self.rows.restore(GROUP, id))
        self._changed()
        return group

    def using(self, folder: str) -> tuple[Pair, ...]:
        """The pairs that are made of this folder."""
        return tuple(pair for pair in self.pairs() if folder in pair.folders)

    def groups_of(self, thing: str) -> tuple[Group, ...]:
        """The groups that a folder or pair belongs to."""
        return tuple(g for g in self.groups() if thing == g.base or thing in g.pairs or thing in g.donors)

    async def _write_group(self, group: Group, author: str) -> Group:
        await self.rows.put(GROUP, group.id, _body(group), name=group.name, author=author)
        self._groups[group.id] = group
        self._changed()
        return group

    def _own(self, id: str, kept: dict[str, Any], noun: str) -> Any:
        if id in kept:
            return kept[id]
        _of_id(self.pairs() if noun == "pair" else self.groups(), id, noun)
        raise Conflict(f"The {noun} {id} is shipped with Loupe and stays as it is.")

    def _check_new(self, id: str, known: Iterable[Pair | Group]) -> None:
        if id != slug(id):
            raise BadOption(f"{id!r} cannot be an id: use small letters, digits, dot, dash, underscore.")
        if any(other.id == id for other in known):
            raise Conflict(f"There is a {id!r} already. Choose another name.")

    def _shipped(self) -> tuple[Pair, ...]:
        entries = {entry.id: entry for entry in self.catalogue.entries() if entry.id.startswith(STARTER)}
        found = []
        for part, name in (("ar", "Starter"), ("ar2", "Starter, second reconstructor")):
            reconstructor, verbalizer = f"{STARTER}/{part}", f"{STARTER}/av"
            if reconstructor in entries and verbalizer in entries:
                found.append(
                    Pair(
                        id=STARTER if part == "ar" else f"{STARTER}-{part}",
                        name=name,
                        model=STARTER,
                        verbalizer=verbalizer,
                        reconstructor=reconstructor,
                        layer=entries[verbalizer].layer,
                        source="shipped with Loupe",
                    )
                )
        return tuple(found)


def slug(name: str) -> str:
    """A name as an id: small letters, digits, dot, dash and underscore, at most 80 of them."""
    return _NOT_IN_IDS.sub("-", name.lower()).strip("-.")[:80]


def pair_json(pair: Pair, *, default: str = "") -> dict[str, Any]:
    """A pair for programs; absent values are left out."""
    known = asdict(pair) | {"is_default": pair.id == default}
    return {name: value for name, value in known.items() if value is not None and value != ""}


def group_json(group: Group) -> dict[str, Any]:
    """A group for programs; absent values are left out."""
    known = asdict(group) | {"pairs": list(group.pairs), "donors": list(group.donors)}
    return {name: value for name, value in known.items() if value != ""}


def _body(thing: Pair | Group) -> dict[str, Any]:
    return {name: value for name, value in asdict(thing).items() if name != "id"}


def _pair(entry: LibraryEntry) -> Pair:
    return Pair(id=entry.id, **entry.body)


def _group(entry: LibraryEntry) -> Group:
    body: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in entry.body.items()}
    return Group(id=entry.id, **body)


def _of_id(things: Iterable[Any], id: str, noun: str) -> Any:
    known = {thing.id: thing for thing in things}
    if id not in known:
        raise NotFound(f"There is no {noun} {id!r}. Known: {', '.join(known) or 'none'}.")
    return known[id]
