"""Load and Unload of one thing of the library: at which precision, on which device, and how it goes."""

from collections.abc import Awaitable, Callable, Mapping

from nicegui import background_tasks, ui

from loupe.app.pages.frame import Problem
from loupe.app.pages.library_html import text
from loupe.app.pages.sheet import text_button
from loupe.app.services.live_job import LiveJob
from loupe.app.services.placements import AUTO
from loupe.app.workspace import Workspace

Load = Callable[[str, str], Awaitable[LiveJob]]  # of a precision and a device


class LoadBar:
    """The controls in a row, and the line below that tells of their jobs.

    `changed` is awaited when another precision or device is chosen and when a job has ended.
    """

    def __init__(
        self,
        workspace: Workspace,
        problem: Problem,
        *,
        load: Load,
        unload: Callable[[], Awaitable[None]],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self.workspace = workspace
        self.problem = problem
        self.client = ui.context.client
        self._load_as = load
        self._unload_it = unload
        self._changed = changed

    def build(self, dtypes: Mapping[str, str], folder: str) -> ui.element:
        """Place it; `folder` names the model whose chosen device is shown. Returns the row, for further buttons."""
        self._folder = folder
        with ui.element("div").classes("actions") as row:
            self.dtype = ui.select(dict(dtypes), value="auto", label="Precision", on_change=lambda: self._changed())
            self.dtype.props("outlined dense options-dense data-testid=dtype").classes("precision")
            self.device = ui.select([AUTO], value=AUTO, label="Device", on_change=lambda: self._changed())
            self.device.props("outlined dense options-dense data-testid=load-device").classes("precision")
            self.load = text_button("Load", self._load, "go", "load")
            self.unload = text_button("Unload", self._unload, "quiet", "unload")
        self.said = ui.html("", sanitize=False).classes("said-line").props("role=status data-testid=library-said")
        return row

    def show(self, *, can_load: bool, can_unload: bool) -> None:
        """Offer what the present state allows."""
        for control in (self.load, self.dtype, self.device):
            control.visible = can_load
        self.unload.visible = can_unload

    @property
    def place(self) -> str:
        """The chosen device; empty where the settings decide."""
        return "" if self.device.value == AUTO else str(self.device.value)

    async def draw_devices(self) -> None:
        """The places of this machine; `auto` is where the settings put what nobody chose a place for."""
        self.device.set_options([AUTO, *await self.workspace.placements.places()])
        chosen = self.workspace.placements.chosen.get(self._folder, AUTO)
        self.device.set_value(chosen if chosen in self.device.options else AUTO)

    async def _load(self) -> None:
        self.problem.clear()
        self.watch(await self._load_as(str(self.dtype.value), str(self.device.value)))

    async def _unload(self) -> None:
        await self._unload_it()
        self.said.set_content("It left memory.")
        await self._changed()

    def watch(self, job: LiveJob) -> None:
        """Show a job's stages until it has ended, then what came of it."""

        def changed(live: LiveJob) -> None:
            if not self.client.is_deleted:
                with self.client:
                    self.said.set_content(text(live.message or live.state, 200))

        stop = self.workspace.bridge.subscribe(("job", job.id), changed)

        async def end() -> None:
            await self.workspace.jobs.wait(job.id)
            stop()
            if self.client.is_deleted:
                return
            found = await self.workspace.jobs.get(job.id)
            if found.get("error"):
                self.problem.show(found["error"] | {"details": found["error"].get("details", {})})
            self.said.set_content(text(f"{found['kind']} {found['state']}", 200))
            await self._changed()

        background_tasks.create(end(), name="library-job", context=self.client)
