"""What a section of the library is made of: rows, what can be done with one of them, and what brings new ones."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from loupe.app.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `state` is loaded, loading, on disk, unusable or deleted, or empty where nothing is ever loaded; `facts`
    are short, `cells` fill the columns of a section that has some; `acts` are (act, label).

    All strings are plain text; whoever draws them escapes them.
    """

    id: str
    name: str
    state: str = ""
    facts: tuple[str, ...] = ()
    chips: tuple[tuple[str, str], ...] = ()
    about: str = ""
    problem: str = ""
    acts: tuple[tuple[str, str], ...] = ()
    href: str = ""
    cells: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What came of an act: a sentence, and the way back where there is one."""

    sentence: str
    undo: Callable[[], Awaitable[object]] | None = None


Act = Callable[[Workspace, str, str, str], Awaitable[Said | str]]
Rows = Callable[[Workspace], Awaitable[Sequence[Entry]]]


@dataclass(frozen=True, slots=True)
class Section:
    """A noun of the library. `act(workspace, act, id, author)` does one of a row's acts and returns what to say.

    With `columns` the rows are a table, whose further cells are each entry's own; a column whose name begins with `#`
    holds numbers. `ways` are links to where more can be done: (name, path, testid).
    """

    noun: str
    title: str
    about: str
    rows: Rows
    act: Act
    empty: str = "Nothing here yet."
    columns: tuple[str, ...] = ()
    ways: tuple[tuple[str, str, str], ...] = ()
