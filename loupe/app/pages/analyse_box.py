"""The box in which one asks: the question, the buttons, and how the answer comes along."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui
from pydantic import ValidationError

from loupe.app.errors import AppError
from loupe.app.pages.frame import problem_html, told
from loupe.app.pages.numbers import seconds
from loupe.app.pages.progress import ended_html, progress_html, reply_html
from loupe.app.pages.question import QuestionForm
from loupe.app.pages.run_actions import cancel
from loupe.app.services.live import LiveRun
from loupe.app.workspace import Workspace
from loupe.engine.errors import LoupeError
from loupe.storage.errors import StorageError

NAMES = {"text": "the text", "messages": "the chat", "prefill": "the begun answer", "best_of": "rollouts"}
HOW_TO_CHOOSE = '<span class="soft">Drag over tokens below, or click one and Shift-click another.</span>'


class AnalyseBox:
    """The question: `on_start(options)` asks it, `on_preview(options)` cuts it, `on_edit(changed)` follows it."""

    def __init__(
        self,
        workspace: Workspace,
        on_start: Callable[[dict[str, Any]], Awaitable[None]],
        on_preview: Callable[[dict[str, Any]], Awaitable[None]],
        on_edit: Callable[[list[str]], None] = lambda _: None,
    ) -> None:
        self.workspace = workspace
        self._on_start, self._on_preview, self._on_edit = on_start, on_preview, on_edit
        self._live: LiveRun | None = None
        self._answered: dict[str, Any] | None = None
        self.asked = QuestionForm(workspace, self._edited, self.start, self._offer_range)
        panel = ui.element("section").classes("panel box").props('aria-label="Ask" data-testid=ask')
        with panel, ui.element("div").classes("body stack"):
            self.asked.place_input()
            with ui.element("div").classes("actions"):
                self._place_buttons()
                with ui.element("div").classes("choices"):
                    self.asked.place_choices()
            self.reply = ui.html("", sanitize=False).props("data-testid=reply-text")
            self.progress = ui.html("", sanitize=False).props("data-testid=progress")
            self.said = ui.html("", sanitize=False).props("role=status aria-live=polite data-testid=said")
            self.problem = ui.html("", sanitize=False).props("role=alert data-testid=box-problem")

    def _place_buttons(self) -> None:
        self.go = ui.button("Explain every token", on_click=self.start, color=None).classes("go")
        self.go.props("unelevated no-caps data-testid=explain data-key=e")
        self.stop = ui.button("Cancel", on_click=self._cancel, color=None).classes("quiet")
        self.stop.props("flat no-caps data-testid=cancel").visible = False
        self.asked.place_options()
        self.cost = ui.html("", sanitize=False).classes("soft num small").props("data-testid=estimate")

    def fill(self, request: Mapping[str, Any]) -> None:
        """Show the question that a kept run answered, so that it can be changed and asked again."""
        self.asked.fill(request)
        self._answered = self.asked.options()
        self._edited()

    # what is done

    async def start(self) -> None:
        """Ask."""
        if self._live is None or not self._live.busy:
            await self._try(self._on_start)

    async def _try(self, act: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.problem.set_content("")
        try:
            await act(self.asked.options())
        except (AppError, LoupeError, StorageError, ValidationError) as error:
            self._tell(told(error))

    async def _offer_range(self) -> None:
        if self._shows_question():
            self.said.set_content(HOW_TO_CHOOSE)
        else:
            await self._try(self._on_preview)

    def _shows_question(self) -> bool:
        """Whether the tokens below are those of the question as it stands."""
        if self.asked.is_empty:
            return self.asked.stands_for_a_run
        shown = self._answered or {}
        return all(shown.get(name) == value for name, value in self.asked.question().items())

    async def _cancel(self) -> None:
        if self._live is None or not self._live.busy:
            return
        self.stop.disable()
        try:
            await cancel(self.workspace, self._live.id)
        finally:
            self.stop.enable()

    # how it goes

    def follow(self, live: LiveRun) -> None:
        """Show this run's progress from now on."""
        self._live = live
        self.problem.set_content("")
        self._answered = self.asked.options()
        self.said.set_content('<span class="sr">Started.</span>')
        self.update(live)

    def update(self, live: LiveRun) -> None:
        """Progress, time left, the reply as it is written, and which buttons make sense."""
        self.go.set_enabled(not live.busy)
        self.stop.visible = live.busy
        self.stop.enable()
        writing = live.busy and live.options.reply is not None and not live.tokens
        stopped = bool(live.reply) and not live.tokens and not live.busy
        self.reply.set_content(reply_html(live.reply, writing=writing) if writing or stopped else "")
        if live.busy:
            self.progress.set_content(progress_html(live, self.workspace.analyses.ahead_of(live)))
            return
        self.progress.set_content("")
        self.said.set_content(ended_html(live))
        self._edited()

    def _tell(self, problem: dict[str, Any]) -> None:
        self.problem.set_content(f'<div class="look failed">{problem_html(problem)}</div>')

    def _edited(self) -> None:
        asked = self.asked.options()
        self.go.set_text(self.asked.label())
        known = self.workspace.analyses.seconds_per_position(asked.get("best_of", 1))
        cost = None if known is None else known * self.asked.expected_positions()
        self.cost.set_content("" if cost is None else f"takes about {seconds(cost)}")
        is_busy = self._live is not None and self._live.busy
        self._on_edit([] if is_busy else self._changed(asked))

    def _changed(self, asked: dict[str, Any]) -> list[str]:
        """What is asked differently from what the run below answered."""
        if self._answered is None:
            return []
        before = self._answered
        names = [name for name in {**before, **asked} if before.get(name) != asked.get(name)]
        return [NAMES.get(name, name.replace("_", " ")) for name in names if name != "positions"]
