"""The menu of a kept run: take it along in any format, copy its link, rename, delete."""

from nicegui import ui

from loupe.app.pages import run_actions
from loupe.app.services.exports import MEANING, Format
from loupe.app.services.runs import SAMPLE
from loupe.app.workspace import Workspace

NAMES = {Format.PARQUET: "Parquet"}


def export_menu(workspace: Workspace, run_id: str) -> ui.button:
    """A button that opens the menu of a run, or of a sample (`sample:ID`), which nobody can change."""
    menu = _Menu(workspace, run_id)
    button = ui.button(icon="more_horiz", color=None).classes("quiet")
    button.props('flat no-caps dense aria-label="What to do with this run" data-testid=run-menu')
    with button, ui.menu().props("auto-close").classes("run-menu"):
        menu.fill()
    return button


class _Menu:
    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self.workspace = workspace
        self.id = run_id
        self.is_sample = run_id.startswith(SAMPLE)
        self.path = f"/samples/{run_id.removeprefix(SAMPLE)}" if self.is_sample else f"/runs/{run_id}"

    def fill(self) -> None:
        self._title("Take it along")
        for format in Format:
            self._item(
                NAMES.get(format, format.upper()),
                MEANING[format],
                f"export-{format}",
                lambda chosen=format: self._download(chosen),
            )
        self._title("This run")
        self._item("Copy link", "with the token that is kept", "copy-link", self._copy)
        if self.is_sample:
            return
        self._item("Rename", "", "rename", self._rename)
        self._item("Delete", "with a way back", "delete", self._delete)

    def _title(self, text: str) -> None:
        ui.html(text, tag="div").classes("overline").props("role=presentation")

    def _item(self, name: str, about: str, mark: str, act: object) -> None:
        with ui.menu_item(on_click=act).props(f"role=menuitem data-testid={mark}"):  # pyright: ignore[reportArgumentType] - any handler
            ui.html(f"<b>{name}</b><span>{about}</span>", sanitize=False)

    def _download(self, format: Format) -> None:
        ui.download.from_url(f"/api/v1/runs/{self.id}/export?format={format}")

    def _copy(self) -> None:
        run_actions.copy_link(self.path, with_selection=True)

    async def _rename(self) -> None:
        record = await self.workspace.runs.get(self.id)
        if await run_actions.rename(self.workspace, record):
            ui.navigate.reload()

    async def _delete(self) -> None:
        record = await self.workspace.runs.get(self.id)
        if await run_actions.delete(self.workspace, record):
            ui.navigate.to(f"/history?undo={self.id}")
