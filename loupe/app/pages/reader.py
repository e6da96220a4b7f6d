"""Strip and card together: one selection, hover to look, click to keep, keys to walk."""

import html
from typing import Any

from nicegui import ui

from loupe.app.pages import run_view
from loupe.app.pages.card import card_html, hint_html, waiting_html
from loupe.app.pages.numbers import seconds, show
from loupe.app.pages.run_view import RunView
from loupe.app.pages.strip import SPOKEN, State, TokenStrip
from loupe.app.services.live import LiveRun
from loupe.app.workspace import Workspace
from loupe.storage.rows import WorkState

EMPTY = RunView((), {})


class Reader:
    """The panel with the text, and the card beside it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.view = EMPTY
        self.locked: int | None = None
        self.hovered: int | None = None
        self.path = "/"
        self._live: LiveRun | None = None
        self._seen = 0
        self._card_drawn = ""
        self.problem = ui.html("", sanitize=False).props("role=alert data-testid=problem")
        self.problem.visible = False
        self.panel = ui.element("section").classes("panel").props('aria-label="Text" data-testid=run')
        with self.panel:
            self.header = ui.html("", sanitize=False).classes("body")
            self.strip = TokenStrip(self._hover, self.lock, self.release)
            ui.html(_legend_html(), sanitize=False)

    def place_card(self) -> None:
        """Make the card where the caller stands in the layout."""
        self.card = ui.html(hint_html(), sanitize=False)

    def show(self, view: RunView, *, title: str, kind: str, path: str, samples: list[dict[str, str]]) -> None:
        """Show a finished run."""
        self._live = None
        self.view, self.path = view, path
        self.header.set_content(_header_html(view, title, kind, path, samples))
        self._draw()

    def begin(self, position: int | None) -> None:
        """Lock the position a link names; without one, preview a telling one, so that the card is never empty."""
        if position is not None:
            self.lock(position)
        elif (start := self.view.best_start()) is not None:
            self._show_card(start)

    def show_problem(self, problem: dict[str, Any]) -> None:
        """Say what went wrong; it stays until something else is shown."""
        sentence = (problem.get("details") or {}).get("sentence", "")
        self.problem.set_content(
            f'<div class="problem"><b>{html.escape(sentence)}</b> {html.escape(problem["message"])}</div>'
        )
        self.problem.visible = True
        self.panel.visible = bool(self.view.tokens)

    def follow(self, live: LiveRun, *, path: str, samples: list[dict[str, str]]) -> None:
        """Begin to show a run that is being made."""
        self._live, self._seen, self.path = live, 0, path
        self.locked = self.hovered = None
        self.view = EMPTY
        self._samples = samples
        self.problem.visible = False
        self.panel.visible = True
        self._card_drawn = ""
        self.card.set_content('<div class="hint">The first explanation appears here as soon as it is made.</div>')
        self.update(live)

    def update(self, live: LiveRun) -> None:
        """Bring the page up to what the run has by now; only what is new is read."""
        rows = self.workspace.analyses.rows(live)
        if live.tokens and not self.view.tokens:
            self.view = RunView(tuple(run_view.chip(token) for token in live.tokens), {})
        if len(rows) > self._seen:
            fresh = {p.position: p for p in map(run_view.position, rows[self._seen :])}
            self.view = RunView(self.view.tokens, {**self.view.positions, **fresh}, self.view.metadata)
            self._seen = len(rows)
            if self.locked is None and self.hovered is None:
                self._show_card(next(iter(fresh)))
        if live.result is not None and not self.view.metadata:
            self.view = run_view.read(live.result)
        self.header.set_content(_live_header_html(live, self.view, self.path, self._samples))
        if live.error:
            self.show_problem(live.error)
        self._draw()
        if self.locked is not None:
            self._show_card(self.locked)

    def lock(self, position: int | None) -> None:
        """Keep a token; choosing the kept one again lets it go."""
        if position is None or position == self.locked or not 0 <= position < len(self.view.tokens):
            self.release()
            return
        self.locked = position
        self._draw()
        self._show_card(position)
        self._note(position)

    def release(self) -> None:
        """Let the kept token go."""
        if self.locked is None:
            return
        self.locked = None
        self._draw()
        if self.hovered is not None:
            self._show_card(self.hovered)
        self._note(None)

    def _hover(self, position: int | None) -> None:
        self.hovered = position
        if self.locked is None and position is not None and position < len(self.view.tokens):
            self._show_card(position)

    def _note(self, position: int | None) -> None:
        suffix = "" if position is None else f"?position={position}"
        ui.navigate.history.replace(self.path + suffix)

    def _draw(self) -> None:
        self.strip.show(self.view, self._state_of, self.locked)

    def _state_of(self, position: int) -> State:
        found = self.view.positions.get(position)
        if found is not None:
            return State.DOUBTFUL if found.is_doubtful else State.DONE
        live = self._live
        if live is None or position not in live.positions or live.state in (WorkState.CANCELLED, WorkState.FAILED):
            return State.SKIPPED
        return State.MAKING if live.first_at is not None or live.handle is not None else State.WAITING

    def _show_card(self, position: int) -> None:
        if position in self.view.positions:
            content = card_html(self.view, position, locked=position == self.locked)
        else:
            content = waiting_html(self.view, position, f"This token is {SPOKEN[self._state_of(position)]}.")
        if content != self._card_drawn:
            self.card.set_content(content)
            self._card_drawn = content


def _header_html(view: RunView, title: str, kind: str, path: str, samples: list[dict[str, str]]) -> str:
    facts = [f"<b>{len(view.tokens)}</b> tokens"]
    if (mean := view.mean("fve_nrm")) is not None:
        facts.append(
            f'<span title="Mean fve_nrm over {len(view.reliable)} reliable positions">'
            f"recovered from the words on average <b>{show(mean)}</b></span>"
        )
    if (kl := view.mean("kl")) is not None:
        facts.append(f'<span title="Mean KL over reliable positions">KL <b>{show(kl)}</b> nats</span>')
    if (left_out := len(view.positions) - len(view.reliable)) > 0:
        facts.append(f"<b>{left_out}</b> unreliable left out")
    if (layer := view.metadata.get("layer")) is not None:
        facts.append(f"output of block <b>{layer}</b>")
    warnings = "".join(_warning(w) for w in view.metadata.get("warnings") or ())
    said = {"sample": "Sample run stored with the starter", "saved": "Saved run"}[kind]
    return _header(said, title, facts, path, samples) + warnings


def _warning(warning: dict[str, Any]) -> str:
    return f'<div class="warning"><b>Check this pair.</b> {html.escape(str(warning.get("message", "")))}</div>'


def _live_header_html(live: LiveRun, view: RunView, path: str, samples: list[dict[str, str]]) -> str:
    if live.state is WorkState.DONE and view.metadata:
        return _header_html(view, "Your text", "saved", path, samples)
    facts = [f"<b>{live.done}</b> of <b>{live.total}</b> explained"] if live.total else [html.escape(live.stage)]
    if (left := live.seconds_left) is not None:
        facts.append(f"about <b>{seconds(left)}</b> left")
    said = {
        WorkState.CANCELLED: "Cancelled; what was finished stays here until the server stops",
        WorkState.FAILED: "Failed",
    }.get(live.state, "Live")
    return _header(said, "Your text", facts, path, samples)


def _header(said: str, title: str, facts: list[str], path: str, samples: list[dict[str, str]]) -> str:
    links = "".join(
        f'<a class="pick" href="/samples/{html.escape(s["id"], quote=True)}" data-testid="sample" '
        f'aria-current="{"true" if path == "/samples/" + s["id"] else "false"}">{html.escape(s["title"])}</a>'
        for s in samples
    )
    picks = f'<nav class="runs" aria-label="Sample runs">{links}</nav>' if links else ""
    link = f'<a href="{html.escape(path, quote=True)}" data-testid="permalink">permalink</a>'
    told = "".join(f"<span>{fact}</span>" for fact in facts)
    return (
        f'{picks}<div class="overline" data-testid="run-kind">{html.escape(said)}</div>'
        f'<div class="titled"><h2 data-testid="run-title">{html.escape(title)}</h2>'
        f'<div class="facts num" data-testid="facts">{told}<span>{link}</span></div></div>'
    )


def _legend_html() -> str:
    cells = "".join(f'<i class="n{i}"></i>' for i in (8, 6, 4, 2)) + "<i></i>"
    cells += "".join(f'<i class="p{i}"></i>' for i in (2, 4, 6, 8))
    return (
        '<div class="legend" data-testid="legend"><span class="ramp" title="fve_nrm: share of the activation that its '
        'explanation lets the reconstructor recover">recovered (fve_nrm) −1 '
        f'<span class="cells" aria-hidden="true">{cells}</span> 1</span>'
        '<span><span class="tok done">explained</span></span><span><span class="tok doubtful">doubtful</span></span>'
        '<span><span class="tok waiting">waiting</span></span>'
        '<span class="keys"><kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd> walk · <kbd>Esc</kbd> let go</span>'
        "</div>"
    )
