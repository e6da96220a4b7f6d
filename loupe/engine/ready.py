"""Who goes next: the most urgent priority first; inside it owners take turns, and each owner's jobs take turns."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from loupe.engine.jobs import Priority

Entry = TypeVar("Entry")


class ReadyQueue(Generic[Entry]):
    """Entries that wait for the device. Not thread-safe: the device thread's lock guards it.

    An owner with a hundred jobs gets the same share of a priority as an owner with one, so nobody can starve the
    others by submitting more.
    """

    def __init__(self):
        self._lanes: dict[Priority, OrderedDict[str, deque[Entry]]] = {each: OrderedDict() for each in Priority}
        self.most_urgent: Priority | None = None

    def __len__(self) -> int:
        return sum(len(entries) for lane in self._lanes.values() for entries in lane.values())

    def __iter__(self) -> Iterator[Entry]:
        return (entry for lane in self._lanes.values() for entries in lane.values() for entry in entries)

    def push(self, entry: Entry, priority: Priority, owner: str) -> None:
        """Line up behind the owner's other entries; a new owner lines up behind the other owners."""
        self._lanes[priority].setdefault(owner, deque()).append(entry)
        self._refresh()

    def pop(self) -> Entry | None:
        """The entry whose turn it is, or None; its owner then waits until the other owners had theirs."""
        if self.most_urgent is None:
            return None
        lane = self._lanes[self.most_urgent]
        owner, entries = next(iter(lane.items()))
        entry = entries.popleft()
        lane.move_to_end(owner)
        if not entries:
            del lane[owner]
        self._refresh()
        return entry

    def remove(self, entry: Entry, priority: Priority, owner: str) -> bool:
        """Take an entry out of turn; False when it was not waiting."""
        lane = self._lanes[priority]
        if entry not in lane.get(owner, ()):
            return False
        lane[owner].remove(entry)
        if not lane[owner]:
            del lane[owner]
        self._refresh()
        return True

    def _refresh(self) -> None:
        self.most_urgent = next((priority for priority in Priority if self._lanes[priority]), None)
