"""The analysis page: a question, its answer token by token, and the card that tells how far to trust it.

`/` shows the first sample, `/samples/ID` another, `/runs/ID` a saved or running analysis; `?position=N` locks a token,
`?reply=1` begins with a reply of the model, `?like=ID` fills the box with the question of a kept run.
"""

import contextlib
from typing import Any

from fastapi import FastAPI
from nicegui import ui

from loupe.app.errors import AppError
from loupe.app.pages import run_view
from loupe.app.pages.analyse_box import AnalyseBox
from loupe.app.pages.export_menu import export_menu
from loupe.app.pages.frame import Problem, frame, told
from loupe.app.pages.links import address
from loupe.app.pages.page import PATIENCE_S, page, workspace_of
from loupe.app.pages.reader import Reader
from loupe.app.pages.run_actions import repeat, visitor
from loupe.app.pages.states import Way
from loupe.app.services.live import LiveRun
from loupe.app.services.options import AnalysisOptions
from loupe.app.services.runs import SAMPLE
from loupe.app.workspace import Workspace
from loupe.engine.errors import LoupeError
from loupe.storage.errors import StorageError

WAYS_ON = (
    Way("History", "/history", "every run that was kept"),
    Way("Analysis", "/", "a sample, or a text of one's own"),
)
LARGE = 300  # tokens from which the run is sent after the page, so that the page itself stays small


def register(api: FastAPI) -> None:
    """Add the pages."""

    @page(api, "/")
    async def first(position: int | None = None, reply: bool = False, like: str = "") -> None:
        await AnalysisPage(workspace_of(api)).build(position=position, reply=reply, like=like)

    @page(api, "/samples/{id}")
    async def sample(id: str, position: int | None = None) -> None:
        await AnalysisPage(workspace_of(api)).build(sample=id, position=position)

    @page(api, "/runs/{id}")
    async def run(id: str, position: int | None = None) -> None:
        await AnalysisPage(workspace_of(api)).build(run=id, position=position)


class AnalysisPage:
    """One open page. Holds which run is shown; everything else lives in the services."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.samples = workspace.runs.samples()
        self._problem: Problem
        self._live: LiveRun | None = None
        self._stop_following = lambda: None

    async def build(
        self, *, sample: str = "", run: str = "", position: int | None = None, reply: bool = False, like: str = ""
    ) -> None:
        """Lay the page out and show what was asked for."""
        turn = self.workspace.turnstile.passed  # a page of this size keeps the loop for too long at once
        with frame(self.workspace, "analysis", layout="split") as self._problem:
            with ui.element("div").classes("left"):
                self._lede()
                await turn()
                self.box = AnalyseBox(self.workspace, self._start, self._preview, self._edited)
                await turn()
                self.reader = Reader(self.workspace, self.box.asked.choose, self.box.start)
            with ui.element("div").classes("right-holder"):
                self._divider()
                with ui.element("aside").classes("right panel").props('aria-label="Explanation" data-testid=card'):
                    self.reader.place_card()
            ui.context.client.on_delete(lambda: self._stop_following())
            self.box.asked.wants_reply.value = reply
            try:
                await turn()
                await self._open(sample, run, position)
                if like:
                    self.box.fill((await self.workspace.runs.get(like)).request)
            except (AppError, LoupeError, StorageError) as error:
                self.reader.show_problem(told(error), WAYS_ON)

    def _divider(self) -> None:
        line = ui.element("div").classes("divider").props("role=separator aria-orientation=vertical tabindex=0")
        line.props('aria-label="Width of the explanation" aria-valuenow=33 data-testid=divider')
        line.on("pointerdown", js_handler="(e) => loupe.divider.down(e)")
        line.on("keydown", js_handler="(e) => loupe.divider.key(e)")

    def _lede(self) -> None:
        with ui.element("div"):
            ui.html("What does the model hold in mind at each word?", tag="h1").classes("lede")
            ui.html(
                "Every token's activation put into words, and how much of it the words bring back.", tag="p"
            ).classes("lede-sub")

    async def _open(self, sample: str, run: str, position: int | None) -> None:
        if run:
            await self._open_run(run, position)
            return
        chosen = sample or (self.samples[0]["id"] if self.samples else "")
        if not chosen:
            self._say_empty()
            return
        view = run_view.read(await self.workspace.runs.sample(chosen))
        title = next((s["title"] for s in self.samples if s["id"] == chosen), chosen)
        self.box.asked.stand_for({"text": "".join(token.text for token in view.tokens)})
        await self._show(view, title, "sample", f"/samples/{chosen}", position)
        self._place_actions(f"{SAMPLE}{chosen}")

    async def _open_run(self, id: str, position: int | None) -> None:
        live = next((live for live in self.workspace.analyses.live if live.id == id), None)
        if live is not None and (live.busy or live.result is None):
            self.box.fill(live.options.model_dump(mode="json", exclude_defaults=True))
            await self._sent_first(len(live.tokens))
            self._follow(live)
            return
        record = await self.workspace.runs.get(id)
        self.box.fill(record.request)
        if record.artefact_id is None:
            said = record.error_message or f"This run is {record.state} and has no result. Ask again to make it anew."
            told_so = {"message": said, "details": {"sentence": f"Run {record.state}."}}
            self.reader.show_problem(told_so, WAYS_ON)
            return
        view = run_view.read(await self.workspace.analyses.result(id))
        await self._show(view, record.name, "saved", f"/runs/{id}", position)
        self._place_actions(id)

    async def _show(self, view: run_view.RunView, title: str, kind: str, path: str, position: int | None) -> None:
        await self._sent_first(len(view.tokens))
        self.reader.show(view, title=title, kind=kind, path=path, samples=self.samples)
        self.reader.begin(position)

    async def _sent_first(self, tokens: int) -> None:
        if tokens > LARGE:
            with contextlib.suppress(TimeoutError):  # a program that only fetched the page
                await ui.context.client.connected(timeout=PATIENCE_S)

    def _say_empty(self) -> None:
        self.reader.show_empty(
            "No model to read yet",
            "The starter model is not in this installation. Build it with `loupe starter build`, or add a model "
            "and its NLA pair to the library.",
            [Way("Library", "/library", "add a model from a folder or the hub")],
        )

    def _place_actions(self, id: str) -> None:
        self.reader.actions.clear()
        with self.reader.actions:
            if not id.startswith(SAMPLE):
                again = ui.button("Repeat", icon="replay", color=None).classes("quiet")
                again.props("flat no-caps dense data-testid=repeat")
                again.tooltip("Ask the same again and report differences").on_click(lambda: self._repeat(id))
            other = ui.button("Compare", icon="compare_arrows", color=None).classes("quiet")
            other.props("flat no-caps dense data-testid=compare").tooltip("Choose another run to lay beside this one")
            other.on_click(lambda: ui.navigate.to(f"/history?compare={id}"))
            export_menu(self.workspace, id)

    async def _repeat(self, id: str) -> None:
        ui.navigate.to(await repeat(self.workspace, id))

    def _edited(self, changed: list[str]) -> None:
        if not hasattr(self, "reader") or (self._live is not None and self._live.busy):
            return
        self.reader.mark_stale(changed)
        if self.reader.chosen and not self.box.asked.chosen:
            self.reader.drop_range()

    async def _preview(self, options: dict[str, Any]) -> None:
        shown = await self.workspace.analyses.preview(AnalysisOptions.model_validate(options))
        self._stop_following()
        self.reader.show_tokens(shown, "/")

    async def _start(self, options: dict[str, Any]) -> None:
        asked = AnalysisOptions.model_validate(options)
        live = await self.workspace.analyses.start(asked, author=visitor())
        ui.navigate.history.push(address(f"/runs/{live.id}"))
        self._follow(live)

    def _follow(self, live: LiveRun) -> None:
        """Show a run while it grows; the page keeps its own cursor, so a reload simply starts from 0."""
        self._stop_following()
        self._live = live
        self.reader.actions.clear()
        self.reader.follow(live, path=f"/runs/{live.id}", samples=self.samples)
        self.box.follow(live)
        client = ui.context.client

        def changed(_: object) -> None:
            if client.is_deleted:
                return
            self.reader.update(live)
            self.box.update(live)
            if not live.busy:
                self._stop_following()
                if live.result is not None:
                    self._place_actions(live.id)

        self._stop_following = self.workspace.analyses.subscribe(live.id, changed)
