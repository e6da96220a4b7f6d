"""`/library`: what there is to work with, by noun; add, load, switch, delete with a way back. `/library/{kind}/{id}` is
one thing of it (`library_detail.py`).

The sections are those of `library_sections.SECTIONS`; each is one `ui.html`, and acts come by event delegation. What
changes anywhere is drawn again at once (`library_news.py`).
"""

import html
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import FastAPI
from fastapi import Query as Asked
from nicegui import events, ui

from loupe.app.pages import library_detail
from loupe.app.pages.frame import Problem, frame
from loupe.app.pages.hub_token import ask_token
from loupe.app.pages.library_add import AddDialog, AddSaeDialog
from loupe.app.pages.library_entry import Entry, Said, Section
from loupe.app.pages.library_groups import GroupFileTools, ask_group, ask_pair
from loupe.app.pages.library_html import dependants_html, memory_html, section_html, text
from loupe.app.pages.library_news import follow
from loupe.app.pages.library_sections import SECTIONS
from loupe.app.pages.links import address, link
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.sheet import text_button
from loupe.app.workspace import Workspace

ACT = """(e) => {
  const t = e.target.closest('[data-act]');
  if (t) emit({ act: t.dataset.act, noun: t.dataset.noun, id: t.dataset.id });
}"""


def register(api: FastAPI) -> None:
    """Add the pages."""

    @page(api, "/library")
    async def library(search: Annotated[str, Asked(max_length=200)] = "") -> None:
        workspace = workspace_of(api)
        with frame(workspace, "library", "Library", layout="single") as problem:
            await LibraryPage(workspace, problem, search).build()

    @page(api, "/library/{kind}/{id:path}")
    async def thing(kind: str, id: str) -> None:
        workspace = workspace_of(api)
        with frame(workspace, "library", id, layout="single") as problem:
            await library_detail.build(workspace, problem, kind, id)


class LibraryPage:
    """One open page: the search, and the sections as they are drawn now."""

    def __init__(self, workspace: Workspace, problem: Problem, search: str) -> None:
        self.workspace = workspace
        self.problem = problem
        self.search = search
        self.boxes: dict[str, ui.html] = {}
        self.counts: dict[str, ui.html] = {}

    async def build(self) -> None:
        """Lay the page out and draw every section."""
        with ui.element("div").classes("library"):
            ui.html("Library", tag="h1", sanitize=False).classes("lede")
            self._tools()
            self.said = ui.element("div").classes("said-bar").props("role=status data-testid=library-said")
            self.memory = ui.html("", sanitize=False).classes("panel pad")
            for section in SECTIONS:
                self._place(section)
        follow(self.workspace, self.draw)
        await self.draw()

    async def draw(self) -> None:
        """Draw what has changed; each section is one element."""
        self._draw_memory()
        for section in SECTIONS:
            rows = [row for row in await section.rows(self.workspace) if self._fits(row)]
            drawn = section_html(section, rows)
            if drawn != self.boxes[section.noun].content:
                self.counts[section.noun].set_content(f"{len(rows):,}")
                self.boxes[section.noun].set_content(drawn)

    def _tools(self) -> None:
        with ui.element("div").classes("tools"):
            field = ui.input(placeholder="Search the library", value=self.search)
            field.props('outlined dense clearable debounce=150 type=search aria-label="Search the library"')
            field.props("data-testid=library-search").classes("grow")
            field.on_value_change(lambda e: self._find((e.value or "")[:200]))
            text_button("Hub token", lambda: ask_token(self.workspace, self.say), "quiet", "hub-token")
        ui.html(_places_html(), sanitize=False).classes("crumbs")

    def _place(self, section: Section) -> None:
        panel = ui.element("section").classes("panel").props(f'aria-label="{section.title}"')
        with panel.props(f"id=section-{section.noun} data-testid=section-{section.noun}"):
            with ui.element("div").classes("section-head"):
                ui.html(section.title, tag="h2", sanitize=False)
                self.counts[section.noun] = ui.html("0", sanitize=False).classes("num soft")
                with ui.element("div").classes("ways"):
                    self._ways(section)
                ui.html(section.about, sanitize=False).classes("soft small")
            box = self.boxes[section.noun] = ui.html("", sanitize=False)
            box.on("click", self._act, js_handler=ACT)

    def _ways(self, section: Section) -> None:
        """What brings more of a noun."""
        workspace = self.workspace
        if section.noun == "models":
            text_button("Add a model", AddDialog(workspace, self.say).open, "quiet", "add-model")
        elif section.noun == "pairs":
            text_button("New pair", lambda: ask_pair(workspace, self.say), "quiet", "add-pair")
        elif section.noun == "groups":
            text_button("New group", lambda: ask_group(workspace, self.say), "quiet", "add-group")
            GroupFileTools(workspace, self.say).build()
        elif section.noun == "saes":
            text_button("Add an SAE", AddSaeDialog(workspace, self.say).open, "quiet", "add-sae")
        for name, path, mark in section.ways:
            ui.html(f'<a class="quiet-link" href="{link(path)}" data-testid="{mark}">{name}</a>', sanitize=False)

    def _draw_memory(self) -> None:
        device = self.workspace.engine.running
        self.memory.visible = device is not None
        if device is not None:
            memory, budget = device.memory.memory(), device.memory
            markup = memory_html(memory.total, budget.available(), memory.used, budget.holdings(), str(device.device))
            self.memory.set_content(markup)

    def _fits(self, row: Entry) -> bool:
        words = self.search.casefold().split()
        chips = (label for label, _ in row.chips)
        whole = " ".join((row.id, row.name, row.about, *row.facts, *chips)).casefold()
        return all(word in whole for word in words)

    async def _find(self, search: str) -> None:
        self.search = search
        query = f"?{urlencode({'search': search})}" if search else ""
        ui.navigate.history.replace(address(f"/library{query}"))
        await self.draw()

    async def _act(self, event: events.GenericEventArguments) -> None:
        asked = event.args if isinstance(event.args, dict) else {}
        act, noun, id = (str(asked.get(name)) for name in ("act", "noun", "id"))
        section = next((known for known in SECTIONS if known.noun == noun), None)
        rows = await section.rows(self.workspace) if section else ()
        row = next((row for row in rows if row.id == id), None)
        if section is None or row is None or act not in dict(row.acts):
            return
        if act == "delete" and not await sure_to_delete(self.workspace, noun, row):
            return
        self.problem.clear()
        await self.say(await section.act(self.workspace, act, id, visitor()))

    async def say(self, said: Said | str) -> None:
        """Tell what came of it, with the way back where there is one, and draw what changed."""
        said = said if isinstance(said, Said) else Said(said)
        self.said.clear()
        with self.said:
            ui.html(text(said.sentence, 300), sanitize=False)
            if said.undo is not None:
                text_button("Undo", lambda: self._undo(said), "quiet", "library-undo")
        await self.draw()

    async def _undo(self, said: Said) -> None:
        assert said.undo is not None, "offered only where there is a way back"
        await said.undo()
        await self.say("It is back.")


def _places_html() -> str:
    return "".join(f'<a href="#section-{section.noun}">{html.escape(section.title)}</a>' for section in SECTIONS)


async def missed_by(workspace: Workspace, noun: str, id: str) -> dict[str, Any]:
    """What would miss it, for `dependants_html`."""
    found: dict[str, Any] = {"pairs": [], "groups": [], "runs": 0, "users": 0}
    if noun in ("models", "donors", "checkpoints"):
        found = (await workspace.library.dependants(id)).to_json()
    elif noun == "pairs":
        found["groups"] = [group.id for group in workspace.groups.groups_of(id)]
    elif noun == "datasets":
        found["token_rows"] = len(await workspace.store.datasets.tokenisations(id))
    return found


async def sure_to_delete(workspace: Workspace, noun: str, row: Entry) -> bool:
    """Show what depends on it and until when it can come back, and ask."""
    found = await missed_by(workspace, noun, row.id)
    days = workspace.settings.deleted_models_days
    with ui.dialog().props('aria-label="Delete this?"') as dialog, ui.element("div").classes("sheet panel"):
        ui.html("Delete this?", tag="h2", sanitize=False)
        asked = f"<p>{text(row.name)}. It can be restored for {days:g} days.</p>"
        ui.html(asked + dependants_html(found), sanitize=False)
        with ui.element("div").classes("actions"):
            text_button("Delete", lambda: dialog.submit(True), "danger", "delete-go")
            text_button("Keep it", lambda: dialog.submit(False), "quiet", "delete-no")
    agreed = bool(await dialog)
    dialog.delete()
    return agreed
