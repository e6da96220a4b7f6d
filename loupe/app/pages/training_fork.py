"""Asking how a training goes on differently from a checkpoint."""

from typing import Any

from nicegui import ui

from loupe.app.pages.refusals import REFUSALS, refusal_html
from loupe.app.pages.run_actions import visitor
from loupe.app.workspace import Workspace


async def ask_fork(workspace: Workspace, training: dict[str, Any], checkpoint: str) -> str | None:
    """Ask for a name and other options, and begin; the new training's id, or None when it was left."""
    asked = training["request"]["training"]
    with (
        ui.dialog().props('aria-label="Go on differently from here"') as dialog,
        ui.element("div").classes("sheet").props("data-testid=fork"),
    ):
        ui.html("Go on differently from here", tag="h2", sanitize=False)
        name = ui.input("Name (optional)").props("outlined dense data-testid=fork-name")
        steps = ui.number("Steps in all", value=asked.get("steps", 10_000), min=1, step=1, precision=0)
        steps.props("outlined dense data-testid=fork-steps")
        rate = ui.number("Learning rate", value=asked.get("lr"), min=0, format="%g").props("outlined dense")
        rate.props('data-testid=fork-lr stack-label placeholder="the architecture\'s"')
        shown = ui.html("", sanitize=False)

        async def begin() -> None:
            changes: dict[str, Any] = {"steps": int(steps.value)} if steps.value else {}
            if rate.value:
                changes["lr"] = float(rate.value)
            try:
                live = await workspace.trainings.fork(
                    checkpoint, name=name.value or "", training=changes, author=visitor()
                )
            except REFUSALS as error:
                shown.set_content(refusal_html(error, "fork-problem"))
                return
            dialog.submit(live.id)

        with ui.element("div").classes("actions"):
            go = ui.button("Fork", on_click=begin, color=None).classes("go")
            go.props("unelevated no-caps data-testid=fork-go")
            leave = ui.button("Leave it", on_click=lambda: dialog.submit(None), color=None).classes("quiet")
            leave.props("flat no-caps data-testid=fork-no")
    answer = await dialog
    dialog.delete()
    return answer
