"""`/system`: jobs with their levers, the machine and its last hour, latencies, disk, settings, backups, diagnostics."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from nicegui import ui

from loupe.app.pages import system_numbers as numbers
from loupe.app.pages.frame import Problem, frame
from loupe.app.pages.links import link
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.system_jobs import JobsPanel
from loupe.app.services.placements import devices_held
from loupe.app.workspace import Workspace

REFRESH_S = 5.0
REFRESH_DISK_S = 30.0
VERIFY = """(e) => {
  const t = e.target.closest('button[data-number]');
  if (t) emit({ number: Number(t.dataset.number) });
}"""
RESTORE = (
    "<p>To restore, stop the server and run <code>loupe restore FOLDER</code>, or <code>--number N</code> for an older "
    "snapshot. Every byte is verified first; the present database is put aside, not deleted.</p>"
)


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/system")
    async def system() -> None:
        workspace = workspace_of(api)
        with frame(workspace, "system", "System") as problem:
            await SystemPage(workspace, problem).build()


class SystemPage:
    """One open page."""

    def __init__(self, workspace: Workspace, problem: Problem) -> None:
        self.workspace = workspace
        self.problem = problem

    async def build(self) -> None:
        """Lay everything out; numbers are read again every few seconds."""
        ui.html("System", tag="h1", sanitize=False).classes("lede")
        ui.html("Jobs", tag="h2", sanitize=False)
        await JobsPanel(self.workspace, self.problem).build()
        self.machine = self._place("Machine, last hour", "machine")
        with ui.element("div").classes("pair"):
            self.latency = self._place("What people wait for", "latency")
            self.slices = self._place("Longest slices", "slices")
        with ui.element("div").classes("pair"):
            self.disk = self._place("Disk", "disk")
            self._backups()
        self._settings()
        self._diagnostics()
        await self.show()
        await self.show_disk()
        ui.timer(REFRESH_S, self.show, immediate=False)
        ui.timer(REFRESH_DISK_S, self.show_disk, immediate=False)

    async def show(self) -> None:
        """Read the numbers that change and draw them."""
        here = self.workspace
        device = here.engine.running
        samples = list(here.history.samples) or [here.system.latest()]
        devices = await devices_held(here.engine)
        self.machine.set_content(numbers.machine_html(samples, here.system.held(), here.system.glance(), devices))
        self.latency.set_content(numbers.latency_html(here.jobs.latencies.rows()))
        self.slices.set_content(numbers.slices_html(device.stats() if device else None))

    async def show_disk(self) -> None:
        """Walk the data directory, in a thread, and draw what was found."""
        sizes = await self.workspace.system.disk()
        free = shutil.disk_usage(self.workspace.store.data_dir.path).free
        self.disk.set_content(numbers.disk_html(sizes, free))
        kept = numbers.safekeeping_html(self.workspace.safekeeping)
        self.snapshots.set_content(kept + numbers.backups_html(await self.workspace.backups.list()))

    def _place(self, title: str, name: str) -> ui.html:
        with self._panel(title):
            return ui.html("", sanitize=False).props(f"data-testid=system-{name}")

    @contextmanager
    def _panel(self, title: str) -> Iterator[None]:
        with ui.element("section").classes("panel"), ui.element("div").classes("body"):
            ui.html(title, tag="h2", sanitize=False)
            yield

    def _backups(self) -> None:
        with self._panel("Backups"):
            self.snapshots = ui.html("", sanitize=False).props("data-testid=system-backups")
            self.snapshots.on("click", self._verify, js_handler=VERIFY)
            now = ui.button("Back up now", on_click=self._back_up, color=None).classes("go")
            now.props("unelevated no-caps data-testid=backup-now")
            ui.html(RESTORE, sanitize=False).classes("soft")

    async def _back_up(self) -> None:
        job = await self.workspace.backups.make(author=visitor())
        ui.notify("The backup is a job; it is listed above.", position="bottom")
        await self.workspace.jobs.wait(job.id)
        await self.show_disk()

    async def _verify(self, event: Any) -> None:
        await self.workspace.backups.check(int(event.args["number"]), author=visitor())
        ui.notify("The check is a job; it is listed above.", position="bottom")

    def _settings(self) -> None:
        with ui.expansion("Settings").classes("panel").props("data-testid=system-settings"):
            ui.html(numbers.settings_html(self.workspace.system.setting_rows()), sanitize=False).classes("body")

    def _diagnostics(self) -> None:
        with self._panel("Diagnostics"):
            ui.html(
                "<p>Versions, settings, timings and log lines for a bug report. No prompt, no explanation, no name, no "
                f'key.</p><a class="quiet-link" href="{link("/api/v1/system/diagnostics")}" download '
                'data-testid="diagnostics">Download the bundle</a>',
                sanitize=False,
            )
