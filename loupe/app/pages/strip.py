"""The token strip: the text as it was cut, each token with its state by shape and its score by colour.

One `ui.html` per row of tokens, and one listener for all of them. The markup is made here, and every piece of text in
it is escaped. Background: how much of the activation the explanation recovers (orange, at 0 none; blue and hatched in
the card: worse than the mean). Underline: the state. Outline: the focus.
"""

import html
import re
from collections.abc import Callable
from enum import StrEnum

from nicegui import ui

from loupe.app.pages.numbers import show
from loupe.app.pages.run_view import PositionView, RunView, TokenChip

ROW_TOKENS = 32
BINS = 8


class State(StrEnum):
    """What is known about a token; each has its own underline."""

    DONE = "done"
    DOUBTFUL = "doubtful"
    MAKING = "making"
    WAITING = "waiting"
    SKIPPED = "skipped"


SPOKEN = {
    State.DONE: "explained",
    State.DOUBTFUL: "explained, doubtful",
    State.MAKING: "being explained",
    State.WAITING: "waiting",
    State.SKIPPED: "not chosen",
}


def score_class(value: float | None) -> str:
    """The colour class of a score: p1 to p8 above zero, n1 to n8 below, nothing for none; limits at 1 and -1."""
    if value is None or abs(value) < 0.5 / BINS:
        return ""
    level = min(BINS, max(1, round(abs(value) * BINS)))
    return f"{'p' if value > 0 else 'n'}{level}"


def visible(text: str) -> str:
    """Escaped token text with its white space made visible where it carries meaning."""
    shown = re.sub(" {2,}", lambda run: f'<span class="ws">{"·" * len(run[0])}</span>', html.escape(text))
    for mark, sign in (("\r\n", "↵"), ("\n", "↵"), ("\r", "␍"), ("\t", "⇥")):
        after = "\n" if sign == "↵" else ""
        shown = shown.replace(mark, f'<span class="ws">{sign}</span>{after}')
    return shown if shown.strip(" ") else shown.replace(" ", '<span class="ws">·</span>')


def token_html(index: int, chip: TokenChip, state: State, found: PositionView | None, *, locked: bool) -> str:
    """One token. Its label reads token, position, state and score."""
    kind = "special" if chip.is_special else "bytes" if chip.partial else ""
    colour = score_class(found.fve_nrm) if found else ""
    classes = " ".join(filter(None, ("tok", state, kind, colour, "locked" if locked else "")))
    score = f", recovers {show(found.fve_nrm)}" if found and found.fve_nrm is not None else ""
    label = html.escape(f"token {index}, {chip.text.strip() or 'space'!r}, {SPOKEN[state]}{score}", quote=True)
    return (
        f'<span class="{classes}" id="tok-{index}" data-i="{index}" role="option" '
        f'aria-selected="{"true" if locked else "false"}" aria-label="{label}">{visible(chip.text)}</span>'
    )


class TokenStrip:
    """The strip on a page. `on_hover(i or None)`, `on_pick(i)` and `on_release()` tell what the reader does."""

    def __init__(
        self,
        on_hover: Callable[[int | None], None],
        on_pick: Callable[[int], None],
        on_release: Callable[[], None],
    ) -> None:
        self._on_hover, self._on_pick, self._on_release = on_hover, on_pick, on_release
        self._rows: list[ui.html] = []
        self._drawn: list[tuple[object, ...]] = []
        self.box = ui.element("div").classes("strip")
        self.box.props('role=listbox tabindex=0 aria-label="Tokens of the text" data-testid=token-strip')
        self.box.on("mouseover", self._hover, js_handler="(e) => loupe.hover(e, emit)")
        self.box.on("mouseleave", self._hover, js_handler="(e) => loupe.leave(e, emit)")
        self.box.on("click", self._click, js_handler="(e) => loupe.click(e, emit)")
        self.box.on("keydown", self._key, js_handler="(e) => loupe.key(e, emit)")

    def show(self, view: RunView, state_of: Callable[[int], State], locked: int | None) -> None:
        """Draw the run; only rows in which a state or the lock changed are made and sent."""
        starts = range(0, len(view.tokens), ROW_TOKENS)
        self._have_rows(len(starts))
        for number, start in enumerate(starts):
            indices = range(start, min(start + ROW_TOKENS, len(view.tokens)))
            states = [state_of(i) for i in indices]
            look = (view.tokens, *states, locked if locked in indices else None)
            if look != self._drawn[number]:
                self._rows[number].set_content(_row_html(view, indices, states, locked))
                self._drawn[number] = look
        active = f"tok-{locked}" if locked is not None else None
        if self.box.props.get("aria-activedescendant") != active:
            self.box.props["aria-activedescendant"] = active
            self.box.update()

    def _have_rows(self, count: int) -> None:
        with self.box:
            while len(self._rows) < count:
                self._rows.append(ui.html("", sanitize=False).props("role=presentation"))
                self._drawn.append(())
        while len(self._rows) > count:
            self._rows.pop().delete()
            self._drawn.pop()

    def _hover(self, event: object) -> None:
        index = _index(event)
        self._on_hover(index)

    def _click(self, event: object) -> None:
        index = _index(event)
        if index is None:
            self._on_release()
        else:
            self._on_pick(index)

    def _key(self, event: object) -> None:
        self._click(event)


def _row_html(view: RunView, indices: range, states: list[State], locked: int | None) -> str:
    return "".join(
        token_html(i, view.tokens[i], state, view.positions.get(i), locked=i == locked)
        for i, state in zip(indices, states, strict=True)
    )


def _index(event: object) -> int | None:
    """The token index an event carries, or None for outside and release."""
    args = getattr(event, "args", None)
    value = args[0] if isinstance(args, list) and args else args
    return int(value) if isinstance(value, int | float) and value >= 0 else None
