"""`/training/templates`: recipes to begin from. Favourites, names, files, and a way back for what was deleted."""

import html
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from nicegui import events, ui
from pydantic import ValidationError

from loupe.app.pages.frame import frame
from loupe.app.pages.links import link
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.refusals import REFUSALS, refusal_html
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.template_actions import ask_other_name
from loupe.app.plain import file_label, plain
from loupe.app.services.templates import NewTemplate, Template
from loupe.app.workspace import Workspace
from loupe.engine.errors import BadOption

LARGEST = 1 << 20  # of a file with one template
ACT = """(e) => {
  const t = e.target.closest('button[data-act]');
  if (t) emit({ act: t.dataset.act, id: t.dataset.id });
}"""


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/training/templates")
    async def templates() -> None:
        workspace = workspace_of(api)
        with frame(workspace, "training", "Templates"):
            await TemplatesPage(workspace).build()


class TemplatesPage:
    """One open page."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    async def build(self) -> None:
        """Lay the page out."""
        crumbs = f'<a href="{link("/training")}">Trainings</a><a href="{link("/training/new")}">New training</a>'
        ui.html(crumbs, sanitize=False).classes("crumbs")
        ui.html("Templates", tag="h1", sanitize=False).classes("lede")
        about = "Recipes without model and text. A form, or any training, can be saved as one."
        ui.html(about, sanitize=False).classes("lede-sub")
        self.said = ui.element("div").classes("said-bar").props("role=status aria-live=polite")
        self.said.props("data-testid=templates-said")
        self.table = ui.html("", sanitize=False).classes("panel scroll")
        self.table.on("click", self._act, js_handler=ACT)
        with ui.element("div").classes("actions"):
            self._import_button()
        await self.show()

    async def show(self) -> None:
        """Read the templates and draw them."""
        self.table.set_content(templates_html(await self.workspace.templates.list()))

    def _import_button(self) -> None:
        upload = ui.upload(on_upload=self._take, auto_upload=True, max_file_size=LARGEST, on_rejected=self._too_large)
        upload.props("data-testid=template-file accept=.json").classes("unseen").style("visibility: hidden")
        button = ui.button("Import a file", icon="upload_file", color=None).classes("quiet")
        button.props("flat no-caps data-testid=template-import")
        button.on("click", js_handler=f"() => getElement({upload.id}).pickFiles()")
        self.upload = upload

    def _too_large(self) -> None:
        self._say(refusal_html(BadOption("A template has at most 1 MiB."), "template-problem"))

    async def _take(self, event: events.UploadEventArguments) -> None:
        self.upload.reset()
        try:
            new = NewTemplate.model_validate_json(await event.file.read())
            made = await self.workspace.templates.add(new, author=visitor())
        except ValidationError:
            said = BadOption(f"{file_label(event.file.name)} is no template that Loupe exported.")
            self._say(refusal_html(said, "template-problem"))
            return
        except REFUSALS as error:
            self._say(refusal_html(error, "template-problem"))
            return
        self._say(f"{_named(made)} is here.")
        await self.show()

    async def _act(self, event: Any) -> None:
        act, id = str(event.args["act"]), str(event.args["id"])
        here = self.workspace.templates
        found = await here.get(id)
        if act == "favour":
            await here.favour(id, is_favourite=not found.is_favourite)
        elif act == "rename":
            await ask_other_name(self.workspace, found)
        elif act == "delete":
            await here.delete(id)
            self._say(f"{_named(found)} is deleted.", undo=id)
        await self.show()

    async def _undo(self, id: str) -> None:
        back = await self.workspace.templates.restore(id)
        self._say(f"{_named(back)} is back.")
        await self.show()

    def _say(self, markup: str, *, undo: str = "") -> None:
        self.said.clear()
        with self.said:
            ui.html(markup, sanitize=False)
            if undo:
                button = ui.button("Undo", on_click=lambda: self._undo(undo), color=None).classes("quiet")
                button.props("flat no-caps dense data-testid=template-undo")


def templates_html(templates: Sequence[Template]) -> str:
    """All templates as one table."""
    heads = "<th></th><th>Template</th><th>SAEs</th><th>For</th><th></th>"
    body = "".join(_row(each) for each in templates)
    head = f"<thead><tr>{heads}</tr></thead>"
    return f'<table class="history stacks" data-testid="templates">{head}<tbody>{body}</tbody></table>'


def _row(each: Template) -> str:
    name = html.escape(plain(each.name, 80))
    label = html.escape(plain(each.name, 80), quote=True)
    star = (
        f'<button class="star" data-act="favour" data-id="{each.id}" data-testid="template-star" '
        f'aria-pressed="{str(each.is_favourite).lower()}" aria-label="Favourite: {label}">'
        f"{'★' if each.is_favourite else '☆'}</button>"
    )
    whose = "ships with Loupe" if each.is_built_in else html.escape(plain(each.author, 40))
    acts = "".join(
        f'<button class="plain" data-act="{act}" data-id="{each.id}" data-testid="template-{act}"'
        f' aria-label="{verb}: {label}">{verb}</button>'
        for act, verb in (("rename", "Rename"), ("delete", "Delete"))
        if not each.is_built_in
    )
    use = f'<a href="{link("/training/new")}?template={each.id}" data-testid="template-use">Use</a>'
    export = (
        f'<a href="{link(f"/api/v1/templates/{each.id}/export")}" download data-testid="template-export">Export</a>'
    )
    return (
        f'<tr data-testid="template" data-id="{each.id}"><td>{star}</td><td class="name"><b><bdi>{name}</bdi></b>'
        f'<div class="soft small">{whose}</div></td>'
        f'<td data-label="SAEs">{html.escape(each.recipe.summary)}</td>'
        f'<td class="purpose">{html.escape(plain(each.about, 300))}</td><td class="acts">{use}{export}{acts}</td></tr>'
    )


def _named(template: Template) -> str:
    return f"<bdi>{html.escape(plain(template.name, 80))}</bdi>"
