"""The run on its side: one column per position, the token on top, what was said below it, line by line.

One `ui.html` per column, forty to a page, and one listener for all of them. The width is set in the browser.
"""

import html
from collections.abc import Callable
from typing import Any

from nicegui import ui

from loupe.app.pages.card import Look
from loupe.app.pages.numbers import show
from loupe.app.pages.run_view import PositionView, RunView, Unit
from loupe.app.pages.scales import SCORES, Scale
from loupe.app.pages.strip import visible

PAGE_COLUMNS = 40
SHOWN = ("fve_nrm", "cosine", "kl")


class Transposed:
    """The view on a page. `on_pick(position, keep)` tells which column was chosen, −1 that it is let go; `keep`: by an
    arrow key."""

    def __init__(self, on_pick: Callable[[int, bool], None]) -> None:
        self._on_pick = on_pick
        self._columns: list[ui.html] = []
        self._drawn: list[str] = []
        self._page = 0
        self._followed: int | None = None
        self._again: Callable[[], None] = lambda: None
        self.box = ui.element("div").classes("transposed").props("data-testid=transposed")
        with self.box:
            ui.html(_width_html(), sanitize=False).classes("width")
            self._row = ui.element("div").classes("columns").props('tabindex=0 role=list aria-label="Positions"')
            self._pager = ui.element("div").classes("pager num")
        self._row.on("click", self._clicked, js_handler="(e) => loupe.table.click(e, emit)")
        self._row.on("keydown", self._clicked, js_handler="(e) => loupe.table.key(e, emit)")
        with self._pager:
            back = ui.button(icon="chevron_left", on_click=lambda: self._turn(-1), color=None)
            back.props('flat dense round aria-label="Previous positions" data-testid=transposed-back').classes("icon")
            self._where = ui.html("", sanitize=False)
            on = ui.button(icon="chevron_right", on_click=lambda: self._turn(1), color=None)
            on.props('flat dense round aria-label="Next positions" data-testid=transposed-on').classes("icon")

    def show(self, view: RunView, look: Look, score: str, scale: Scale | None, locked: int | None) -> None:
        """Draw the run; only columns that changed are sent."""
        ordered = view.ordered
        if locked is not None and locked != self._followed:
            places = [number for number, found in enumerate(ordered) if found.position == locked]
            self._page = places[0] // PAGE_COLUMNS if places else self._page
        self._followed = locked
        self._page = max(0, min(self._page, (len(ordered) - 1) // PAGE_COLUMNS))
        first = self._page * PAGE_COLUMNS
        here = ordered[first : first + PAGE_COLUMNS]
        self._have(len(here))
        for number, found in enumerate(here):
            content = column_html(found, look, score, scale)
            mark = f"{found.position} {found.position == locked} {content}"
            if mark != self._drawn[number]:
                column = self._columns[number]
                column.props(f"data-i={found.position}")
                column.classes(add="locked") if found.position == locked else column.classes(remove="locked")
                column.set_content(content)
                self._drawn[number] = mark
        self._where.set_content(f"{first + 1 if here else 0}–{first + len(here)} of {len(ordered)}")
        self._pager.visible = len(ordered) > PAGE_COLUMNS
        self._again = lambda: self.show(view, look, score, scale, self._followed)

    def _have(self, count: int) -> None:
        with self._row:
            while len(self._columns) < count:
                self._columns.append(ui.html("", sanitize=False).classes("column").props("role=listitem"))
                self._drawn.append("")
        while len(self._columns) > count:
            self._columns.pop().delete()
            self._drawn.pop()

    def _turn(self, by: int) -> None:
        self._page += by
        self._again()

    def _clicked(self, event: Any) -> None:
        position = event.args.get("i") if isinstance(event.args, dict) else None
        if isinstance(position, int | float):
            self._on_pick(int(position), bool(event.args.get("keep")))


def column_html(found: PositionView, look: Look, score: str, scale: Scale | None) -> str:
    """One position: token, scores, and the lines as written, each tinted by its salience."""
    by_text = {unit.text.strip(): unit for unit in found.salience}
    lines = [line.strip() for line in found.explanation.splitlines() if line.strip()]
    said = "".join(_line(by_text.get(line, Unit(line, None)), look) for line in lines)
    names = dict.fromkeys([score, *SHOWN])
    scores = "".join(
        f'<div title="{value!r}"><dt>{SCORES[name].label}</dt><dd>{show(value)}</dd></div>'
        for name in names
        if name in SCORES and (value := getattr(found, name)) is not None
    )
    colour = scale.css(getattr(found, score, None)) if scale else ""
    doubt = " doubtful" if found.is_doubtful else ""
    return (
        f'<div class="top-token {colour}{doubt}"><span>{visible(found.token)}</span></div>'
        f'<div class="at num">{found.position}</div>{said}<dl class="num">{scores}</dl>'
    )


def _line(unit: Unit, look: Look) -> str:
    colour = look.salience.css(unit.value) if look.salience else ""
    return f'<p class="{colour}">{html.escape(unit.text)}</p>'


def _width_html() -> str:
    return (
        '<label>Column width <input type="range" min="80" max="400" value="180" data-testid="column-width" '
        "oninput=\"this.closest('.transposed').style.setProperty('--column', this.value + 'px')\"></label>"
    )
