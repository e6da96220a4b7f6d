"""What one can do with a run, wherever it is shown: cancel, rename, delete with a way back, repeat, copy its link.

Each asks what must be asked, does it, and returns what became of it; where to go next is the page's business.
"""

import html
from collections.abc import Sequence

from nicegui import ui

from loupe.app.errors import ConfirmationNeeded
from loupe.app.pages.controls import confirmed
from loupe.app.plain import plain
from loupe.app.security.guard import PERSON
from loupe.app.services.runs import MAX_NAME
from loupe.app.workspace import Workspace
from loupe.storage.repos.run_queries import Dependant
from loupe.storage.repos.runs import RunRecord

# without https the clipboard is shut, and a selected text field is the way that is left
COPY = """
(() => {
  const link = location.origin + (window.path_prefix || '') + %s + (%s ? location.search : '');
  const area = Object.assign(document.createElement('textarea'), { value: link });
  document.body.append(area); area.select(); document.execCommand('copy'); area.remove();
  if (navigator.clipboard) navigator.clipboard.writeText(link).catch(() => {});
})()
"""


def visitor() -> str:
    """The name that whoever looks at this page signed in under; empty when nobody has to."""
    request = ui.context.client.request
    return str(request.scope.get(PERSON, "")) if request is not None else ""


def named(name: str) -> str:
    """A run's name for the eye: inert, short, and kept apart from the direction of the text around it."""
    return f"<bdi>{html.escape(plain(name, 80))}</bdi>"


def copy_link(path: str, *, with_selection: bool = False) -> None:
    """Put the address of a page into the clipboard; `path` is one of our own routes."""
    from orjson import dumps

    ui.run_javascript(COPY % (dumps(path).decode(), "true" if with_selection else "false"))
    ui.notify("The link is in the clipboard.", type="positive", position="bottom")


async def rename(workspace: Workspace, record: RunRecord) -> RunRecord | None:
    """Ask for another name; None when the reader thought better of it."""
    with ui.dialog().props('aria-label="Rename this run"') as dialog, _sheet("Rename this run"):
        field = ui.input("Name", value=record.name).props(
            f'outlined dense autofocus maxlength={MAX_NAME} data-testid="new-name"'
        )
        with ui.element("div").classes("actions"):
            _button("Rename", lambda: dialog.submit(field.value), "go", "rename-go")
            _button("Leave it", lambda: dialog.submit(None), "quiet", "rename-no")
        field.on("keydown.enter", lambda: dialog.submit(field.value))
    chosen = await dialog
    dialog.delete()
    return await workspace.runs.rename(record.id, chosen) if chosen and chosen.strip() else None


async def delete(workspace: Workspace, record: RunRecord, *, forever: bool = False) -> bool:
    """Show what depends on a run, ask, and delete it; False when the reader thought better of it."""
    found = await workspace.runs.rows.dependants(record.id)
    with (
        ui.dialog().props('aria-label="Delete this run?"') as dialog,
        _sheet("Delete this run for good?" if forever else "Delete this run?"),
    ):
        ui.html(delete_html(record, found, visitor(), workspace.runs.kept_days, forever=forever), sanitize=False)
        with ui.element("div").classes("actions"):
            _button("Delete", lambda: dialog.submit(True), "danger", "delete-go")
            _button("Keep it", lambda: dialog.submit(False), "quiet", "delete-no")
    agreed = bool(await dialog)
    dialog.delete()
    if agreed:
        await workspace.analyses.delete(record.id, by=visitor(), forever=forever)
    return agreed


async def cancel(workspace: Workspace, id: str) -> None:
    """Cancel a running analysis; another person's only after asking."""
    try:
        await workspace.analyses.cancel(id, by=visitor(), confirm=False)
    except ConfirmationNeeded as needed:
        if await confirmed(str(needed), "Cancel it", "Leave it"):
            await workspace.analyses.cancel(id, by=visitor())


async def repeat(workspace: Workspace, id: str) -> str:
    """Start the same question again; returns the page on which the two are compared once it is done."""
    live = await workspace.analyses.repeat(id, author=visitor())
    return f"/compare?a={id}&b={live.id}"


def delete_html(record: RunRecord, found: Sequence[Dependant], who: str, days: float, *, forever: bool) -> str:
    """What the reader should know before the run goes."""
    whose = f" It is {named(record.author)}'s." if record.author and record.author != who else ""
    way_back = "It cannot be brought back." if forever else f"It can be brought back for {days:g} days."
    items = "".join(f"<li>{_dependant(each)}</li>" for each in found)
    listed = f'<ul data-testid="dependants">{items}</ul>' if items else ""
    return f"<p>{named(record.name)}{'.' if not whose else '.' + whose} {way_back}</p>{listed}"


def _dependant(each: Dependant) -> str:
    nouns = {"run": ("repetition", "repetitions"), "job": ("job record", "job records")}
    one, many = nouns.get(each.kind, (each.kind, each.kind))
    fate = "goes with it" if each.goes_too else "stays, without the link to this run"
    names = ", ".join(named(name) for name in each.names[:5])
    return f"{each.count} {one if each.count == 1 else many} ({names}) {fate}"


def _sheet(title: str) -> ui.element:
    sheet = ui.element("div").classes("sheet panel")
    with sheet:
        ui.html(html.escape(title), tag="h2", sanitize=False)
    return sheet


def _button(label: str, act: object, look: str, mark: str) -> None:
    ui.button(label, on_click=act, color=None).classes(look).props(f"flat no-caps data-testid={mark}")  # pyright: ignore[reportArgumentType] - any handler
