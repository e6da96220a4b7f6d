"""What puts models and SAEs into the library: from the hub, looked at and pinned before anything is fetched, or from a
folder of this machine."""

from collections.abc import Callable

from nicegui import ui

from loupe.app.pages.controls import Segmented
from loupe.app.pages.library_html import preview_html, sae_preview_html
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.sheet import Say, Sheet, choice, field, text_button
from loupe.app.services.catalogue import Kind
from loupe.app.services.fit import DTYPES, dtypes_here
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace
from loupe.engine.errors import BadOption


def folders_from_page(settings: Settings) -> bool:
    """Whether a browser may name folders: only where nobody but this machine's operator can be looking."""
    open_to_others = settings.is_public or settings.is_guarded or settings.root_path
    return not (open_to_others or settings.allowed_hosts or settings.allowed_origins)


class Origin:
    """Where something comes from: a repository and a revision of it, or a folder, where folders may be named."""

    def __init__(self, workspace: Workspace, command: str, prefix: str) -> None:
        self.is_hub = True
        self.paths_allowed = folders_from_page(workspace.settings)
        if self.paths_allowed:
            ways = {"hub": "From the hub", "folder": "From a folder"}
            Segmented(ways, "hub", self._choose, label="Source", testid=f"{prefix}from")
        else:
            hint = f"Folders of this machine are added by its operator: {command}"
            ui.html(hint, sanitize=False).classes("soft small")
        self._place = field("OWNER/NAME", f"{prefix}add-place")
        self._revision = field("Revision: branch, tag or commit", f"{prefix}add-revision", "main")
        self._name = field("Name in the library (optional)", f"{prefix}add-name")
        self._name.visible = False
        self.on_choice: Callable[[], object] = lambda: None

    @property
    def place(self) -> str:
        """OWNER/NAME, or the path."""
        return (self._place.value or "").strip()

    @property
    def revision(self) -> str:
        """Branch, tag or commit."""
        return (self._revision.value or "").strip() or "main"

    @property
    def name(self) -> str:
        """What it is to be called; empty for its own name."""
        return (self._name.value or "").strip()

    def _choose(self, source: str) -> None:
        self.is_hub = source == "hub"
        self._place.props(f'label="{"OWNER/NAME" if self.is_hub else "Full path"}"')
        self._revision.visible, self._name.visible = self.is_hub, not self.is_hub
        self.on_choice()


class AddDialog:
    """A model, verbalizer, reconstructor or adapter; `say(sentence)` tells what began."""

    def __init__(self, workspace: Workspace, say: Say) -> None:
        self.workspace = workspace
        self.say = say

    def open(self) -> None:
        """Ask for a repository or a folder, show what it is and whether it fits, then add it."""
        running = self.workspace.engine.running
        labels = dtypes_here(str(running.device) if running else self.workspace.settings.device)
        with Sheet("Add a model, verbalizer, reconstructor or adapter", is_broad=True) as self.sheet:
            self.origin = Origin(self.workspace, "loupe models add /path/to/folder", "")
            self.dtype = choice({name: labels[name] for name in DTYPES}, "Would it fit as", "add-dtype", "auto")
            shown = self.sheet.place()
            self.origin.on_choice = lambda: shown.set_content("")
            with ui.element("div").classes("actions"):
                text_button("Look", self._preview, "quiet", "add-preview")
                self.sheet.end("Add", self._add, "add", self.say)

    async def _preview(self) -> None:
        library, origin = self.workspace.library, self.origin

        async def look() -> str:
            if origin.is_hub:
                found = await library.preview_repo(origin.place, origin.revision, dtype=self.dtype.value)
            else:
                allowed = origin.paths_allowed
                found = await library.preview_folder(origin.place, dtype=self.dtype.value, paths_allowed=allowed)
            return preview_html(found)

        if (markup := await self.sheet.attempt(look)) is not None:
            self.sheet.shown.set_content(markup)

    async def _add(self) -> str:
        origin = self.origin
        if origin.is_hub:
            await self.workspace.downloads.start(origin.place, origin.revision, author=visitor())
            return f"Downloading {origin.place}; its progress is on the System page."
        entry = await self.workspace.library.add_folder(
            origin.place, name=origin.name, paths_allowed=origin.paths_allowed
        )
        return f"{entry.id} is in the library."


class AddSaeDialog:
    """An SAE; `say(sentence)` tells what began."""

    def __init__(self, workspace: Workspace, say: Say) -> None:
        self.workspace = workspace
        self.say = say

    def open(self) -> None:
        """Ask for a repository and show the SAEs in it, or for a folder or file; then fetch one, or import it."""
        models = {e.id: e.id for e in self.workspace.catalogue.entries() if e.kind is Kind.MODEL}
        with Sheet("Add a sparse autoencoder", is_broad=True) as self.sheet:
            self.origin = Origin(self.workspace, "loupe saes import /path/to/folder", "sae-")
            self.model = choice(models, "Model whose activations it reads", "sae-add-model")
            self.which = choice({}, "Which one", "sae-add-which")
            self.which.visible = False
            self.sheet.place()
            self.origin.on_choice = self._forget
            with ui.element("div").classes("actions"):
                self.look = text_button("Look", self._preview, "quiet", "sae-add-preview")
                self.sheet.end("Add", self._add, "sae-add", self.say)

    def _forget(self) -> None:
        self.sheet.shown.set_content("")
        self.which.set_options({}, value=None)
        self.which.visible, self.look.visible = False, self.origin.is_hub

    async def _preview(self) -> None:
        found = await self.sheet.attempt(
            lambda: self.workspace.sae_exchange.preview(self.origin.place, self.origin.revision)
        )
        if found is None:
            return
        paths = {each["path"]: each["path"] for each in found["saes"]}
        self.which.set_options(paths, value=next(iter(paths)))
        self.which.visible = len(paths) > 1
        self.sheet.shown.set_content(sae_preview_html(found))

    async def _add(self) -> str:
        origin, model, who = self.origin, self.model.value, visitor()
        if not origin.is_hub:
            kept = await self.workspace.saes.take_in(
                origin.place, model=model, name=origin.name, paths_allowed=origin.paths_allowed, author=who
            )
            return f"{kept.name} is in the library, read as {kept.source_format}."
        if not self.which.value:
            raise BadOption("Look at the repository first, and choose one of its SAEs.")
        path = self.which.value
        await self.workspace.sae_exchange.download(origin.place, path, origin.revision, model=model, author=who)
        return f"Fetching {path} of {origin.place}; it is listed here once it has arrived."
