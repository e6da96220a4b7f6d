"""The run that is shown: text, table or transposed, and the card beside it. One selection, whatever the view."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import app, ui

from loupe.app.pages import run_view, states, summary
from loupe.app.pages.card import Look, card_html, hint_html, waiting_html
from loupe.app.pages.controls import Segmented
from loupe.app.pages.grids import Grids
from loupe.app.pages.links import address
from loupe.app.pages.run_view import RunView
from loupe.app.pages.scales import SCORES, Scale, salience_scale, scale_of
from loupe.app.pages.strip import SPOKEN, Paint, State, TokenStrip
from loupe.app.services.live import LiveRun
from loupe.app.workspace import Workspace
from loupe.storage.rows import WorkState

EMPTY = RunView((), {})
VIEWS = {"text": "Text", "table": "Table", "transposed": "Transposed"}
PLAIN = "none"


class Reader:
    """The panel with the run, and the card. `on_choose(range or None)`, `on_explain()` go to whoever asks questions."""

    def __init__(
        self,
        workspace: Workspace,
        on_choose: Callable[[range | None], None] = lambda _: None,
        on_explain: Callable[[], Any] = lambda: None,
    ) -> None:
        self.workspace = workspace
        self.view = EMPTY
        self.locked: int | None = None
        self.hovered: int | None = None
        self.chosen = range(0)
        self.path = "/"
        self._on_choose, self._on_explain = on_choose, on_explain
        self._live: LiveRun | None = None
        self._seen, self._card_drawn, self._shown_card = 0, hint_html(), None
        self._asked: frozenset[int] = frozenset()
        self._samples: list[dict[str, str]] = []
        wishes = app.storage.user
        self.mode = wishes.get("view", "text") if wishes.get("view") in VIEWS else "text"
        self.score = wishes.get("colour", "fve_nrm") if wishes.get("colour") in (*SCORES, PLAIN) else "fve_nrm"
        self.by_salience = bool(wishes.get("by_salience", True))
        self._place()

    def _place(self) -> None:
        self.problem = ui.element("div").props("data-testid=problem")
        self.problem.visible = False
        self.panel = ui.element("section").classes("panel").props('aria-label="Run" data-testid=run')
        with self.panel:
            self.header = ui.html("", sanitize=False).classes("run-head")
            self._stale = ui.element("div").classes("notice")
            self.notice = ui.element("div").classes("notice")
            with ui.element("div").classes("toolbar"):
                self._views = Segmented(VIEWS, self.mode, self._switch, label="View", testid="view")
                self._colour = ui.select(
                    {name: score.label for name, score in SCORES.items()} | {PLAIN: "no colour"},
                    value=self.score,
                    label="Colour by",
                    on_change=lambda event: self._recolour(event.value),
                ).props("dense outlined options-dense data-testid=colour-by")
                self._grids = Grids(self._pick)
                self._grids.place_menu()
                ui.space()
                self.actions = ui.element("div").classes("run-actions")
            self.strip = TokenStrip(self._heard)
            self._grids.place()
            self.legend = ui.html("", sanitize=False)
        self._keys = ui.element("button").props("type=button class=sr aria-hidden=true tabindex=-1 data-key=v")
        self._keys.on("click", self._next_view)

    def place_card(self) -> None:
        """Make the card where the caller stands in the layout."""
        self.card = ui.html(hint_html(), sanitize=False)
        self.card.on("click", self._card_act, js_handler="(e) => loupe.card.click(e, emit)")

    # what is shown

    def show(self, view: RunView, *, title: str, kind: str, path: str, samples: list[dict[str, str]]) -> None:
        """Show a finished run."""
        self._live = None
        self.view, self.path = view, path
        self._choose(None)
        self._say_nothing()
        self.header.set_content(summary.header_html(view, title, kind, path, samples))
        self._draw()

    def show_tokens(self, live: LiveRun, path: str) -> None:
        """Show an input that was cut into tokens and not asked about yet, so that positions can be chosen."""
        self._live, self.locked, self.path = None, None, path
        self.view = RunView(tuple(map(run_view.chip, live.tokens)), {}, {}, run_view.turns(live.turns))
        self._say_nothing()
        self._choose(None)
        self.header.set_content(summary.preview_html(len(self.view.tokens)))
        self._card(hint_html())
        self._draw()

    def begin(self, position: int | None) -> None:
        """Lock the position a link names; without one, preview a telling one, so that the card is never empty."""
        if position is not None:
            self.lock(position)
        elif (start := self.view.best_start()) is not None:
            self._show_card(start)

    def show_problem(self, problem: dict[str, Any], ways: Sequence[states.Way] = ()) -> None:
        """Say what went wrong; it stays until something else is shown."""
        self.problem.clear()
        with self.problem:
            states.failed(problem, ways=ways)
        if not self.view.tokens:
            self._card("")
        self.problem.visible = True
        self.panel.visible = bool(self.view.tokens)

    def show_empty(self, title: str, sentence: str, ways: list[states.Way]) -> None:
        """Say that there is nothing yet, and how something comes here."""
        self.problem.clear()
        with self.problem:
            states.empty(title, sentence, ways)
        self.problem.visible = True
        self.panel.visible = False
        self._card("")

    def follow(self, live: LiveRun, *, path: str, samples: list[dict[str, str]]) -> None:
        """Begin to show a run that is being made."""
        self._live, self._seen, self._asked, self.path = live, 0, frozenset(), path
        self.locked = self.hovered = None
        self.view = EMPTY
        self._samples = samples
        self._say_nothing()
        self._choose(None)
        self._card('<div class="hint">The first explanation appears here as soon as it is made.</div>')
        self._draw()
        self.update(live)

    def update(self, live: LiveRun) -> None:
        """Bring the page up to what the run has by now; only what is new is read."""
        changed = self._take_tokens(live) or self._take_rows(live)
        if live.result is not None and not self.view.metadata:
            self.view, changed = run_view.read(live.result), None
        self.header.set_content(summary.live_header_html(live, self.view, self.path, self._samples))
        if not live.busy:
            self._say_ending(live)
            changed = None
        if changed is None or changed:
            self._draw(only=changed)
        if self.locked is not None:
            self._show_card(self.locked)

    def _take_tokens(self, live: LiveRun) -> list[int]:
        if not live.tokens or self.view.tokens:
            return []
        self._asked = frozenset(live.positions)
        self.view = RunView(tuple(map(run_view.chip, live.tokens)), {}, {}, run_view.turns(live.turns))
        return list(range(len(self.view.tokens)))

    def _take_rows(self, live: LiveRun) -> list[int]:
        rows = self.workspace.analyses.rows(live)
        if len(rows) <= self._seen or not self.view.tokens:
            return []
        fresh = {p.position: p for p in map(run_view.position, rows[self._seen :])}
        known = self.view
        self.view = RunView(known.tokens, {**known.positions, **fresh}, known.metadata, known.turns)
        self._seen = len(rows)
        if self.locked is None and self.hovered is None:
            self._show_card(next(iter(fresh)))
        return list(fresh)

    def _say_ending(self, live: LiveRun) -> None:
        self.notice.clear()
        if live.state is WorkState.FAILED and live.error:
            self.show_problem(live.error)
        if live.state is not WorkState.DONE and live.total and live.done < live.total:
            why = (
                "" if live.error else f"{live.state.capitalize()}; what is finished stays here until the server stops."
            )
            with self.notice:
                states.partial(live.done, live.total, "positions explained", why)

    def mark_stale(self, changed: list[str]) -> None:
        """Say that the questions beside this run are no longer those it answered."""
        self._stale.clear()
        if changed and self.view.positions:
            with self._stale:
                states.stale(", ".join(changed))

    def _say_nothing(self) -> None:
        self.notice.clear()
        self._stale.clear()
        self.problem.visible = False
        self.panel.visible = True

    # one selection

    def lock(self, position: int | None) -> None:
        """Keep a token; choosing the kept one again lets it go."""
        if position is None or position == self.locked or not 0 <= position < len(self.view.tokens):
            self.release()
            return
        before, self.locked = self.locked, position
        self._draw(only=[p for p in (before, position) if p is not None])
        self._show_card(position)
        self._note(position)

    def _pick(self, position: int | None, keep: bool) -> None:
        """A click lets the kept token go, an arrow key never does."""
        if not (keep and position == self.locked):
            self.lock(position)

    def release(self) -> None:
        """Let the kept token go."""
        if self.locked is None:
            return
        before, self.locked = self.locked, None
        self._draw(only=[before])
        self._show_card(self.hovered if self.hovered is not None else before)
        self._note(None)

    def _heard(self, kind: str, value: Any) -> Any:
        if kind == "hover":
            self._hover(value)
        elif kind in ("lock", "keep"):
            self._pick(value, kind == "keep")
        elif kind == "range":
            self._choose(range(value[0], value[1] + 1) if value else None)
        elif kind == "explain":
            return self._on_explain()
        return None

    def _hover(self, position: int | None) -> None:
        self.hovered = position
        if self.locked is None and position is not None and position < len(self.view.tokens):
            self._show_card(position)

    def _choose(self, positions: range | None) -> None:
        before, length = self.chosen, len(self.view.tokens)
        self.chosen = range(positions.start, min(positions.stop, length)) if positions else range(0)
        if before or self.chosen:
            self._draw(only=[*before, *self.chosen])
        self._on_choose(self.chosen or None)

    def drop_range(self) -> None:
        """Take the chosen range off the text, without telling anybody."""
        before, self.chosen = self.chosen, range(0)
        self._draw(only=list(before))

    def _note(self, position: int | None) -> None:
        suffix = "" if position is None else f"?position={position}"
        ui.navigate.history.replace(address(self.path) + suffix)

    # how it is drawn

    def _switch(self, mode: str) -> None:
        self.mode = app.storage.user["view"] = mode
        self._draw()

    def _next_view(self) -> None:
        names = list(VIEWS)
        mode = names[(names.index(self.mode) + 1) % len(names)]
        self._views.set(mode)
        self._switch(mode)

    def _recolour(self, score: str) -> None:
        self.score = app.storage.user["colour"] = score
        self._draw()
        self._redraw_card()

    def _card_act(self, event: Any) -> None:
        if event.args == "order":
            self.by_salience = app.storage.user["by_salience"] = not self.by_salience
            self._redraw_card()
        elif event.args == "release":
            self.release()

    def _scale(self) -> Scale | None:
        return scale_of(self.score, self.view.values(self.score)) if self.score in SCORES else None

    def _look(self, position: int | None = None) -> Look:
        salience = salience_scale(self.view.saliences())
        kept = position is not None and position == self.locked
        return Look(kept, self.by_salience, salience, self.score, self._scale())

    def _draw(self, only: list[int] | None = None) -> None:
        scale = self._scale()
        self.strip.box.visible = self.mode == "text" or not self.view.positions
        whole = None if only is None or (scale and scale.score.limit is None and self._live) else only
        if self.strip.box.visible:
            self.strip.show(self.view, Paint(self._state_of, self.score, scale, self.locked, self.chosen), whole)
        self._grids.show(self.mode, self.view, self._look, self.score, scale, self.locked)
        self.legend.set_content(summary.legend_html(scale, self.mode, self._states()))

    def _states(self) -> set[State]:
        """The states that are drawn; asked at every update, so without walking over all tokens."""
        found = self.view.positions
        states = {State.DOUBTFUL} if any(p.is_doubtful for p in found.values()) else set()
        states |= {State.DONE} if not all(p.is_doubtful for p in found.values()) else set()
        asked = len(self._asked) if self._live is not None else len(found)
        states |= {State.SKIPPED} if asked < len(self.view.tokens) else set()
        missing = next((p for p in self._asked if p not in found), None) if asked > len(found) else None
        return states if missing is None else states | {self._state_of(missing)}

    def _state_of(self, position: int) -> State:
        found = self.view.positions.get(position)
        if found is not None:
            return State.DOUBTFUL if found.is_doubtful else State.DONE
        live = self._live
        if live is None or position not in self._asked:
            return State.SKIPPED
        if not live.busy:
            return State.FAILED
        return State.MAKING if live.first_at is not None or live.handle is not None else State.WAITING

    def _show_card(self, position: int) -> None:
        self._shown_card = position
        if position in self.view.positions:
            self._card(card_html(self.view, position, self._look(position)))
        else:
            self._card(waiting_html(self.view, position, f"This token is {SPOKEN[self._state_of(position)]}."))

    def _redraw_card(self) -> None:
        if self._shown_card is not None and self._shown_card < len(self.view.tokens):
            self._show_card(self._shown_card)

    def _card(self, content: str) -> None:
        if content != self._card_drawn:
            self.card.set_content(content)
            self._card_drawn = content
