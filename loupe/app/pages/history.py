"""`/history`: every run that was kept. Search as you type, filter, sort, compare, rename, delete with undo, restore,
import. What is shown is in the address, so that every list is a link.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi import Query as Asked
from nicegui import background_tasks, events, ui

from loupe.app.pages import run_actions
from loupe.app.pages.frame import Problem, frame
from loupe.app.pages.history_table import LIMIT, Query, table_html
from loupe.app.pages.links import address
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.refusals import REFUSALS
from loupe.app.pages.run_actions import named
from loupe.app.pages.states import Way, empty_html
from loupe.app.pages.upload_button import upload_button
from loupe.app.plain import plain
from loupe.app.services.runs import SAMPLE
from loupe.app.workspace import Workspace
from loupe.storage.errors import NotFound
from loupe.storage.records import Page
from loupe.storage.repos.run_queries import SORTABLE
from loupe.storage.repos.runs import RunRecord
from loupe.storage.rows import WorkState

Text = Annotated[str, Asked(max_length=200)]
ACT = """(e) => {
  const t = e.target.closest('[data-act]');
  if (t) emit({ act: t.dataset.act, id: t.dataset.id });
}"""


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/history")
    async def history(
        search: Text = "",
        model: Text = "",
        author: Text = "",
        state: Text = "",
        deleted: bool = False,
        sort_by: Annotated[str, Asked(alias="sortBy", max_length=40)] = "created_at",
        order: Text = "desc",
        page: int = 1,
        compare: Text = "",
        undo: Text = "",
    ) -> None:
        wanted = Query(
            search=search,
            model=model,
            author=author,
            state=state if state in set(WorkState) else "",
            deleted=deleted,
            sort_by=sort_by if sort_by in SORTABLE else "created_at",
            order=order if order in ("asc", "desc") else "desc",
            page=max(1, page),
            compare=compare,
        )
        workspace = workspace_of(api)
        with frame(workspace, "history", "History") as problem:
            await HistoryPage(workspace, wanted, problem).build(undo)


class HistoryPage:
    """One open page: what is asked for, and which runs are marked to be compared."""

    def __init__(self, workspace: Workspace, query: Query, problem: Problem) -> None:
        self.workspace = workspace
        self.query = query
        self.problem = problem
        self.chosen: list[str] = [query.compare] if query.compare else []
        self._asked = 0
        self._pages = 1

    async def build(self, undo: str) -> None:
        """Lay the page out and show the list."""
        with ui.element("div"):
            ui.html("History", tag="h1", sanitize=False).classes("lede")
            ui.html(
                "Every analysed text, kept with all that is needed to repeat it. Mark two to lay them side by side.",
                tag="p",
                sanitize=False,
            ).classes("lede-sub")
        self._tools(await self.workspace.runs.rows.choices())
        self.said = ui.element("div").classes("said-bar").props("role=status aria-live=polite data-testid=history-said")
        self.table = ui.html("", sanitize=False).classes("panel scroll")
        self.table.on("click", self._act, js_handler=ACT)
        self._pager()
        client = ui.context.client
        keys = ("runs", "queue")
        stops = [self.workspace.bridge.subscribe(key, lambda _: self._changed(client)) for key in keys]
        client.on_delete(lambda: [stop() for stop in stops])
        await self._show()
        if undo:
            await self._offer_undo(undo)
        elif self.chosen:
            await self._say_chosen()

    def _tools(self, choices: dict[str, dict[str, int]]) -> None:
        with ui.element("div").classes("tools"):
            field = ui.input(placeholder="Search names, texts and models", value=self.query.search)
            field.props('outlined dense clearable debounce=150 type=search aria-label="Search runs"')
            field.props("data-testid=history-search").classes("grow")
            field.on_value_change(lambda e: self._ask(search=(e.value or "")[:200]))
            for name in ("model", "author", "state"):
                self._filter(name, choices[name])
            bin_switch = ui.switch("Deleted", value=self.query.deleted).props("data-testid=history-deleted dense")
            bin_switch.on_value_change(lambda e: self._ask(deleted=bool(e.value)))
            self._import_button()

    def _filter(self, name: str, counts: dict[str, int]) -> None:
        known = {value: f"{plain(value, 40)} ({count})" for value, count in sorted(counts.items()) if value}
        chosen = getattr(self.query, name)
        if chosen and chosen not in known:
            known[chosen] = plain(chosen, 40)
        label = {"model": "Model", "author": "By", "state": "State"}[name]
        select = ui.select({"": f"{label}: all", **known}, value=chosen)
        select.props(f'outlined dense options-dense aria-label="{label}" data-testid=history-{name}')
        select.on_value_change(lambda e: self._ask(**{name: e.value or ""}))

    def _import_button(self) -> None:
        title = "JSON, JSONL, CSV, Parquet, or the older viewer's JSONL; a large one goes on after a break"
        with ui.element("div").classes("actions"):
            upload_button("Import", "import", title=title, arrived=self._take_in, refused=self._not_sent)

    def _pager(self) -> None:
        with ui.element("nav").classes("history-pager").props('aria-label="Pages"'):
            self.before = _flat("Previous", lambda: self._turn(-1), "page-before")
            self.where = ui.html("", sanitize=False).classes("num soft").props("data-testid=history-count")
            self.after = _flat("Next", lambda: self._turn(1), "page-after")

    async def _turn(self, by: int) -> None:
        await self._ask(page=min(max(1, self.query.page + by), self._pages))

    async def _ask(self, **changes: Any) -> None:
        self.query = replace(self.query, **({"page": 1} | changes))
        ui.navigate.history.replace(address(self.query.path))
        await self._show()

    def _changed(self, client: Any) -> None:
        """Something was kept, renamed or deleted, here or elsewhere."""
        if not client.is_deleted:
            background_tasks.create(self._show(), name="history", context=client)

    async def _show(self) -> None:
        """Draw the list; an answer that a later question overtook is dropped."""
        self._asked += 1
        mine = self._asked
        page = await self.workspace.runs.list(**self.query.filters)
        if mine != self._asked:
            return
        self._pages = max(1, -(-page.total // LIMIT))
        self.table.set_content(table_html(page, self.query, self.chosen) if page.items else self._nothing())
        self._count(page)

    def _count(self, page: Page[RunRecord]) -> None:
        first = (page.page - 1) * page.limit + 1
        last = first + len(page.items) - 1
        told = f"{first:,}–{last:,} of {page.total:,}" if page.items else "0 runs"
        self.where.set_content(told)
        self.before.visible = self.after.visible = page.total > page.limit
        self.before.set_enabled(page.page > 1)
        self.after.set_enabled(page.has_next)

    def _nothing(self) -> str:
        if self.query.deleted:
            days = self.workspace.runs.kept_days
            said = empty_html(
                "Nothing is deleted", f"A deleted run waits here for {days:g} days and can be brought back."
            )
        elif self.query.path != "/history":
            said = empty_html("No run fits", "Fewer words or other filters find more.", (Way("All runs", "/history"),))
        else:
            said = empty_html(
                "No run is kept yet",
                "Every text that you analyse is kept here with all that is needed to repeat it.",
                (Way("Analyse a text", "/"),),
            )
        return f'<div class="look empty" data-testid="state-empty">{said}</div>'

    async def _act(self, event: events.GenericEventArguments) -> None:
        asked = event.args if isinstance(event.args, dict) else {}
        act, id = str(asked.get("act")), str(asked.get("id"))
        if act == "sort" and id in SORTABLE:
            turned = self.query.sorted_by(id)
            await self._ask(sort_by=turned.sort_by, order=turned.order)
        elif act == "pick":
            await self._pick(id)
        elif act in ("rename", "delete", "purge", "restore"):
            await self._change(act, id)

    async def _change(self, act: str, id: str) -> None:
        runs = self.workspace.runs
        record = await runs.get(id)
        if act == "rename":
            await run_actions.rename(self.workspace, record)
        elif act == "restore":
            await runs.restore(id)
            self._say(f"{named(record.name)} is back.")
        elif await run_actions.delete(self.workspace, record, forever=act == "purge") and act == "delete":
            await self._offer_undo(id)
        await self._show()

    async def _offer_undo(self, id: str) -> None:
        try:
            record = await self.workspace.runs.get(id)
        except NotFound:
            return
        if record.deleted_at is None:
            return

        async def undo() -> None:
            await self.workspace.runs.restore(id)
            self._say(f"{named(record.name)} is back.")
            await self._show()

        self._say(f"{named(record.name)} is deleted.", ("Undo", undo, "undo"))

    async def _pick(self, id: str) -> None:
        if id in self.chosen:
            self.chosen.remove(id)
        else:
            self.chosen = [*self.chosen[-1:], id]
        if len(self.chosen) == 2:
            ui.navigate.to(f"/compare?a={self.chosen[0]}&b={self.chosen[1]}")
            return
        await self._say_chosen()
        await self._show()

    async def _say_chosen(self) -> None:
        if not self.chosen:
            self._say("")
            return
        id = self.chosen[0]
        name = id.removeprefix(SAMPLE) if id.startswith(SAMPLE) else (await self.workspace.runs.get(id)).name
        self._say(f"Choose a second run to compare with {named(name)}.", ("Never mind", self._unpick, "unpick"))

    async def _unpick(self) -> None:
        self.chosen = []
        self.query = replace(self.query, compare="")
        self._say("")
        await self._ask()

    def _say(self, markup: str, way: tuple[str, Callable[[], Any], str] | None = None) -> None:
        self.said.clear()
        with self.said:
            if markup:
                ui.html(markup, sanitize=False)
            if way:
                label, act, mark = way
                _flat(label, act, mark)

    async def _take_in(self, upload: str, file: str) -> None:
        """Have a job take in the runs of an upload, and say how that ended; the job goes on without this page."""
        client = ui.context.client
        self.problem.clear()
        self._say(f"Reading {named(file)} …")
        try:
            live = await self.workspace.run_uploads.start(upload, author=run_actions.visitor())
        except REFUSALS as error:
            self._say("")
            self.problem.show(error)
            return
        record = await self.workspace.jobs.wait(live.id)
        if client.is_deleted:
            return
        if live.result is None:
            error = live.error or {"code": "cancelled", "message": f"The import is {record.state}.", "details": {}}
            self.problem.show(error)
            self._say(wrong_lines_html(error["details"].get("lines", ())))
        elif len(live.result["runs"]) == 1:
            ui.navigate.to(f"/runs/{live.result['runs'][0]}")
        else:
            self._say(f"{len(live.result['runs'])} runs are imported.")
            await self._show()

    def _not_sent(self, sentence: str) -> None:
        self._say(html.escape(plain(sentence, 600)))


def wrong_lines_html(wrong: Sequence[dict[str, Any]]) -> str:
    """Every line that is wrong with a file, and what is."""
    items = "".join(f"<li>{_where(each)}{html.escape(plain(each['problem'], 300))}</li>" for each in wrong)
    return f'<ul class="wrong-lines" data-testid="import-lines">{items}</ul>' if items else ""


def _where(wrong: dict[str, Any]) -> str:
    return f"line {wrong['line']}: " if wrong["line"] else ""


def _flat(label: str, act: Callable[[], Any], mark: str) -> ui.button:
    return ui.button(label, on_click=act, color=None).classes("quiet").props(f"flat no-caps dense data-testid={mark}")
