"""Activations of a dataset's token rows, kept on disk: writing a cache, what the caches hold, deleting one."""

import html
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from loupe.app.pages.controls import SchemaForm, confirmed
from loupe.app.pages.links import link
from loupe.app.pages.numbers import show
from loupe.app.pages.ongoing import Ongoing
from loupe.app.pages.refusals import REFUSALS, refusal_html
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.sae_form import SITES
from loupe.app.plain import plain
from loupe.app.services.activation_cache import Cache
from loupe.app.services.activations_request import ActivationsRequest
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace
from loupe.engine.errors import BadOption
from loupe.storage.repos.datasets import TokenisationRecord

ASKED = ("rows", "dtype", "max_gb", "shard_rows", "held_out")
PICK = """(e) => {
  const t = e.target.closest('button[data-id]');
  if (t) emit(t.dataset.id);
}"""


class ActivationsPanel:
    """Stands below the token rows it is told of by `show`; takes no room while there are none."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.rows: dict[str, TokenisationRecord] = {}

    def build(self) -> None:
        """Lay it out."""
        self.box = ui.expansion("Cache activations").props("data-testid=activations")
        with self.box:
            with ui.element("div").classes("train-form"):
                self.tokens = ui.select({}, label="Of the token rows")
                self.tokens.props("outlined dense options-dense data-testid=cache-tokens")
                self.tokens.on_value_change(lambda _: self._follow_model())
                self.points = ui.select([], label="Hook points", multiple=True)
                self.points.props("outlined dense options-dense data-testid=cache-points")
                self.points.tooltip("What a training from this cache may read and write; each takes as much space.")
                self.form = SchemaForm(ActivationsRequest, ASKED, prefix="cache-", ranges=True)
            self.said = ui.html("", sanitize=False).props("role=status data-testid=cache-said")
            with ui.element("div").classes("actions"):
                go = ui.button("Cache activations", on_click=self.write, color=None).classes("go")
                go.props("unelevated no-caps data-testid=cache-go")
        Ongoing(self.workspace, "activations", self.draw, lambda request: request["tokenisation"] in self.rows).build()
        self.caches = ui.html("", sanitize=False).props("data-testid=caches").classes("scroll")
        self.caches.on("click", self._delete, js_handler=PICK)

    async def show(self, rows: Sequence[TokenisationRecord]) -> None:
        """These are the token rows there are now."""
        self.rows = {each.id: each for each in rows}
        self.box.visible = bool(rows)
        named = {id: f"{plain(each.name, 50)} · {each.rows:,} rows" for id, each in self.rows.items()}
        chosen = self.tokens.value if self.tokens.value in named else next(iter(named), None)
        self.tokens.set_options(named, value=chosen)
        self._follow_model()
        await self.draw()

    async def draw(self) -> None:
        """The caches as they are now."""
        found = [cache for cache in await self.workspace.activations.all() if self._is_mine(cache)]
        self.caches.set_content(caches_html(found))

    def _is_mine(self, cache: Cache) -> bool:
        """Also a damaged one, which does not say what it was made of: it is shown so that it can be deleted."""
        return cache.facts is None or any(cache.made_of(id) for id in self.rows)

    def _follow_model(self) -> None:
        """Offer the hook points of the model that the chosen rows belong to."""
        record = self.rows.get(str(self.tokens.value))
        entries = {entry.id: entry for entry in self.workspace.catalogue.entries()}
        layers = (entries[record.model].n_layers or 0) if record and record.model in entries else 0
        names = [f"blocks.{layer}.{site}" for layer in range(layers) for site in SITES]
        kept = [name for name in self.points.value or [] if name in names]
        self.points.set_options(names, value=kept or [f"blocks.{layers // 2}.resid_post"] * bool(layers))

    async def write(self) -> None:
        """Begin what the form says, and show how it ended."""
        try:
            live = await self.workspace.activations.start(self._asked(), author=visitor())
        except REFUSALS as error:
            self.said.set_content(refusal_html(error, "cache-problem"))
            return
        self.said.set_content("")
        record = await self.workspace.jobs.wait(live.id)
        if record.state != "done":
            told = html.escape(plain(record.error_message or f"It was {record.state}.", 600))
            self.said.set_content(f'<div class="look failed" role="alert" data-testid="cache-problem">{told}</div>')
        await self.draw()

    def _asked(self) -> ActivationsRequest:
        if not self.points.value:
            raise BadOption("No hook point is chosen. Choose where in the model activations are read.")
        tokens = str(self.tokens.value)
        asked = {"tokenisation": tokens, "model": self.rows[tokens].model, "points": self.points.value}
        return ActivationsRequest.model_validate(asked | self.form.values())

    async def _delete(self, event: Any) -> None:
        if not await confirmed("Delete these activations for good?", "Delete them", "Keep them"):
            return
        try:
            await self.workspace.activations.delete(str(event.args))
        except REFUSALS as error:
            self.said.set_content(refusal_html(error, "cache-problem"))
            self.box.set_value(True)
        await self.draw()


def caches_html(caches: Sequence[Cache]) -> str:
    """Caches, each with what it holds and the way to a training from it; nothing where there are none."""
    if not caches:
        return ""
    heads = '<th>Activations</th><th class="num">rows</th><th class="num">size</th><th>kept as</th><th></th><th></th>'
    body = "".join(_row(cache) for cache in caches)
    return f'<table class="plain-table cuts"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'


def _row(cache: Cache) -> str:
    name = f"<bdi>{html.escape(plain(cache.name, 60))}</bdi>"
    size = f'<td class="num">{size_text(cache.size)}</td>'
    forget = f'<td><button class="plain" data-id="{cache.id}" data-testid="cache-delete">Delete</button></td>'
    if (facts := cache.facts) is None:
        why = html.escape(plain(cache.problem or "", 200))
        told = f'<p class="soft small" data-testid="cache-damaged">damaged: {why}</p>'
        return f'<tr data-testid="cache"><td>{name}{told}</td><td></td>{size}<td></td><td></td>{forget}</tr>'
    points = "".join(_point(str(point), facts.statistics.get(str(point), {})) for point in facts.points)
    way = f'<a href="{link("/training/new")}?cache={cache.id}" data-testid="train-from">Train from these</a>'
    state = "" if facts.complete else ", not complete"
    return (
        f'<tr data-testid="cache"><td>{name}<details><summary>Statistics</summary><ul>{points}</ul></details></td>'
        f'<td class="num">{facts.rows:,}</td>{size}<td>{html.escape(facts.dtype)}{state}</td>'
        f"<td>{way}</td>{forget}</tr>"
    )


def _point(name: str, statistics: dict[str, Any]) -> str:
    """A hook point with the figures that are known of it."""
    known = (("mean norm", "mean_norm"), ("standard deviation", "standard_deviation"))
    told = "".join(f" · {word} <b>{show(statistics[key])}</b>" for word, key in known if key in statistics)
    return f'<li data-testid="cache-point">{html.escape(plain(name, 60))}{told}</li>'
