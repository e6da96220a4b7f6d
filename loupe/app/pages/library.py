"""`/library`: what there is to work with, by noun; add, load, switch, delete with a way back. `/library/{kind}/{id}` is
one thing of it (`library_detail.py`).

The sections are those of `library_sections.SECTIONS`; each is one `ui.html`, and acts come by event delegation.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi import Query as Asked
from nicegui import background_tasks, events, ui

from loupe.app.pages import library_detail
from loupe.app.pages.frame import PATIENCE_S, Problem, frame, workspace_of
from loupe.app.pages.library_add import AddDialog
from loupe.app.pages.library_html import dependants_html, memory_html, section_html, text
from loupe.app.pages.library_sections import SECTIONS, Entry, Section
from loupe.app.pages.links import address
from loupe.app.pages.run_actions import visitor
from loupe.app.workspace import Workspace

NEWS = ("models", "jobs")
ACT = """(e) => {
  const t = e.target.closest('[data-act]');
  if (t) emit({ act: t.dataset.act, noun: t.dataset.noun, id: t.dataset.id });
}"""


def register(api: FastAPI) -> None:
    """Add the pages."""

    @ui.page("/library", response_timeout=PATIENCE_S)
    async def library(search: Annotated[str, Asked(max_length=200)] = "") -> None:
        workspace = workspace_of(api)
        with frame(workspace, "library", "Library", layout="single") as problem:
            await LibraryPage(workspace, problem, search).build()

    @ui.page("/library/{kind}/{id:path}", response_timeout=PATIENCE_S)
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
            self.said = ui.html("", sanitize=False).classes("said-line").props("role=status data-testid=library-said")
            self.memory = ui.html("", sanitize=False).classes("panel pad")
            for section in SECTIONS:
                self._place(section)
        follow(self.workspace, self.draw)
        self.draw()

    def draw(self) -> None:
        """Draw everything afresh; cheap, since each section is one element."""
        self._draw_memory()
        for section in SECTIONS:
            rows = [row for row in section.rows(self.workspace) if self._fits(row)]
            self.counts[section.noun].set_content(f"{len(rows):,}")
            self.boxes[section.noun].set_content(section_html(section, rows))

    def _tools(self) -> None:
        with ui.element("div").classes("tools"):
            field = ui.input(placeholder="Search the library", value=self.search)
            field.props('outlined dense clearable debounce=150 type=search aria-label="Search the library"')
            field.props("data-testid=library-search").classes("grow")
            field.on_value_change(lambda e: self._find((e.value or "")[:200]))
            dialog = AddDialog(self.workspace, self.problem, on_done=self._say)
            plain_button("Add a model", dialog.open, "go", "add-model")
            plain_button("New pair", dialog.open_pair, "quiet", "add-pair")
            plain_button("New group", dialog.open_group, "quiet", "add-group")
            plain_button("Hub token", dialog.open_token, "quiet", "hub-token")

    def _place(self, section: Section) -> None:
        panel = (
            ui.element("section")
            .classes("panel")
            .props(f'aria-label="{section.title}" data-testid=section-{section.noun}')
        )
        with panel:
            with ui.element("div").classes("section-head"):
                ui.html(section.title, tag="h2", sanitize=False)
                self.counts[section.noun] = ui.html("", sanitize=False).classes("num soft")
                ui.html(section.about, sanitize=False).classes("soft small")
            box = self.boxes[section.noun] = ui.html("", sanitize=False)
            box.on("click", self._act, js_handler=ACT)

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

    def _find(self, search: str) -> None:
        self.search = search
        from urllib.parse import urlencode

        query = f"?{urlencode({'search': search})}" if search else ""
        ui.navigate.history.replace(address(f"/library{query}"))
        self.draw()

    async def _act(self, event: events.GenericEventArguments) -> None:
        asked = event.args if isinstance(event.args, dict) else {}
        act, noun, id = (str(asked.get(name)) for name in ("act", "noun", "id"))
        section = next((known for known in SECTIONS if known.noun == noun), None)
        row = next((row for row in section.rows(self.workspace) if row.id == id), None) if section else None
        if section is None or row is None or act not in dict(row.acts):
            return
        if act == "delete" and not await sure_to_delete(self.workspace, noun, id):
            return
        self.problem.clear()
        self._say(await section.act(self.workspace, act, id, visitor()))

    def _say(self, sentence: str) -> None:
        self.said.set_content(text(sentence, 300))
        self.draw()


def follow(workspace: Workspace, draw: Callable[[], Any]) -> None:
    """Draw again whenever a model, a load or a download changed, until the page is gone."""
    client = ui.context.client

    def changed(_: object) -> None:
        if not client.is_deleted:
            background_tasks.create(_drawn(draw), name="library", context=client)

    stops = [workspace.bridge.subscribe(key, changed) for key in NEWS]
    client.on_delete(lambda: [stop() for stop in stops])


async def _drawn(draw: Callable[[], Any]) -> None:
    draw()


def plain_button(label: str, on_click: Callable[[], Any], look: str, testid: str) -> ui.button:
    """A button in one of the app's own looks."""
    button = ui.button(label, on_click=on_click, color=None).classes(look)
    button.props(f"flat no-caps data-testid={testid}")
    return button


async def sure_to_delete(workspace: Workspace, noun: str, id: str) -> bool:
    """Show what depends on it and until when it can come back, and ask."""
    found = {"pairs": [], "groups": [], "runs": 0, "users": 0}
    if noun in ("models", "donors", "checkpoints"):
        found = (await workspace.library.dependants(id)).to_json()
    elif noun == "pairs":
        found["groups"] = [group.id for group in workspace.groups.groups_of(id)]
    days = workspace.settings.deleted_models_days
    with ui.dialog() as dialog, ui.element("div").classes("sheet panel"):
        ui.html("Delete this?", tag="h2", sanitize=False)
        ui.html(f"<p>{text(id)}. It can be restored for {days:g} days.</p>{dependants_html(found)}", sanitize=False)
        with ui.element("div").classes("actions"):
            plain_button("Delete", lambda: dialog.submit(True), "danger", "delete-go")
            plain_button("Keep it", lambda: dialog.submit(False), "quiet", "delete-no")
    agreed = bool(await dialog)
    dialog.delete()
    return agreed
