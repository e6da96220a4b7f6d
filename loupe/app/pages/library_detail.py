"""One thing of the library: what it is, whether it fits, what it is made of, what was certified, what depends on it."""

from typing import Any

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
from loupe.app.pages.library_models import state_of_entry
from loupe.app.pages.library_news import follow
from loupe.app.pages.library_pairs import group_entry, pair_entry
from loupe.app.pages.library_sae import SaePage
from loupe.app.pages.links import link
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.sheet import text_button
from loupe.app.pages.states import Way, empty, failed
from loupe.app.services.catalogue import Kind, ModelEntry
from loupe.app.services.live_job import LiveJob
from loupe.app.services.placements import AUTO
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace
from loupe.engine.errors import LoupeError
from loupe.storage.errors import NotFound as NoSuchRow

TITLES = {"models": "Model", "pairs": "NLA pair", "groups": "Model group"}


async def build(workspace: Workspace, problem: Problem, kind: str, id: str) -> None:
    """Draw the page of one thing, or say that it is not there."""
    try:
        if kind == "models":
            await ModelPage(workspace, problem, workspace.catalogue.get(id)).build()
        elif kind == "pairs":
            _pair_page(workspace, id)
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

    async def build(self) -> None:
        """Lay it out; what takes long (fit, tree) is filled in when it is known."""
        entry = self.entry
        with ui.element("div").classes("library"):
            self.head = ui.html("", sanitize=False)
            self._actions()
            self.said = ui.html("", sanitize=False).classes("said-line").props("role=status data-testid=library-said")
            with _panel("What it is", "facts"):
                ui.html(facts_html(facts_of(entry)), sanitize=False)
                self.fingerprint = ui.html('<p class="soft">The fingerprint is being computed.</p>', sanitize=False)
                self.fit = ui.html("", sanitize=False)
            with _panel("Certification", "certification"):
                self.badge = ui.html("", sanitize=False)
            with _panel("What depends on it", "depends"):
                ui.html(dependants_html((await self.workspace.library.dependants(entry.id)).to_json()), sanitize=False)
            with _panel("Architecture and hook points", "architecture"):
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
        self.load.visible = state == "on disk" and self.entry.kind is Kind.MODEL
        self.dtype.visible = self.device.visible = self.load.visible
        self.unload.visible = state == "loaded"

    def _actions(self) -> None:
        labels = self.workspace.library.dtypes(self.entry.id)
        with ui.element("div").classes("actions"):
            self.dtype = ui.select(labels, value="auto", label="Precision", on_change=self._draw_fit)
            self.dtype.props("outlined dense options-dense data-testid=dtype").classes("precision")
            self.device = ui.select([AUTO], value=AUTO, label="Device", on_change=self._draw_fit)
            self.device.props("outlined dense options-dense data-testid=load-device").classes("precision")
            self.load = text_button("Load", self._load, "go", "load")
            self.unload = text_button("Unload", self._unload, "quiet", "unload")
            certify = text_button("Certify", self._certify, "quiet", "certify")
            certify.visible = self.entry.kind in (Kind.MODEL, Kind.VERBALIZER)

    def _follow(self) -> None:
        def changed(_: object) -> None:
            if not self.client.is_deleted:
                with self.client:
                    self.draw()

        stop = self.workspace.bridge.subscribe("models", changed)
        self.client.on_delete(stop)

    async def _load(self) -> None:
        self.problem.clear()
        job = await self.workspace.loads.load_model(
            self.entry.id, self.dtype.value, device=self.device.value, author=visitor()
        )
        self._watch(job)

    async def _unload(self) -> None:
        await self.workspace.models.unload_folder(self.entry.path)
        self.said.set_content("It left memory.")
        await self._draw_fit()

    async def _certify(self) -> None:
        self.problem.clear()
        self._watch(await self.workspace.loads.certify(self.entry.id, author=visitor()))

    def _watch(self, job: LiveJob) -> None:
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
            self.draw()
            await self._draw_badge()
            await self._draw_fit()

        background_tasks.create(end(), name="library-job", context=self.client)

    async def _look(self) -> None:
        await self._draw_devices()
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

    async def _draw_devices(self) -> None:
        """The places of this machine; `auto` is where the settings put what nobody chose a place for."""
        self.device.set_options([AUTO, *await self.workspace.placements.places()])
        chosen = self.workspace.placements.chosen.get(self.entry.id, AUTO)
        self.device.set_value(chosen if chosen in self.device.options else AUTO)

    async def _draw_fit(self, _: Any = None) -> None:
        place = "" if self.device.value == AUTO else self.device.value
        try:
            found = await self.workspace.library.fit(self.entry.id, self.dtype.value, place)
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


def _pair_page(workspace: Workspace, id: str) -> None:
    pair = workspace.groups.pair(id)
    row = pair_entry(workspace, pair)
    with ui.element("div").classes("library"):
        _head("pairs", row.name, row.state)
        if row.problem:
            failed({"message": row.problem, "details": {"sentence": "This pair cannot be used as it stands."}})
        with _panel("What it is", "facts"):
            ui.html(facts_html(_sidecar_facts(workspace, id) | {"source": pair.source}), sanitize=False)
            parts = {"model": pair.model, "verbalizer": pair.verbalizer, "reconstructor": pair.reconstructor}
            parts |= {"donor": pair.donor} if pair.donor else {}
            ui.html(_parts_html(parts), sanitize=False)
        with _panel("Groups it is in", "groups"):
            found = {"pairs": [], "groups": [g.id for g in workspace.groups.groups_of(id)], "runs": 0, "users": 0}
            ui.html(dependants_html(found), sanitize=False)


def _group_page(workspace: Workspace, id: str) -> None:
    group = workspace.groups.group(id)
    row = group_entry(workspace, group)
    with ui.element("div").classes("library"):
        _head("groups", row.name, row.state)
        with _panel("What it is", "facts"):
            ui.html(facts_html({"description": group.description, "source": group.source}), sanitize=False)
            ui.html(_parts_html({"base": group.base}), sanitize=False)
            ui.html(_list_html("pairs", group.pairs) + _list_html("donors", group.donors), sanitize=False)


def _head(noun: str, name: str, state: str) -> None:
    ui.html(
        f'<a href="{link("/library")}">Library</a> <span class="soft">{TITLES[noun]}</span>'
        f'<h1 class="lede">{text(name)} {chip(state, state)}</h1>',
        sanitize=False,
    )


def _sidecar_facts(workspace: Workspace, id: str) -> dict[str, object]:
    """What the verbalizer's sidecar says about injection; nothing where it cannot be read."""
    from loupe.engine.nla.sidecar import Role, load_sidecar

    pair = workspace.groups.pair(id)
    try:
        sidecar = load_sidecar(workspace.catalogue.get(pair.verbalizer).path, Role.VERBALIZER)
    except (AppError, LoupeError):
        return {"reads block": pair.layer}
    return {
        "reads block": pair.layer if pair.layer is not None else sidecar.layer,
        "d_model": sidecar.d_model,
        "injection scale": sidecar.injection_scale,
        "fve denominator": sidecar.fve_denominator,
        "decoded together": pair.batch_rows,
        "description": pair.description,
    }


def _parts_html(parts: dict[str, str]) -> str:
    rows = "".join(
        f'<dt>{role}</dt><dd><a href="{link(f"/library/models/{id}")}">{text(id)}</a></dd>'
        for role, id in parts.items()
        if id
    )
    return f'<dl class="known">{rows}</dl>'


def _list_html(title: str, ids: tuple[str, ...]) -> str:
    noun = "pairs" if title == "pairs" else "models"
    items = "".join(f'<li><a href="{link(f"/library/{noun}/{id}")}">{text(id)}</a></li>' for id in ids)
    return f'<div class="overline">{title}</div><ul>{items}</ul>' if items else ""


def _panel(title: str, testid: str) -> ui.element:
    panel = ui.element("section").classes("panel pad stack").props(f'aria-label="{title}" data-testid={testid}')
    with panel:
        ui.html(title, tag="h2", sanitize=False)
    return panel
