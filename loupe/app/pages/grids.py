"""A run as rows or as columns: the table and its transpose, each made when first looked at, and the menu of columns."""

from collections.abc import Callable

from nicegui import app, ui

from loupe.app.pages.card import Look
from loupe.app.pages.run_view import RunView
from loupe.app.pages.scales import Scale
from loupe.app.pages.table import COLUMNS, DEFAULT, ResultTable
from loupe.app.pages.transposed import Transposed


class Grids:
    """Table and transposed view of one run; `on_pick(position, keep)` hears of every choice in either."""

    def __init__(self, on_pick: Callable[[int | None, bool], None]) -> None:
        self._on_pick = on_pick
        self._table: ResultTable | None = None
        self._transposed: Transposed | None = None
        wanted = app.storage.user.get("columns") or list(DEFAULT)
        self._wanted = [name for name in COLUMNS if name in wanted]

    def place_menu(self) -> None:
        """Make the menu of columns where the caller stands in the layout."""
        self._columns = ui.button("Columns", icon="view_column", color=None).classes("quiet")
        self._columns.props("flat no-caps dense data-testid=columns")
        with (
            self._columns,
            ui.menu().props('role=dialog aria-label="Columns"'),
            ui.element("div").classes("options columns-menu"),
        ):
            whole = ui.checkbox("Whole explanations", value=bool(app.storage.user.get("whole")))
            whole.props("dense data-testid=column-whole").on_value_change(lambda event: self._wrap(bool(event.value)))
            ui.separator()
            for name, column in COLUMNS.items():
                box = ui.checkbox(column.label, value=name in self._wanted)
                box.props(f"dense data-testid=column-{name.replace('_', '-')}")
                box.tooltip(column.title) if column.title else None
                box.on_value_change(lambda event, name=name: self._choose_column(name, bool(event.value)))
        self._columns.visible = False

    def place(self) -> None:
        """Make room for both where the caller stands in the layout."""
        self._room = ui.element("div").classes("other-view")

    def show(
        self, mode: str, view: RunView, look: Callable[[], Look], score: str, scale: Scale | None, locked: int | None
    ) -> None:
        """Draw the one that `mode` names, if any, and hide the other."""
        self._columns.visible = mode == "table"
        shown = self._shown(mode) if view.positions else None
        for grid in filter(None, (self._table, self._transposed)):
            grid.box.visible = grid is shown
        if shown is not None:
            shown.show(view, look(), score, scale, locked)

    def _shown(self, mode: str) -> ResultTable | Transposed | None:
        if mode == "table":
            if self._table is None:
                with self._room:
                    self._table = ResultTable(self._wanted, self._on_pick)
                self._table.wrap(bool(app.storage.user.get("whole")))
            return self._table
        if mode == "transposed":
            if self._transposed is None:
                with self._room:
                    self._transposed = Transposed(self._on_pick)
            return self._transposed
        return None

    def _wrap(self, whole: bool) -> None:
        app.storage.user["whole"] = whole
        if self._table is not None:
            self._table.wrap(whole)

    def _choose_column(self, name: str, wanted: bool) -> None:
        chosen = {*self._wanted, name} if wanted else {*self._wanted} - {name}
        self._wanted = [column for column in COLUMNS if column in chosen]
        app.storage.user["columns"] = self._wanted
        if self._table is not None:
            self._table.choose(self._wanted)
