"""The token strip: the text as it was cut, each token with its state by shape and a score by colour.

One `ui.html` per row of tokens, and one listener for all of them; a row is at most 32 tokens and never crosses a turn
of a chat. The markup is made here, and every piece of text in it is escaped. Background: the chosen score. Underline:
the state. Outline: the focus. Hatched frame: the chosen range.
"""

import html
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from nicegui import ui

from loupe.app.pages.numbers import show
from loupe.app.pages.run_view import PositionView, RunView, TokenChip, TurnView
from loupe.app.pages.scales import Scale

ROW_TOKENS = 32


class State(StrEnum):
    """What is known about a token; each has its own underline."""

    DONE = "done"
    DOUBTFUL = "doubtful"
    MAKING = "making"
    WAITING = "waiting"
    SKIPPED = "skipped"
    FAILED = "failed"


SPOKEN = {
    State.DONE: "explained",
    State.DOUBTFUL: "explained, doubtful",
    State.MAKING: "being explained",
    State.WAITING: "waiting",
    State.SKIPPED: "not asked",
    State.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Paint:
    """How tokens are drawn: the state of each, which score colours them, which is kept, which range is chosen."""

    state_of: Callable[[int], State]
    score: str = "fve_nrm"
    scale: Scale | None = None
    locked: int | None = None
    chosen: range = range(0)


def visible(text: str) -> str:
    """Escaped token text with its white space made visible where it carries meaning."""
    shown = re.sub(" {2,}", lambda run: f'<span class="ws">{"·" * len(run[0])}</span>', html.escape(text))
    for mark, sign in (("\r\n", "↵"), ("\n", "↵"), ("\r", "␍"), ("\t", "⇥")):
        after = "\n" if sign == "↵" else ""
        shown = shown.replace(mark, f'<span class="ws">{sign}</span>{after}')
    return shown if shown.strip(" ") else shown.replace(" ", '<span class="ws">·</span>')


def token_html(index: int, chip: TokenChip, found: PositionView | None, paint: Paint) -> str:
    """One token. Its label reads token, position, state and score."""
    state = paint.state_of(index)
    value = getattr(found, paint.score, None) if found else None
    kept, chosen = index == paint.locked, index in paint.chosen
    kind = "special" if chip.is_special else "bytes" if chip.partial else ""
    colour = paint.scale.css(value) if paint.scale else ""
    marks = ("locked" if kept else "", "chosen" if chosen else "")
    classes = " ".join(filter(None, ("tok", state, kind, colour, *marks)))
    said = [f"token {index}", repr(chip.text.strip() or "space"), SPOKEN[state]]
    if value is not None:
        said.append(f"{paint.score} {show(value)}")
    label = html.escape(", ".join(said), quote=True)
    selected = ' aria-selected="true"' if kept or chosen else ""
    return (
        f'<span class="{classes}" id="tok-{index}" data-i="{index}" role="option"{selected} aria-label="{label}">'
        f"{visible(chip.text)}</span>"
    )


def rows_of(length: int, turns: Sequence[TurnView], size: int = ROW_TOKENS) -> list[tuple[str, range]]:
    """The rows: the role of the turn that begins there (or nothing), and the positions."""
    begins = {0: ""}
    after = -1
    for turn in turns:
        gap = turn.first - after - 1
        begins[after + 1 + (1 if after >= 0 and gap > 1 else 0)] = turn.role
        after = turn.last
    edges = [*sorted(begins), length]
    return [
        (begins[start] if first == start else "", range(first, min(first + size, end)))
        for start, end in pairwise(edges)
        for first in range(start, end, size)
    ]


def row_html(view: RunView, role: str, indices: range, paint: Paint) -> str:
    """One row of tokens, led by the role when a turn begins there."""
    lead = f'<span class="turn" aria-hidden="true">{html.escape(role)}</span>' if role else ""
    return lead + "".join(token_html(i, view.tokens[i], view.positions.get(i), paint) for i in indices)


class TokenStrip:
    """The strip on a page; `on_event(kind, value)` tells what the reader does.

    Kinds: `hover`, `lock` (a click) and `keep` (an arrow key) with a position or None, `range` with two positions or
    None, `explain`.
    """

    def __init__(self, on_event: Callable[[str, Any], Any]) -> None:
        self._on_event = on_event
        self._rows: list[tuple[str, range]] = []
        self._elements: list[ui.html] = []
        self._row_of: list[int] = []
        self._tokens: tuple[TokenChip, ...] = ()
        self.box = ui.element("div").classes("strip")
        self.box.props('role=listbox aria-multiselectable=true tabindex=0 aria-label="Tokens" data-testid=token-strip')
        for event, handler in (
            ("mouseover", "over"),
            ("mouseleave", "leave"),
            ("mousedown", "down"),
            ("click", "click"),
            ("keydown", "key"),
        ):
            self.box.on(event, self._heard, js_handler=f"(e) => loupe.strip.{handler}(e, emit)")

    def show(self, view: RunView, paint: Paint, only: Iterable[int] | None = None) -> None:
        """Draw the run; with `only`, the rows of these positions, when the tokens are those drawn already."""
        if view.tokens is not self._tokens:
            self._lay_out(view)
            only = None
        rows = range(len(self._rows)) if only is None else sorted({self._row_of[i] for i in only if self._has(i)})
        for number in rows:
            role, indices = self._rows[number]
            self._elements[number].set_content(row_html(view, role, indices, paint))
        active = f"tok-{paint.locked}" if paint.locked is not None else None
        if self.box.props.get("aria-activedescendant") != active:
            self.box.props["aria-activedescendant"] = active
            self.box.update()

    def _has(self, position: int) -> bool:
        return 0 <= position < len(self._row_of)

    def _lay_out(self, view: RunView) -> None:
        self._tokens = view.tokens
        self._rows = rows_of(len(view.tokens), view.turns)
        self._row_of = [number for number, (_, indices) in enumerate(self._rows) for _ in indices]
        with self.box:
            while len(self._elements) < len(self._rows):
                self._elements.append(ui.html("", sanitize=False).props("role=presentation"))
        while len(self._elements) > len(self._rows):
            self._elements.pop().delete()

    async def _heard(self, event: Any) -> None:
        kind, value = heard(event.args)
        result = self._on_event(kind, value) if kind else None
        if inspect.isawaitable(result):
            await result


def heard(args: Any) -> tuple[str, Any]:
    """What an event of the script says, checked: a browser may send anything."""
    said = args[0] if isinstance(args, list) and args else args
    if not isinstance(said, dict):
        return "", None
    kind, value = said.get("k"), said.get("v")
    if kind in ("hover", "lock", "keep"):
        return kind, int(value) if isinstance(value, int | float) and value >= 0 else None
    if kind == "range":
        ends = value if isinstance(value, list) and len(value) == 2 else None
        if ends and all(isinstance(end, int | float) and end >= 0 for end in ends):
            return "range", (int(min(ends)), int(max(ends)))
        return "range", None
    return ("explain", None) if kind == "explain" else ("", None)
