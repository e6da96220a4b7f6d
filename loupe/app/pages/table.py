"""The run as a table: one row per explained position, sixty to a page, columns of one's choice.

One `ui.html` per row, one listener for all of them. Numbers have three significant digits; the exact value is in the
cell's title and in what is copied.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from loupe.app.pages.card import Look, coloured_html
from loupe.app.pages.numbers import percent, show
from loupe.app.pages.run_view import PositionView, Ranked, RunView
from loupe.app.pages.scales import SCORES, Scale
from loupe.app.pages.strip import visible

PAGE_ROWS = 60
TOP_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and whether it holds a score, text, or the top tokens of a readout."""

    label: str
    kind: str
    title: str = ""


COLUMNS: dict[str, Column] = {
    "position": Column("#", "number", "Position in the text, from 0"),
    "token": Column("token", "token"),
    "explanation": Column("explanation", "words", "Coloured by salience where it was computed"),
    **{name: Column(f"{score.label}{f' ({score.unit})' if score.unit else ''}", "number", score.meaning)
       for name, score in SCORES.items()},
    "flags": Column("flags", "text", "Why a position is unreliable; it is left out of means"),
    "logit_lens": Column("logit lens", "top", "Top tokens of the logit lens at this block"),
    "tuned_lens": Column("tuned lens", "top", "Top tokens of the tuned lens at this block"),
    "next_tokens": Column("next token", "top", "What the whole model says comes next"),
    "token_id": Column("id", "number", "Token id"),
}  # fmt: skip
DEFAULT = ("position", "token", "explanation", "fve_nrm", "cosine", "kl", "next_tokens")


def available(view: RunView) -> list[str]:
    """The columns of which the run has at least one value."""
    return [name for name in COLUMNS if any(_has(getattr(p, name)) for p in view.positions.values())]


def _has(value: object) -> bool:
    return value is not None and value != ()


class ResultTable:
    """The table on a page. `on_pick(position, keep)` tells which row was chosen, −1 that it is let go; `keep`: by an
    arrow key."""

    def __init__(self, columns: Sequence[str], on_pick: Callable[[int, bool], None]) -> None:
        self.columns = [name for name in columns if name in COLUMNS] or list(DEFAULT)
        self._on_pick = on_pick
        self._sort, self._down, self._page = "position", False, 0
        self._view: RunView | None = None
        self._look, self._scale, self._score = Look(), None, ""
        self._rows: list[ui.html] = []
        self._drawn: list[str] = []
        self.box = ui.element("div").classes("result-table").props("data-testid=result-table")
        with self.box:
            with ui.element("div").classes("scroll").props('tabindex=0 role=region aria-label="Results as a table"'):
                self._table = ui.element("table")
                with self._table:
                    self._head = ui.html("", sanitize=False, tag="thead")
                    self._body = ui.element("tbody")
            self._pager = ui.element("div").classes("pager num")
        self._table.on("click", self._clicked, js_handler="(e) => loupe.table.click(e, emit)")
        self.box.on("keydown", self._clicked, js_handler="(e) => loupe.table.key(e, emit)")
        with self._pager:
            self._back = ui.button(icon="chevron_left", on_click=lambda: self._turn(-1), color=None)
            self._back.props('flat dense round aria-label="Previous page" data-testid=table-back').classes("icon")
            self._where = ui.html("", sanitize=False)
            self._on = ui.button(icon="chevron_right", on_click=lambda: self._turn(1), color=None)
            self._on.props('flat dense round aria-label="Next page" data-testid=table-on').classes("icon")

    def show(self, view: RunView, look: Look, score: str, scale: Scale | None, locked: int | None) -> None:
        """Draw the run; only rows that changed are sent."""
        self._view, self._look, self._score, self._scale = view, look, score, scale
        ordered = self._ordered(view)
        if locked is not None and locked != getattr(self, "_followed", None):
            places = [number for number, found in enumerate(ordered) if found.position == locked]
            self._page = places[0] // PAGE_ROWS if places else self._page
        self._followed = locked
        last = max(0, (len(ordered) - 1) // PAGE_ROWS)
        self._page = min(self._page, last)
        first = self._page * PAGE_ROWS
        here = ordered[first : first + PAGE_ROWS]
        columns = [name for name in self.columns if name in set(available(view))] or ["position", "token"]
        self._head.set_content(self._head_html(columns))
        self._have_rows(len(here))
        for number, found in enumerate(here):
            self._draw(number, found, columns, found.position == locked)
        self._where.set_content(f"{first + 1 if here else 0}–{first + len(here)} of {len(ordered)}")
        self._pager.visible = last > 0
        self._back.set_enabled(self._page > 0)
        self._on.set_enabled(self._page < last)

    def _draw(self, number: int, found: PositionView, columns: list[str], kept: bool) -> None:
        content = "".join(self._cell(name, found) for name in columns)
        mark = f"{found.position} {kept} {content}"
        if mark == self._drawn[number]:
            return
        row = self._rows[number]
        row.props(f"data-i={found.position}")
        row.props("aria-current=true") if kept else row.props(remove="aria-current")
        row.classes(add="locked") if kept else row.classes(remove="locked")
        row.set_content(content)
        self._drawn[number] = mark

    def _cell(self, name: str, found: PositionView) -> str:
        column, value = COLUMNS[name], getattr(found, name)
        colour = self._scale.css(value) if name == self._score and self._scale else ""
        if column.kind == "words":
            return f'<td class="words"><div>{coloured_html(found, self._look.salience)}</div></td>'
        if column.kind == "token":
            doubt = " doubtful" if found.is_doubtful else ""
            return f'<th scope="row" class="token{doubt}">{visible(value)}</th>'
        if column.kind == "top":
            return f'<td class="top">{_tops_html(value)}</td>'
        if column.kind == "text":
            return f"<td>{html.escape(', '.join(value))}</td>"
        if value is None:
            return '<td class="number absent"></td>'
        shown = str(value) if isinstance(value, int) else show(value)
        return f'<td class="number {colour}" title="{value!r}">{shown}</td>'

    def _head_html(self, columns: list[str]) -> str:
        cells = []
        for name in columns:
            column = COLUMNS[name]
            if column.kind == "top":
                cells.append(f'<th scope="col" title="{html.escape(column.title)}">{column.label}</th>')
                continue
            here = name == self._sort
            order = ("descending" if self._down else "ascending") if here else "none"
            arrow = ("▼" if self._down else "▲") if here else ""
            cells.append(
                f'<th scope="col" aria-sort="{order}" class="{column.kind}" title="{html.escape(column.title)}">'
                f'<button type="button" data-sort="{name}">{html.escape(column.label)}<i aria-hidden="true">{arrow}</i>'
                "</button></th>"
            )
        return f"<tr>{''.join(cells)}</tr>"

    def _ordered(self, view: RunView) -> list[PositionView]:
        known = [p for p in view.ordered if _has(getattr(p, self._sort))]
        unknown = [p for p in view.ordered if not _has(getattr(p, self._sort))]
        return sorted(known, key=lambda p: getattr(p, self._sort), reverse=self._down) + unknown

    def _have_rows(self, count: int) -> None:
        with self._body:
            while len(self._rows) < count:
                self._rows.append(ui.html("", sanitize=False, tag="tr"))
                self._drawn.append("")
        while len(self._rows) > count:
            self._rows.pop().delete()
            self._drawn.pop()

    def _turn(self, by: int) -> None:
        self._page += by
        self._again()

    def _again(self) -> None:
        if self._view is not None:
            self.show(self._view, self._look, self._score, self._scale, self._followed)

    def choose(self, columns: Sequence[str]) -> None:
        """Show these columns, in the table's own order."""
        self.columns = [name for name in COLUMNS if name in columns]
        self._again()

    def wrap(self, whole: bool) -> None:
        """Show explanations whole, or their beginning on one line."""
        self.box.classes(add="whole") if whole else self.box.classes(remove="whole")

    def _clicked(self, event: Any) -> None:
        said = event.args if isinstance(event.args, dict) else {}
        name, position = said.get("sort"), said.get("i")
        if isinstance(name, str) and name in COLUMNS:
            self._down = not self._down if name == self._sort else name not in ("position", "token", "explanation")
            self._sort, self._page = name, 0
            self._again()
        elif isinstance(position, int | float):
            self._on_pick(int(position), bool(said.get("keep")))


def _tops_html(ranked: tuple[Ranked, ...]) -> str:
    return " ".join(
        f'<span class="one"><b>{visible(one.text)}</b> <small>{percent(one.probability)}</small></span>'
        for one in ranked[:TOP_SHOWN]
    )
