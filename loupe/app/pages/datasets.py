"""`/training/datasets`: texts to train on. Make them, look into them, cut them into token rows, delete with undo."""

import html
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi import Query as Asked
from nicegui import ui

from loupe.app.pages.dataset_hub_form import HubForm
from loupe.app.pages.dataset_view import DatasetView
from loupe.app.pages.frame import Problem, frame
from loupe.app.pages.links import address, link
from loupe.app.pages.ongoing import Ongoing
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.refusals import REFUSALS, refusal_html
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.upload_button import upload_button
from loupe.app.plain import file_label, plain
from loupe.app.services.dataset_request import DatasetRequest
from loupe.app.services.live_job import LiveJob
from loupe.app.workspace import Workspace
from loupe.storage.errors import NotFound
from loupe.storage.repos.datasets import DatasetRecord, TokenisationRecord

LIMIT = 100
SPLITS = {"blank_line": "Blank lines separate documents", "line": "Every line is a document", "file": "One document"}
ACT = """(e) => {
  const t = e.target.closest('button[data-act]');
  if (t) emit({ act: t.dataset.act, id: t.dataset.id });
}"""


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/training/datasets")
    async def datasets(open: Annotated[str, Asked(max_length=64)] = "") -> None:
        workspace = workspace_of(api)
        with frame(workspace, "training", "Datasets") as problem:
            await DatasetsPage(workspace, problem).build(open)


class DatasetsPage:
    """One open page: the list, the form, and the dataset that is looked into."""

    def __init__(self, workspace: Workspace, problem: Problem) -> None:
        self.workspace = workspace
        self.problem = problem

    async def build(self, opened: str) -> None:
        """Lay the page out."""
        crumbs = f'<a href="{link("/training")}">Trainings</a><a href="{link("/training/new")}">New training</a>'
        ui.html(crumbs, sanitize=False).classes("crumbs")
        ui.html("Datasets", tag="h1", sanitize=False).classes("lede")
        self.said = (
            ui.element("div").classes("said-bar").props("role=status aria-live=polite data-testid=datasets-said")
        )
        self.list = ui.html("", sanitize=False).classes("panel scroll")
        self.list.on("click", self._act, js_handler=ACT)
        self.place = ui.element("div").classes("stack")
        self._form()
        HubForm(self.workspace, self._arrived).build()
        await self.show()
        if opened:
            await self._open(opened)

    async def show(self) -> None:
        """Read the datasets and draw them."""
        found = await self.workspace.store.datasets.list(limit=LIMIT)
        rows: dict[str, list[TokenisationRecord]] = {}
        for each in await self.workspace.store.datasets.tokenisations():
            rows.setdefault(each.dataset_id, []).append(each)
        self.list.set_content(list_html(found.items, rows))

    async def _act(self, event: Any) -> None:
        act, id = str(event.args["act"]), str(event.args["id"])
        if act == "open":
            await self._open(id)
        elif act == "delete":
            await self._delete(id)

    async def _open(self, id: str) -> None:
        self.place.clear()
        try:
            record = await self.workspace.store.datasets.get(id)
        except NotFound as error:
            self.problem.show(error)
            return
        ui.navigate.history.replace(address(f"/training/datasets?open={id}"))
        with self.place:
            await DatasetView(self.workspace, record, self.show).build()

    async def _delete(self, id: str) -> None:
        record = await self.workspace.datasets.delete(id)
        self.place.clear()

        async def undo() -> None:
            await self.workspace.datasets.restore(id)
            self._say(f"<bdi>{html.escape(plain(record.name, 80))}</bdi> is back.")
            await self.show()

        self._say(f"<bdi>{html.escape(plain(record.name, 80))}</bdi> is deleted.", undo)
        await self.show()

    def _say(self, markup: str, undo: Callable[[], Any] | None = None) -> None:
        self.said.clear()
        with self.said:
            ui.html(markup, sanitize=False)
            if undo:
                button = ui.button("Undo", on_click=undo, color=None).classes("quiet")
                button.props("flat no-caps dense data-testid=dataset-undo")

    async def _arrived(self, id: str) -> None:
        await self.show()
        await self._open(id)

    # Making one.

    def _form(self) -> None:
        with ui.element("section").classes("panel"), ui.element("div").classes("body stack"):
            ui.html("Make a dataset", tag="h2", sanitize=False)
            with ui.element("div").classes("train-form"):
                self.name = ui.input("Name").props("outlined dense maxlength=200 data-testid=dataset-name")
                self.split = ui.select(SPLITS, value="blank_line", label="Documents in plain text")
                self.split.props("outlined dense options-dense data-testid=dataset-split")
                self.column = ui.input("Column (of tables; optional)").props(
                    "outlined dense data-testid=dataset-column"
                )
            self.text = ui.textarea("Text").props("outlined autogrow data-testid=dataset-text")
            self.text.props('input-style="max-height: 18rem"')
            self.shown = ui.html("", sanitize=False).props("role=status")
            with ui.element("div").classes("actions"):
                make = ui.button("Make it from this text", on_click=self._paste, color=None).classes("go")
                make.props("unelevated no-caps data-testid=dataset-make")
                title = "txt, jsonl, json, csv, tsv or parquet; a large one goes on after a break"
                upload_button("Or from a file", "dataset", title=title, arrived=self._take, refused=self._fail)
            Ongoing(self.workspace, "dataset", self.show).build()

    def _asked(self, **more: Any) -> DatasetRequest:
        wanted = {"name": self.name.value or "", "split": self.split.value, "column": self.column.value or None}
        return DatasetRequest.model_validate(wanted | more)

    async def _paste(self) -> None:
        async def make() -> LiveJob:
            return await self.workspace.datasets.create(self._asked(text=self.text.value or ""), author=visitor())

        await self._make(make)

    async def _take(self, upload: str, file: str) -> None:
        async def make() -> LiveJob:
            asked = self._asked(name=self.name.value or file_label(file), upload=upload)
            return await self.workspace.datasets.create(asked, author=visitor())

        await self._make(make)

    async def _make(self, begin: Callable[[], Any]) -> None:
        """Begin, wait for the job, and open what was made; what is wrong is said at the form."""
        self.shown.set_content("")
        try:
            live = await begin()
        except REFUSALS as error:
            self.shown.set_content(refusal_html(error, "dataset-problem"))
            return
        record = await self.workspace.jobs.wait(live.id)
        if record.state != "done":
            self._fail(record.error_message or f"It was {record.state}.")
            return
        self.shown.set_content("")
        self.name.set_value("")
        self.text.set_value("")
        await self._arrived(live.result["dataset"])

    def _fail(self, sentence: str) -> None:
        said = html.escape(plain(sentence, 600))
        self.shown.set_content(f'<div class="look failed" role="alert" data-testid="dataset-problem">{said}</div>')


def list_html(records: Any, rows: dict[str, list[TokenisationRecord]]) -> str:
    """The datasets as one table."""
    if not records:
        return (
            '<p class="pad soft" data-testid="datasets-empty">No dataset yet. Paste a text below, or take a file.</p>'
        )
    heads = '<th>Dataset</th><th>From</th><th class="num">Documents</th><th class="num">Characters</th>'
    body = "".join(_row(each, rows.get(each.id, [])) for each in records)
    head = f"<thead><tr>{heads}<th>Token rows</th><th></th></tr></thead>"
    return f'<table class="history stacks" data-testid="datasets">{head}<tbody>{body}</tbody></table>'


def _row(record: DatasetRecord, rows: list[TokenisationRecord]) -> str:
    name = html.escape(plain(record.name, 80))
    cut = "<br>".join(f"<bdi>{html.escape(plain(r.name, 50))}</bdi>, {r.rows:,} rows" for r in rows) or "none yet"
    acts = "".join(
        f'<button class="plain" data-act="{act}" data-id="{record.id}" data-testid="dataset-{act}"'
        f' aria-label="{label}: {html.escape(plain(record.name, 80), quote=True)}">{label}</button>'
        for act, label in (("open", "Open"), ("delete", "Delete"))
    )
    characters = f"{record.characters:,}" if record.characters else "–"
    return (
        f'<tr data-testid="dataset-row" data-id="{record.id}"><td class="name"><b><bdi>{name}</bdi></b></td>'
        f'<td data-label="From">{html.escape(record.source)}</td>'
        f'<td class="num" data-label="Documents">{record.documents:,}</td>'
        f'<td class="num" data-label="Characters">{characters}</td><td data-label="Token rows">{cut}</td>'
        f'<td class="acts">{acts}</td></tr>'
    )
