"""The box for one's own text: what to ask, how it goes, and how to stop it."""

import html
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui
from pydantic import ValidationError

from loupe.app.errors import AppError, describe
from loupe.app.pages.numbers import seconds
from loupe.app.services.live import LiveRun
from loupe.app.workspace import Workspace
from loupe.engine.errors import LoupeError
from loupe.storage.errors import StorageError
from loupe.storage.rows import WorkState

EXAMPLE = "Once upon a time there was a small fox who had lost her lantern in the forest."


class AnalyseBox:
    """Text, options, progress, cancel."""

    def __init__(self, workspace: Workspace, on_start: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.workspace = workspace
        self._on_start = on_start
        self._live: LiveRun | None = None
        panel = ui.element("section").classes("panel box").props('aria-label="Analyse your own text"')
        with panel, ui.element("div").classes("body stack"):
            self._place_text()
            with ui.element("div").classes("actions"):
                self._place_buttons()
            self.progress = ui.html("", sanitize=False).props("data-testid=progress")
            self.said = ui.html("", sanitize=False).props("role=status aria-live=polite data-testid=said")
            self.problem = ui.html("", sanitize=False).props("role=alert data-testid=box-problem")

    def _place_text(self) -> None:
        limit = self.workspace.settings.max_text_chars
        self.text = ui.textarea(placeholder=EXAMPLE).props("outlined autogrow rows=2 data-testid=text")
        self.text.props(f'maxlength={limit} aria-label="Text to analyse" spellcheck=false')
        for keys in ("keydown.ctrl.enter", "keydown.meta.enter"):
            self.text.on(keys, self._start)

    def _place_buttons(self) -> None:
        self.go = ui.button("Explain every token", on_click=self._start, color=None).classes("go")
        self.go.props("unelevated no-caps data-testid=explain")
        self.stop = ui.button("Cancel", on_click=self._cancel, color=None).classes("quiet")
        self.stop.props("flat no-caps data-testid=cancel").visible = False
        options = ui.button("Options", icon="tune", color=None).classes("quiet")
        options.props("flat no-caps dense data-testid=options")
        menu = ui.menu().props('anchor="bottom left" self="top left"')
        menu.move(options)
        with menu, ui.element("div").classes("options"):
            self._place_options()

    def _place_options(self) -> None:
        most = self.workspace.settings.max_best_of
        self.best_of = ui.number("Rollouts per token", value=1, min=1, max=most, precision=0)
        self.best_of.props("dense outlined data-testid=best-of")
        self.best_of.tooltip("More than one: sampled at temperature 1, the best by reconstruction is shown.")
        self.seed = ui.number("Seed", value=0, min=0, precision=0).props("dense outlined data-testid=seed")
        units = {"line": "by line", "word": "by word", "none": "none"}
        self.salience = ui.select(units, value="line", label="Salience").props("dense outlined options-dense")
        self.salience.props("data-testid=salience")
        self.kl = ui.checkbox("KL with the reconstruction put back", value=True).props("dense data-testid=kl")

    async def _start(self) -> None:
        if self._live is not None and self._live.busy:
            return
        best_of = int(self.best_of.value or 1)
        options = {
            "text": (self.text.value or "").strip("\n") or EXAMPLE,
            "best_of": best_of,
            "temperature": 1.0 if best_of > 1 else 0.0,
            "seed": int(self.seed.value or 0),
            "kl": bool(self.kl.value),
            "salience": self.salience.value,
        }
        self.problem.set_content("")
        try:
            await self._on_start(options)
        except (AppError, LoupeError, StorageError) as error:
            self._tell(describe(error))
        except ValidationError as invalid:
            told = "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in invalid.errors())
            self._tell({"message": told, "details": {"sentence": "The options do not fit."}})

    async def _cancel(self) -> None:
        if self._live is not None and self._live.busy:
            self.stop.disable()
            await self.workspace.analyses.cancel(self._live.id)

    def follow(self, live: LiveRun) -> None:
        """Show this run's progress from now on."""
        self._live = live
        self.problem.set_content("")
        if not self.text.value:
            self.text.value = live.options.text or ""
        self.said.set_content('<span class="sr">Started.</span>')
        self.update(live)

    def update(self, live: LiveRun) -> None:
        """Progress, time left, and which buttons make sense."""
        self.go.set_enabled(not live.busy)
        self.stop.visible = live.busy
        self.stop.enable()
        if live.busy:
            self.progress.set_content(_progress_html(live, self.workspace.analyses.ahead_of(live)))
            return
        self.progress.set_content("")
        took = seconds((live.ended_at or live.created_at) - live.created_at)
        self.said.set_content(
            {
                WorkState.DONE: f'<span class="soft">Done in {took}. Saved; the link stays valid.</span>',
                WorkState.CANCELLED: '<span class="soft">Cancelled.</span>',
                WorkState.FAILED: '<span class="soft">Failed.</span>',
            }.get(live.state, "")
        )
        if live.error:
            self._tell(live.error)

    def _tell(self, problem: dict[str, Any]) -> None:
        sentence = (problem.get("details") or {}).get("sentence", "")
        self.problem.set_content(
            f'<div class="problem"><b>{html.escape(sentence)}</b> {html.escape(problem["message"])}</div>'
        )


def _progress_html(live: LiveRun, ahead: int) -> str:
    share = live.done / live.total * 100 if live.total else 0
    told = f"{live.done} of {live.total}" if live.total else html.escape(live.stage)
    if ahead:
        told += f" · {ahead} ahead in the queue"
    if (left := live.seconds_left) is not None:
        told += f" · about {seconds(left)} left"
    return (
        f'<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{share:.0f}" '
        f'aria-label="Analysis"><i style="width:{share:.1f}%"></i></div>'
        f'<div class="soft num small">{told}</div>'
    )
