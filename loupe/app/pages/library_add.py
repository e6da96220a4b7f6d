"""The dialogs that put things into the library: a model from the hub or a folder, a pair, the hub token."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from loupe.app.pages.controls import Segmented
from loupe.app.pages.frame import Problem, told
from loupe.app.pages.library_html import preview_html, text
from loupe.app.pages.run_actions import visitor
from loupe.app.services.catalogue import Kind
from loupe.app.services.fit import DTYPES, dtypes_here
from loupe.app.services.groups import Group, Pair, slug
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace
from loupe.engine.errors import BadOption


def folders_from_page(settings: Settings) -> bool:
    """Whether a browser may name folders: only where nobody but this machine's operator can be looking."""
    open_to_others = settings.is_public or settings.is_guarded or settings.root_path
    return not (open_to_others or settings.allowed_hosts or settings.allowed_origins)


class AddDialog:
    """Opens on demand; `on_done(sentence)` says what began."""

    def __init__(self, workspace: Workspace, problem: Problem, on_done: Callable[[str], Any]) -> None:
        self.workspace = workspace
        self.problem = problem
        self.on_done = on_done
        self.source = "hub"

    def open(self) -> None:
        """Ask for a repository or a folder, show what it is and whether it fits, then add it."""
        self.source = "hub"
        with ui.dialog() as self.dialog, ui.element("div").classes("sheet panel wide"):
            ui.html("Add a model, verbalizer, reconstructor or adapter", tag="h2", sanitize=False)
            if folders_from_page(self.workspace.settings):
                Segmented(
                    {"hub": "From the hub", "folder": "From a folder"},
                    "hub",
                    self._choose,
                    label="Source",
                    testid="from",
                )
            else:
                hint = "Folders of this machine are added by its operator: loupe models add /path/to/folder"
                ui.html(hint, sanitize=False).classes("soft small")
            self.place = _field("OWNER/NAME", "add-place")
            self.revision = _field("Revision: branch, tag or commit", "add-revision", "main")
            self.name = _field("Name in the library (optional)", "add-name")
            self.name.visible = False
            running = self.workspace.engine.running
            labels = dtypes_here(str(running.device) if running else self.workspace.settings.device)
            self.dtype = ui.select({name: labels[name] for name in DTYPES}, value="auto", label="Would it fit as")
            self.dtype.props("outlined dense options-dense data-testid=add-dtype")
            self.shown = ui.html("", sanitize=False)
            with ui.element("div").classes("actions"):
                _button("Look", self._preview, "quiet", "add-preview")
                _button("Add", self._add, "go", "add-go")
                _button("Close", self.dialog.close, "quiet", "add-close")
        self.dialog.on("hide", self.dialog.delete)
        self.dialog.open()

    def open_pair(self) -> None:
        """Ask which verbalizer and reconstructor read which model."""
        entries = self.workspace.catalogue.entries()

        def choices(*kinds: Kind) -> dict[str, str]:
            return {e.id: e.id for e in entries if e.kind in kinds}

        with ui.dialog() as dialog, ui.element("div").classes("sheet panel wide"):
            ui.html("A new NLA pair", tag="h2", sanitize=False)
            name = _field("Name", "pair-name")
            model = _select(choices(Kind.MODEL), "Model that is read", "pair-model")
            av = _select(choices(Kind.VERBALIZER), "Verbalizer", "pair-verbalizer")
            ar = _select(choices(Kind.RECONSTRUCTOR), "Reconstructor", "pair-reconstructor")
            donors = {"": "its own", **choices(Kind.MODEL, Kind.ADAPTER)}
            donor = _select(donors, "Activations of", "pair-donor", "")
            shown = ui.html("", sanitize=False)

            async def keep() -> None:
                try:
                    pair = await self._keep_pair(name.value or "", model.value, av.value, ar.value, donor.value or None)
                except Exception as error:
                    shown.set_content(_said(error))
                    return
                dialog.close()
                self.on_done(f"The pair {pair.id} is in the library.")

            with ui.element("div").classes("actions"):
                _button("Keep it", keep, "go", "pair-go")
                _button("Close", dialog.close, "quiet", "pair-close")
        dialog.on("hide", dialog.delete)
        dialog.open()

    def open_group(self) -> None:
        """Ask which pairs and donors belong to which base; an own group of that name gets these instead."""
        entries, groups = self.workspace.catalogue.entries(), self.workspace.groups
        bases = {e.id: e.id for e in entries if e.kind is Kind.MODEL}
        donors = {e.id: e.id for e in entries if e.kind in (Kind.MODEL, Kind.ADAPTER)}
        with ui.dialog() as dialog, ui.element("div").classes("sheet panel wide"):
            ui.html("A model group", tag="h2", sanitize=False)
            name = _field("Name", "group-name")
            base = _select(bases, "Base model", "group-base")
            pairs = ui.select({pair.id: pair.id for pair in groups.pairs()}, label="Pairs", multiple=True, value=[])
            pairs.props("outlined dense options-dense use-chips data-testid=group-pairs")
            taken = ui.select(donors, label="Donors: fine-tunes and adapters of the base", multiple=True, value=[])
            taken.props("outlined dense options-dense use-chips data-testid=group-donors")
            shown = ui.html("", sanitize=False)

            async def keep() -> None:
                try:
                    kept = await self._keep_group(name.value or "", base.value, tuple(pairs.value), tuple(taken.value))
                except Exception as error:
                    shown.set_content(_said(error))
                    return
                dialog.close()
                self.on_done(f"The group {kept.id} is in the library.")

            with ui.element("div").classes("actions"):
                _button("Keep it", keep, "go", "group-go")
                _button("Close", dialog.close, "quiet", "group-close")
        dialog.on("hide", dialog.delete)
        dialog.open()

    def open_token(self) -> None:
        """Write or remove the hub token; it is never shown."""
        token = self.workspace.hub_token
        with ui.dialog() as dialog, ui.element("div").classes("sheet panel"):
            ui.html("Token for gated models", tag="h2", sanitize=False)
            about = "It is kept in a file that only the operator's account can read, and is never shown again. Now: "
            ui.html(f'{about}<b data-testid="token-source">{text(token.source)}</b>.', sanitize=False).classes("soft")
            field = ui.input("Token", password=True).props("outlined dense autocomplete=off data-testid=token-field")
            shown = ui.html("", sanitize=False)

            def keep() -> None:
                try:
                    token.write(field.value or "")
                except BadOption as error:
                    shown.set_content(_said(error))
                    return
                dialog.close()
                self.on_done("The hub token is kept.")

            def forget() -> None:
                token.forget()
                dialog.close()
                self.on_done("The written hub token is gone.")

            with ui.element("div").classes("actions"):
                _button("Keep it", keep, "go", "token-go")
                _button("Remove the written one", forget, "quiet", "token-forget")
        dialog.on("hide", dialog.delete)
        dialog.open()

    def _choose(self, source: str) -> None:
        self.source = source
        hub = source == "hub"
        self.place.props(f'label="{"OWNER/NAME" if hub else "Full path of the folder"}"')
        self.revision.visible, self.name.visible = hub, not hub
        self.shown.set_content("")

    async def _preview(self) -> None:
        library, place = self.workspace.library, (self.place.value or "").strip()
        try:
            if self.source == "hub":
                found = await library.preview_repo(place, self._revision, dtype=self.dtype.value)
            else:
                allowed = folders_from_page(self.workspace.settings)
                found = await library.preview_folder(place, dtype=self.dtype.value, paths_allowed=allowed)
        except Exception as error:
            self.shown.set_content(_said(error))
            return
        self.shown.set_content(preview_html(found))

    async def _add(self) -> None:
        place = (self.place.value or "").strip()
        try:
            if self.source == "hub":
                await self.workspace.downloads.start(place, self._revision, author=visitor())
                said = f"Downloading {place}; its progress is on the System page."
            else:
                allowed = folders_from_page(self.workspace.settings)
                name = (self.name.value or "").strip()
                entry = await self.workspace.library.add_folder(place, name=name, paths_allowed=allowed)
                said = f"{entry.id} is in the library."
        except Exception as error:
            self.shown.set_content(_said(error))
            return
        self.dialog.close()
        self.on_done(said)

    @property
    def _revision(self) -> str:
        return (self.revision.value or "").strip() or "main"

    async def _keep_pair(self, name: str, model: str, av: str, ar: str, donor: str | None) -> Pair:
        if not (name.strip() and model and av and ar):
            raise BadOption("Give a name, a model, a verbalizer and a reconstructor.")
        layer = self.workspace.catalogue.get(av).layer
        pair = Pair(
            id=slug(name),
            name=name.strip()[:200],
            model=model,
            verbalizer=av,
            reconstructor=ar,
            layer=layer,
            donor=donor,
        )
        return await self.workspace.groups.add_pair(pair, author=visitor())

    async def _keep_group(self, name: str, base: str, pairs: tuple[str, ...], donors: tuple[str, ...]) -> Group:
        if not (name.strip() and base):
            raise BadOption("Give a name and a base model.")
        groups, id = self.workspace.groups, slug(name)
        if any(group.id == id and group.base == base for group in groups.groups()):
            return await groups.change_group(id, author=visitor(), pairs=pairs, donors=donors)
        group = Group(id=id, name=name.strip()[:200], base=base, pairs=pairs, donors=donors)
        return await groups.add_group(group, author=visitor())


def _said(error: Exception) -> str:
    problem = told(error)
    return f'<div class="problem" role="alert" data-testid="add-problem">{text(problem["message"], 600)}</div>'


def _field(label: str, testid: str, value: str = "") -> ui.input:
    return ui.input(label, value=value).props(f"outlined dense data-testid={testid}")


def _select(options: dict[str, str], label: str, testid: str, value: str | None = None) -> ui.select:
    chosen = value if value is not None else next(iter(options), None)
    select = ui.select(options, value=chosen, label=label)
    return select.props(f"outlined dense options-dense data-testid={testid}")


def _button(label: str, on_click: Callable[[], Any], look: str, testid: str) -> None:
    ui.button(label, on_click=on_click, color=None).classes(look).props(f"flat no-caps data-testid={testid}")
