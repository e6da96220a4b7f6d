"""One dataset that is looked into: its documents and a search, statistics, and cutting it into token rows."""

import html
from collections.abc import Callable
from typing import Any

from nicegui import ui

from loupe.app.pages.activations_panel import ActivationsPanel
from loupe.app.pages.controls import SchemaForm, confirmed
from loupe.app.pages.dataset_statistics import statistics_html
from loupe.app.pages.library_html import facts_html
from loupe.app.pages.links import link
from loupe.app.pages.ongoing import Ongoing
from loupe.app.pages.refusals import REFUSALS, refusal_html
from loupe.app.pages.run_actions import visitor
from loupe.app.plain import plain
from loupe.app.services.catalogue import STARTER, Kind
from loupe.app.services.dataset_request import TokenisationRequest
from loupe.app.workspace import Workspace
from loupe.storage.repos.datasets import DatasetRecord, TokenisationRecord

SHOWN = 10
LONGEST = 700  # characters of a document that are shown
CUT = ("mode", "max_tokens", "overlap", "min_tokens", "bos", "separator", "documents")
OVERLAP = 2  # TokenFlag.OVERLAP of engine/data/rows.py, which would bring in torch
FORGET = """(e) => {
  const t = e.target.closest('button[data-id]');
  if (t) emit(t.dataset.id);
}"""


class DatasetView:
    """`on_change()` is called when token rows were made or deleted."""

    def __init__(self, workspace: Workspace, record: DatasetRecord, on_change: Callable[[], Any]) -> None:
        self.workspace = workspace
        self.record = record
        self.on_change = on_change
        self.activations = ActivationsPanel(workspace)
        self.start = 0
        self.search = ""
        self.next: int | None = None

    async def build(self) -> None:
        """Lay it out."""
        with (
            ui.element("section").classes("panel").props("data-testid=dataset"),
            ui.element("div").classes("body stack"),
        ):
            name = f"<bdi>{html.escape(plain(self.record.name, 100))}</bdi>"
            ui.html(name, tag="h2", sanitize=False).props("data-testid=dataset-title")
            facts = statistics_html(self.record.statistics or {})
            ui.html(facts, sanitize=False).props("data-testid=dataset-statistics")
            ui.html(facts_html(origin_of(self.record)), sanitize=False).props("data-testid=dataset-origin")
            self._cutting()
            self.rows = ui.html("", sanitize=False).props("data-testid=token-rows").classes("scroll")
            self.rows.on("click", self._forget, js_handler=FORGET)
            self.activations.build()
            self._browser()
        await self._show_rows()
        await self._look()

    # Token rows.

    def _cutting(self) -> None:
        models = {e.id: plain(e.id, 40) for e in self.workspace.catalogue.entries() if e.kind is Kind.MODEL}
        with ui.expansion("Cut into token rows", value=True).props("data-testid=tokenise"):
            with ui.element("div").classes("train-form"):
                self.model = ui.select(models, value=next(iter(models), STARTER), label="For the model")
                self.model.props("outlined dense options-dense data-testid=cut-model")
                self.form = SchemaForm(TokenisationRequest, CUT, prefix="cut-", ranges=True)
            self.shown = ui.html("", sanitize=False).props("role=status data-testid=token-preview")
            with ui.element("div").classes("actions"):
                cut = ui.button("Tokenise", on_click=self._cut, color=None).classes("go")
                cut.props("unelevated no-caps data-testid=cut-go")
                look = ui.button("Preview", on_click=self._preview, color=None).classes("quiet")
                look.props("flat no-caps data-testid=cut-preview")
            Ongoing(self.workspace, "tokenisation", self._changed, self._is_mine).build()

    def _asked(self) -> TokenisationRequest:
        return TokenisationRequest.model_validate({"model": self.model.value, **self.form.values()})

    async def _preview(self) -> None:
        try:
            rows = await self.workspace.datasets.preview_tokens(self.record.id, self._asked())
            self.shown.set_content(tokens_html(rows))
        except REFUSALS as error:
            self.shown.set_content(refusal_html(error, "cut-problem"))

    async def _cut(self) -> None:
        try:
            live = await self.workspace.datasets.tokenise(self.record.id, self._asked(), author=visitor())
        except REFUSALS as error:
            self.shown.set_content(refusal_html(error, "cut-problem"))
            return
        self.shown.set_content("")
        record = await self.workspace.jobs.wait(live.id)
        if record.state != "done":
            self._fail(html.escape(plain(record.error_message or f"It was {record.state}.", 600)))
        await self._changed()

    def _fail(self, markup: str) -> None:
        self.shown.set_content(f'<div class="look failed" role="alert" data-testid="cut-problem">{markup}</div>')

    async def _show_rows(self) -> None:
        found = await self.workspace.store.datasets.tokenisations(self.record.id)
        self.rows.set_content(rows_html(found))
        await self.activations.show(found)

    async def _forget(self, event: Any) -> None:
        if not await confirmed("Delete these token rows for good?", "Delete them", "Keep them"):
            return
        try:
            await self.workspace.datasets.delete_tokenisation(str(event.args))
        except REFUSALS as error:
            self.shown.set_content(refusal_html(error, "cut-problem"))
        await self._changed()

    def _is_mine(self, request: dict[str, Any]) -> bool:
        return request["dataset_id"] == self.record.id

    async def _changed(self) -> None:
        await self._show_rows()
        await self.on_change()

    # Documents.

    def _browser(self) -> None:
        with ui.element("div").classes("tools"):
            field = ui.input(placeholder="Search in the documents").props(
                "outlined dense clearable debounce=250 type=search"
            )
            field.props('aria-label="Search in the documents" data-testid=documents-search').classes("grow")
            field.on_value_change(lambda e: self._ask((e.value or "")[:200]))
            self.more = ui.button("Further", on_click=self._further, color=None).classes("quiet")
            self.more.props("flat no-caps dense data-testid=documents-further")
        self.documents = ui.html("", sanitize=False).props("data-testid=documents")

    async def _ask(self, search: str) -> None:
        self.search, self.start = search, 0
        await self._look()

    async def _further(self) -> None:
        self.start = self.next or 0
        await self._look()

    async def _look(self) -> None:
        found = await self.workspace.datasets.documents(
            self.record.id, search=self.search, start=self.start, limit=SHOWN
        )
        self.next = found["next"]
        self.more.set_enabled(self.next is not None)
        self.documents.set_content(documents_html(found["documents"], self.search))


def origin_of(record: DatasetRecord) -> dict[str, object]:
    """Where a dataset came from, as far as that is known."""
    known = record.details
    names = ("repo", "commit", "config", "split", "licence", "file", "column")
    told = {name: known.get(name) for name in names}
    return {"source": record.source, **told, "by": record.author, "since": f"{record.created_at:%Y-%m-%d %H:%M} UTC"}


def documents_html(documents: list[dict[str, Any]], search: str) -> str:
    """Documents, each with its number; what was searched for is marked."""
    if not documents:
        return '<p class="soft" data-testid="documents-empty">No document contains this.</p>'
    rows = "".join(
        f'<li data-testid="document"><span class="num soft">{each["number"]:,}</span>'
        f'<p class="document">{_marked(str(each["text"]), search)}</p></li>'
        for each in documents
    )
    return f'<ol class="documents">{rows}</ol>'


def _marked(text: str, search: str) -> str:
    cut = text[:LONGEST] + ("…" if len(text) > LONGEST else "")
    place = cut.casefold().find(search.casefold()) if search else -1
    if place < 0:
        return html.escape(cut)
    end = place + len(search)
    return f"{html.escape(cut[:place])}<mark>{html.escape(cut[place:end])}</mark>{html.escape(cut[end:])}"


def rows_html(rows: tuple[TokenisationRecord, ...]) -> str:
    """The token rows of a dataset, each with the way to a training."""
    if not rows:
        return '<p class="soft" data-testid="token-rows-empty">No token rows yet.</p>'
    body = "".join(
        f'<tr data-testid="token-row"><td><bdi>{html.escape(plain(r.name, 60))}</bdi>'
        f"<details><summary>Statistics</summary>{statistics_html(r.statistics or {})}</details></td>"
        f'<td>{html.escape(plain(r.model, 40))}</td><td class="num">{r.rows:,}</td><td class="num">{r.tokens:,}</td>'
        f'<td><a href="{link("/training/new")}?tokens={r.id}" data-testid="train-on">Train on these</a></td>'
        f'<td><button class="plain" data-id="{r.id}" data-testid="token-rows-delete">Delete</button></td></tr>'
        for r in rows
    )
    heads = '<th>Token rows</th><th>Model</th><th class="num">rows</th><th class="num">tokens</th><th></th><th></th>'
    return f'<table class="plain-table cuts"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'


def tokens_html(rows: list[list[dict[str, Any]]]) -> str:
    """The first rows a document becomes, token by token."""
    lines = "".join(f'<div class="token-row">{"".join(_token(each) for each in row)}</div>' for row in rows[:6])
    more = f'<p class="soft small">{len(rows) - 6:,} more rows of this document</p>' if len(rows) > 6 else ""
    return f'<div data-testid="token-preview-rows">{lines}</div>{more}'


def _token(each: dict[str, Any]) -> str:
    look = " apart" if each["flags"] & OVERLAP else " special" if each["flags"] else ""
    return f'<span class="piece{look}">{html.escape(each["text"])}</span>'
