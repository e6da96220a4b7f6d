"""One thing of the library: what it is, whether it fits, what it is made of, what was certified, what depends on it."""

from nicegui import background_tasks, ui

from loupe.app.errors import AppError, NotFound
from loupe.app.pages.frame import Problem, told
from loupe.app.pages.library_html import (
    certificate_html,
    chip,
    dependants_html,
    facts_html,
    fit_html,
    text,
    tree_html,
)
from loupe.app.pages.library_load import LoadBar
from loupe.app.pages.library_models import state_of_entry
from loupe.app.pages.library_news import follow
from loupe.app.pages.library_pair import PairPage
from loupe.app.pages.library_pairs import group_entry
from loupe.app.pages.library_sae import SaePage
from loupe.app.pages.library_sheet import head_html, panel, parts_html
from loupe.app.pages.links import link
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.sheet import text_button
from loupe.app.pages.states import Way, empty
from loupe.app.services.catalogue import Kind, ModelEntry
from loupe.app.services.live_job import LiveJob
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace
from loupe.engine.errors import LoupeError
from loupe.storage.errors import NotFound as NoSuchRow


async def build(workspace: Workspace, problem: Problem, kind: str, id: str) -> None:
    """Draw the page of one thing, or say that it is not there."""
    try:
        if kind == "models":
            await ModelPage(workspace, problem, workspace.catalogue.get(id)).build()
        elif kind == "pairs":
            await PairPage(workspace, problem, workspace.groups.pair(id)).build()
        elif kind == "groups":
            _group_page(workspace, id)
        elif kind == "saes":
            page = SaePage(workspace, problem, await workspace.store.saes.get(id))
            await page.build()
            follow(workspace, page.draw)
        else:
            raise NotFound(f"The library has no {kind!r}.")
    except (NotFound, NoSuchRow) as error:
        empty("Not in the library", str(error), (Way("All of the library", "/library"),))


class ModelPage:
    """One open page of a folder."""

    def __init__(self, workspace: Workspace, problem: Problem, entry: ModelEntry) -> None:
        self.workspace = workspace
        self.problem = problem
        self.entry = entry
        self.client = ui.context.client
        self.bar = LoadBar(workspace, problem, load=self._load, unload=self._unload, changed=self._draw_all)

    async def build(self) -> None:
        """Lay it out; what takes long (fit, tree) is filled in when it is known."""
        entry = self.entry
        with ui.element("div").classes("library"):
            self.head = ui.html("", sanitize=False)
            with self.bar.build(self.workspace.library.dtypes(entry.id), entry.id):
                certify = text_button("Certify", self._certify, "quiet", "certify")
                certify.visible = entry.kind in (Kind.MODEL, Kind.VERBALIZER)
            with panel("What it is", "facts"):
                ui.html(facts_html(facts_of(entry)), sanitize=False)
                self.fingerprint = ui.html('<p class="soft">The fingerprint is being computed.</p>', sanitize=False)
                self.fit = ui.html("", sanitize=False)
            with panel("Certification", "certification"):
                self.badge = ui.html("", sanitize=False)
            with panel("What depends on it", "depends"):
                ui.html(dependants_html((await self.workspace.library.dependants(entry.id)).to_json()), sanitize=False)
            with panel("Architecture and hook points", "architecture"):
                self.tree = ui.html('<p class="soft">Looking at the modules.</p>', sanitize=False).classes("tree")
        self._follow()
        self.draw()
        background_tasks.create(self._look(), name="library-look", context=self.client)

    def draw(self) -> None:
        """State and stage as they are now."""
        state = state_of_entry(self.workspace, self.entry)
        stage = self.workspace.models.stage if state == "loading" else ""
        kind = "" if self.entry.kind is Kind.MODEL else chip(self.entry.kind.value)
        self.head.set_content(
            f'<a href="{link("/library")}">Library</a>'
            f'<h1 class="lede">{text(self.entry.id)} {chip(state, state)}{kind}</h1>'
            f'<div class="soft" data-testid="stage">{text(stage)}</div>'
        )
        is_loadable = state == "on disk" and self.entry.kind is Kind.MODEL
        self.bar.show(can_load=is_loadable, can_unload=state == "loaded")

    def _follow(self) -> None:
        def changed(_: object) -> None:
            if not self.client.is_deleted:
                with self.client:
                    self.draw()

        stop = self.workspace.bridge.subscribe("models", changed)
        self.client.on_delete(stop)

    async def _load(self, dtype: str, device: str) -> LiveJob:
        return await self.workspace.loads.load_model(self.entry.id, dtype, device=device, author=visitor())

    async def _unload(self) -> None:
        await self.workspace.models.unload_folder(self.entry.path)

    async def _certify(self) -> None:
        self.problem.clear()
        self.bar.watch(await self.workspace.loads.certify(self.entry.id, author=visitor()))

    async def _draw_all(self) -> None:
        self.draw()
        await self._draw_badge()
        await self._draw_fit()

    async def _look(self) -> None:
        await self.bar.draw_devices()
        await self._draw_fit()
        await self._draw_badge()
        try:
            tree = await self.workspace.library.architecture(self.entry.id)
            self.tree.set_content(f'<div data-testid="tree">{tree_html(tree)}</div>')
        except (AppError, LoupeError) as error:
            self.tree.set_content(f'<p class="soft">{text(error, 400)}</p>')

    async def _draw_badge(self) -> None:
        try:
            fingerprint = await self.workspace.library.fingerprint(self.entry.id)
            self.fingerprint.set_content(facts_html({"fingerprint": fingerprint}))
        except (AppError, LoupeError) as error:
            fingerprint = ""
            self.fingerprint.set_content(f'<p class="soft">{text(error, 400)}</p>')
        found = await self.workspace.loads.certificate(self.entry.id)
        self.badge.set_content(certificate_html(found, fingerprint))

    async def _draw_fit(self) -> None:
        try:
            found = await self.workspace.library.fit(self.entry.id, str(self.bar.dtype.value), self.bar.place)
            self.fit.set_content(fit_html(found.to_json()))
        except (AppError, LoupeError) as error:
            self.fit.set_content(f'<div class="warning">{text(told(error)["message"], 400)}</div>')


def facts_of(entry: ModelEntry) -> dict[str, object]:
    """What a folder's own files say."""
    return {
        "kind": entry.kind.value,
        "architecture": entry.architecture,
        "blocks": entry.n_layers,
        "d_model": entry.d_model,
        "reads block": entry.layer,
        "stored as": entry.dtype,
        "size": size_text(entry.size),
        "licence": entry.licence,
        "source": entry.source,
        "revision": entry.revision,
        "adapts": entry.base,
    }


def _group_page(workspace: Workspace, id: str) -> None:
    group = workspace.groups.group(id)
    row = group_entry(workspace, group)
    with ui.element("div").classes("library"):
        ui.html(head_html("Model group", row.name, row.state), sanitize=False)
        with panel("What it is", "facts"):
            ui.html(facts_html({"description": group.description, "source": group.source}), sanitize=False)
            ui.html(parts_html({"base": group.base}), sanitize=False)
            ui.html(_list_html("pairs", group.pairs) + _list_html("donors", group.donors), sanitize=False)


def _list_html(title: str, ids: tuple[str, ...]) -> str:
    noun = "pairs" if title == "pairs" else "models"
    items = "".join(f'<li><a href="{link(f"/library/{noun}/{id}")}">{text(id)}</a></li>' for id in ids)
    return f'<div class="overline">{title}</div><ul>{items}</ul>' if items else ""
