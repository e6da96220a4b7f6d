"""What a form and the list of templates both do with one: name it, choose it."""

from collections.abc import Sequence

from nicegui import ui

from loupe.app.pages.refusals import REFUSALS, refusal_html
from loupe.app.pages.run_actions import visitor
from loupe.app.plain import plain
from loupe.app.services.templates import NewTemplate, Template
from loupe.app.services.training_request import Recipe
from loupe.app.workspace import Workspace


def template_choices(templates: Sequence[Template]) -> dict[str, str]:
    """Templates by name, favourites with a star."""
    return {each.id: f"{'★ ' if each.is_favourite else ''}{plain(each.name, 60)}" for each in templates}


async def ask_name(workspace: Workspace, recipe: Recipe) -> Template | None:
    """Ask what a new template is called, and keep it; None when the reader thought better of it."""

    async def keep(name: str, about: str) -> Template:
        return await workspace.templates.add(NewTemplate(name=name, about=about, recipe=recipe), author=visitor())

    return await _asked("Save as a template", "Save", keep, name="", placeholder=recipe.summary, about="")


async def ask_other_name(workspace: Workspace, template: Template) -> Template | None:
    """Ask for another name and description; None when the reader thought better of it."""

    async def change(name: str, about: str) -> Template:
        return await workspace.templates.change(template.id, name=name, about=about)

    return await _asked(
        "Rename this template", "Rename", change, name=template.name, placeholder=template.name, about=template.about
    )


async def _asked(title: str, verb: str, do, *, name: str, placeholder: str, about: str) -> Template | None:
    with ui.dialog() as dialog, ui.element("div").classes("sheet").props("data-testid=template-dialog"):
        dialog.props["aria-label"] = title
        ui.html(title, tag="h2", sanitize=False)
        field = ui.input("Name", value=name).props("outlined dense autofocus maxlength=200 data-testid=template-name")
        field.props["placeholder"] = placeholder
        field.props("stack-label")
        what = ui.input("What it is for (optional)", value=about)
        what.props("outlined dense maxlength=1000 data-testid=template-about")
        shown = ui.html("", sanitize=False)

        async def go() -> None:
            try:
                dialog.submit(await do(field.value or "", what.value or ""))
            except REFUSALS as error:
                shown.set_content(refusal_html(error, "template-problem"))

        with ui.element("div").classes("actions"):
            yes = ui.button(verb, on_click=go, color=None).classes("go")
            yes.props("unelevated no-caps data-testid=template-go")
            no = ui.button("Leave it", on_click=lambda: dialog.submit(None), color=None).classes("quiet")
            no.props("flat no-caps data-testid=template-no")
        field.on("keydown.enter", go)
    answer = await dialog
    dialog.delete()
    return answer
