"""The analysis page: a stored sample read token by token, and a box to read one's own text live.

`/` shows the first sample, `/samples/ID` another, `/runs/ID` a saved or running analysis; `?position=N` locks a token.
"""

from typing import Any

from fastapi import FastAPI, Request
from nicegui import ui

from loupe.app.errors import AppError, describe
from loupe.app.pages import run_view
from loupe.app.pages.analyse_box import AnalyseBox
from loupe.app.pages.frame import PATIENCE_S, frame, workspace_of
from loupe.app.pages.reader import Reader
from loupe.app.services.live import LiveRun
from loupe.app.workspace import Workspace
from loupe.engine.errors import LoupeError
from loupe.storage.errors import StorageError


def register(api: FastAPI) -> None:
    """Add the pages; they find the workspace where the server puts it."""

    @ui.page("/", response_timeout=PATIENCE_S)
    async def first(position: int | None = None) -> None:
        await AnalysisPage(workspace_of(api)).build(position=position)

    @ui.page("/samples/{id}", response_timeout=PATIENCE_S)
    async def sample(id: str, position: int | None = None) -> None:
        await AnalysisPage(workspace_of(api)).build(sample=id, position=position)

    @ui.page("/runs/{id}", response_timeout=PATIENCE_S)
    async def run(request: Request, id: str, position: int | None = None) -> None:
        await AnalysisPage(workspace_of(api)).build(run=id, position=position)


class AnalysisPage:
    """One open page. Holds which run is shown; everything else lives in the services."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.samples = workspace.runs.samples()
        self.shown = ""
        self._stop_following = lambda: None

    async def build(self, *, sample: str = "", run: str = "", position: int | None = None) -> None:
        """Lay the page out and show what was asked for."""
        with frame(self.workspace, "analysis", layout="split"):
            with ui.element("div").classes("left"):
                self._lede()
                self.box = AnalyseBox(self.workspace, on_start=self._start)
                self.reader = Reader(self.workspace)
            with ui.element("aside").classes("right panel").props('aria-label="Explanation" data-testid=card'):
                self.reader.place_card()
            ui.context.client.on_delete(lambda: self._stop_following())
            try:
                await self._open(sample, run, position)
            except (AppError, LoupeError, StorageError) as error:
                self.reader.show_problem(describe(error))

    def _lede(self) -> None:
        with ui.element("div"):
            ui.html("What does the model hold in mind at each word?", tag="h1").classes("lede")
            ui.html(
                "A verbalizer reads the activation at a token and says in words what is there. A reconstructor "
                "rebuilds the activation from those words alone, which shows how far they can be trusted.",
                tag="div",
            ).classes("lede-sub")

    async def _open(self, sample: str, run: str, position: int | None) -> None:
        if run:
            await self._open_run(run, position)
            return
        chosen = sample or (self.samples[0]["id"] if self.samples else "")
        if not chosen:
            self._say_empty()
            return
        result = await self.workspace.runs.sample(chosen)
        title = next(s["title"] for s in self.samples if s["id"] == chosen)
        self.shown = f"/samples/{chosen}"
        self.reader.show(run_view.read(result), title=title, kind="sample", path=self.shown, samples=self.samples)
        self.reader.begin(position)

    async def _open_run(self, id: str, position: int | None) -> None:
        live = next((live for live in self.workspace.analyses.live if live.id == id), None)
        if live is not None and (live.busy or live.result is None):
            self._follow(live)
            return
        record = await self.workspace.runs.get(id)
        if record.artefact_id is None:
            self._show_without_result(record.state, record.error_message)
            return
        result = await self.workspace.analyses.result(id)
        self.shown = f"/runs/{id}"
        self.reader.show(run_view.read(result), title=record.name, kind="saved", path=self.shown, samples=self.samples)
        self.reader.begin(position)

    def _show_without_result(self, state: str, message: str | None) -> None:
        told = message or f"This run is {state} and has no result. Its text can be analysed again."
        self.reader.show_problem({"message": told, "details": {"sentence": ""}})

    def _say_empty(self) -> None:
        self.reader.show_problem(
            {
                "message": "Build it with `loupe starter build`, or name a model and its NLA pair on the command line.",
                "details": {"sentence": "The starter model is not in this installation."},
            }
        )

    async def _start(self, options: dict[str, Any]) -> None:
        from loupe.app.services.options import AnalysisOptions

        live = await self.workspace.analyses.start(AnalysisOptions.model_validate(options))
        ui.navigate.history.push(f"/runs/{live.id}")
        self._follow(live)

    def _follow(self, live: LiveRun) -> None:
        """Show a run while it grows; the page keeps its own cursor, so a reload simply starts from 0."""
        self._stop_following()
        self.shown = f"/runs/{live.id}"
        self.reader.follow(live, path=self.shown, samples=self.samples)
        self.box.follow(live)
        client = ui.context.client

        def changed(_: object) -> None:
            if client.is_deleted:
                return
            self.reader.update(live)
            self.box.update(live)
            if not live.busy:
                self._stop_following()

        self._stop_following = self.workspace.analyses.subscribe(live.id, changed)
