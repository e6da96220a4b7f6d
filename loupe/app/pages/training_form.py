"""`/training/new`: the form of a training, made from the schema of what can be asked, and whether it would fit."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi import Query as Asked
from nicegui import ui

from loupe.app.pages.cache_choice import CacheChoice
from loupe.app.pages.controls import SchemaForm
from loupe.app.pages.frame import Problem, frame
from loupe.app.pages.links import link
from loupe.app.pages.numbers import seconds, show
from loupe.app.pages.option_form import OptionForm
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.refusals import REFUSALS, refusal_html
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.sae_form import SaeForm
from loupe.app.pages.states import Way, empty
from loupe.app.pages.template_actions import ask_name, template_choices
from loupe.app.plain import plain
from loupe.app.services.activation_cache import Cache
from loupe.app.services.activations_request import LEFT_OUT
from loupe.app.services.catalogue import STARTER, Kind, ModelEntry
from loupe.app.services.training_fit import Fit
from loupe.app.services.training_request import Recipe, TrainingRequest
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace
from loupe.storage.repos.datasets import TokenisationRecord

FIRST = ("steps", "batch_rows", "lr", "seed")
REQUEST = (
    "buffer_rows", "held_out", "evaluation_rows", "drop_special", "drop_first", "drop_outliers", "keep_checkpoints",
)  # fmt: skip
WATCHED = "The fox was happy because the moon was out."
Id = Annotated[str, Asked(max_length=64)]


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/training/new")
    async def new(tokens: Id = "", template: Id = "", like: Id = "", cache: Id = "") -> None:
        workspace = workspace_of(api)
        with frame(workspace, "training", "New training") as problem:
            await TrainingForm(workspace, problem).build(tokens, template, like, cache)


class TrainingForm:
    """One open form."""

    def __init__(self, workspace: Workspace, problem: Problem) -> None:
        self.workspace = workspace
        self.problem = problem
        self.rows: dict[str, TokenisationRecord] = {}
        self.saes: list[SaeForm] = []

    async def build(self, tokens: str, template: str, like: str, cache: str) -> None:
        """Lay the form out; without token rows it says how to make some.

        `template` and `like`, a training, are what it is filled from; `cache` is read instead of the model.
        """
        ways = (("Trainings", "/training"), ("Datasets", "/training/datasets"), ("Templates", "/training/templates"))
        crumbs = "".join(f'<a href="{link(path)}">{name}</a>' for name, path in ways)
        ui.html(crumbs, sanitize=False).classes("crumbs")
        ui.html("New training", tag="h1", sanitize=False).classes("lede")
        self.rows = {each.id: each for each in await self.workspace.store.datasets.tokenisations()}
        if not self.rows:
            way = Way("Datasets", "/training/datasets", "tokenise the story world, or your own text")
            empty("No token rows yet", "A training reads a dataset that was cut into token rows for its model.", (way,))
            return
        self.options = self.workspace.trainings.options()
        former = await self.workspace.trainings.get(like) if like else None
        await self._templates(template)
        with self._panel("What is read"):
            asked = former["request"] if former else {"tokenisation": tokens, "activations": cache}
            self._read(asked["tokenisation"], asked.get("activations"), await self.workspace.activations.all())
        with self._panel("What is trained"):
            self._forms = ui.element("div").classes("stack")
            with ui.element("div").classes("actions"):
                more = ui.button("Another SAE", icon="add", on_click=self._add, color=None).classes("quiet")
                more.props("flat no-caps data-testid=train-sae-add")
                self._count = ui.html("", sanitize=False).classes("soft small").props("data-testid=train-sae-count")
        self._how()
        self._end()
        self._add()
        if former:
            self._fill(Recipe.model_validate(former["recipe"]))
        elif template:
            await self._begin_from(template)
        self._follow_cache()

    async def _templates(self, chosen: str) -> None:
        with ui.element("div").classes("tools"):
            self.choices = {"": "Template: none", **template_choices(await self.workspace.templates.list())}
            self.template = ui.select(self.choices, value=chosen if chosen in self.choices else "")
            self.template.props("outlined dense options-dense data-testid=train-template").classes("template-choice")
            self.template.props('aria-label="Begin from a template"')
            self.template.on_value_change(lambda e: self._begin_from(e.value) if e.value else None)
            keep = ui.button("Save as a template", icon="bookmark_add", on_click=self._keep, color=None)
            keep.classes("quiet").props("flat no-caps data-testid=train-save-template")

    def _read(self, tokens: str, cache: str | None, caches: list[Cache]) -> None:
        entries = {e.id: e for e in self.workspace.catalogue.entries() if e.kind is Kind.MODEL and e.n_layers}
        with ui.element("div").classes("train-form"):
            self.name = ui.input("Name (optional)").props("outlined dense maxlength=200 data-testid=train-name")
            shown = {id: f"{plain(r.name, 50)} · {r.rows:,} rows · {plain(r.model)}" for id, r in self.rows.items()}
            first = tokens if tokens in shown else next(iter(shown))
            self.tokens = _select("Token rows", shown, first, "train-tokens", "Texts cut into rows for one model.")
            model = self.rows[first].model if self.rows[first].model in entries else next(iter(entries), STARTER)
            known = {id: plain(id, 40) for id in entries} or {STARTER: STARTER}
            self.model = _select("Model", known, model, "train-model", "Whose activations are read.")
            self.entries = entries
            there = [each for each in caches if each.facts and each.facts.source["tokenisation"] in self.rows]
            self.cache = CacheChoice(there, cache, self._follow_cache)
            self.watched = ui.textarea("Watched texts, one a line", value=WATCHED).classes("whole")
            self.watched.props("outlined dense autogrow rows=1 data-testid=train-watched")
            self.watched.tooltip("Their features are shown while training; at most four.")
        self.tokens.on_value_change(lambda _: self._follow_rows())
        self.model.on_value_change(lambda _: self._follow_model())

    def _how(self) -> None:
        shared = [fact["name"] for fact in self.options["training"] if not fact["only_for"]]
        with self._panel("How"), ui.element("div").classes("train-form"):
            self.how = OptionForm(self.options["training"], FIRST, "train-")
        folded = ui.expansion("Advanced").classes("panel").props("data-testid=train-advanced")
        with folded, ui.element("div").classes("train-form body"):
            self.request = SchemaForm(TrainingRequest, REQUEST, prefix="train-", ranges=True)
            self.advanced = OptionForm(self.options["training"], [n for n in shared if n not in FIRST], "train-")

    def _follow_rows(self) -> None:
        """Rows belong to a model; choosing them chooses it."""
        model = self.rows[str(self.tokens.value)].model
        if model in self.entries:
            self.model.set_value(model)

    def _follow_cache(self) -> None:
        """What a cache decides is shown as it says, and cannot be chosen."""
        source, left_out = self.cache.source, self.cache.left_out
        for name, value in left_out.items():
            self.request.controls[name].set_value(value)
        if source:
            self.tokens.set_value(source["tokenisation"])
            self.model.set_value(source["model"] if source["model"] in self.entries else self.model.value)
        for control in (self.tokens, self.model, *(self.request.controls[name] for name in LEFT_OUT)):
            control.set_enabled(not source)

    def _follow_model(self) -> None:
        for form in self.saes:
            form.set_layers(self._layers)

    @property
    def _layers(self) -> int:
        entry: ModelEntry | None = self.entries.get(str(self.model.value))
        return (entry.n_layers if entry else None) or 1

    # The SAEs.

    def _add(self) -> SaeForm:
        with self._forms:
            form = SaeForm(self.options, self._layers, self._number)
        form.remove.on_click(lambda: self._remove(form))
        self.saes.append(form)
        self._number()
        return form

    def _remove(self, form: SaeForm) -> None:
        self.saes.remove(form)
        form.box.delete()
        self._number()

    def _number(self) -> None:
        for number, form in enumerate(self.saes, start=1):
            form.set_title(number, is_only=len(self.saes) == 1)
        count = sum(form.count for form in self.saes)
        self._count.set_content(f"{count} SAEs from one pass over the model" if count > 1 else "")

    # Templates.

    async def _begin_from(self, id: str) -> None:
        self._fill((await self.workspace.templates.get(id)).recipe)

    def _fill(self, recipe: Recipe) -> None:
        """Show a recipe; options that only some architectures have go to the SAEs that have them."""
        for form in tuple(self.saes):
            self._remove(form)
        own = {fact["name"] for fact in self.options["training"] if fact["only_for"]}
        shared = {name: value for name, value in recipe.training.items() if name in own}
        for sae in recipe.saes:
            self._add().fill(sae, shared)
        for form in (self.how, self.advanced):
            form.fill(recipe.training)
        self.request.fill(recipe.model_dump(include=set(REQUEST)))
        if recipe.watched:
            self.watched.set_value("\n".join(recipe.watched))
        self._follow_cache()

    async def _keep(self) -> None:
        try:
            recipe = self.asked().recipe
        except REFUSALS as error:
            self._say(refusal_html(error, "train-problem"))
            return
        kept = await ask_name(self.workspace, recipe)
        if kept:
            self.choices[kept.id] = plain(kept.name, 60)
            self.template.set_options(self.choices)
            self.template.value = kept.id

    # Asking.

    def asked(self) -> TrainingRequest:
        """What the form says. Raises BadOption, ValidationError."""
        texts = [line.strip() for line in (self.watched.value or "").splitlines()]
        return TrainingRequest.model_validate(
            {
                "name": self.name.value or "", "model": self.model.value, "tokenisation": self.tokens.value,
                "activations": self.cache.cache,
                "saes": [sae for form in self.saes for sae in form.asked()],
                "training": self.how.values() | self.advanced.values(),
                "watched": [text for text in texts if text], **self.request.values(), **self.cache.left_out,
            }
        )  # fmt: skip

    def _end(self) -> None:
        self.said = ui.element("div").props("role=status aria-live=polite data-testid=train-said")
        with ui.element("div").classes("actions"):
            go = ui.button("Start training", on_click=self._start, color=None).classes("go")
            go.props("unelevated no-caps data-testid=train-start")
            check = ui.button("Does it fit?", on_click=self._check, color=None).classes("quiet")
            check.props("flat no-caps data-testid=train-fit")
            ui.html("A few steps are tried, and nothing is kept.", sanitize=False).classes("soft small")

    async def _check(self) -> None:
        await self._told("Trying a few steps …", self._measure)

    async def _measure(self) -> str:
        return fit_html(await self.workspace.trainings.fit(self.asked()))

    async def _start(self) -> None:
        async def start() -> str:
            live = await self.workspace.trainings.start(self.asked(), author=visitor())
            ui.navigate.to(f"/training/{live.id}")
            return ""

        await self._told("", start)

    async def _told(self, waiting: str, work: Any) -> None:
        """Do it, and say at the form what came of it."""
        self._say(f'<p class="soft">{waiting}</p>' if waiting else "")
        try:
            self._say(await work())
        except REFUSALS as error:
            self._say(refusal_html(error, "train-problem"))

    def _say(self, markup: str) -> None:
        self.said.clear()
        if markup:
            with self.said:
                ui.html(markup, sanitize=False)

    @contextmanager
    def _panel(self, title: str) -> Iterator[None]:
        with ui.element("section").classes("panel"), ui.element("div").classes("body"):
            ui.html(title, tag="h2", sanitize=False)
            yield


def fit_html(fit: Fit) -> str:
    """Whether a training fits, why not, and what it would take."""
    facts = (
        ("memory", f"{size_text(fit.memory_bytes)} of {size_text(fit.memory_free_bytes)} free"),
        ("of that the buffer", size_text(fit.buffer_bytes)),
        ("disk", f"{size_text(fit.disk_bytes)} of {size_text(fit.disk_free_bytes)} free"),
        ("time", "" if fit.seconds is None else f"about {seconds(fit.seconds)}, as fast as the machine is now"),
        ("speed", "" if fit.tokens_per_s is None else f"{fit.tokens_per_s:,.0f} tokens/s"),
        ("text", f"{fit.tokens:,} tokens in {fit.rows:,} rows, read {show(fit.epochs)} times"),
    )
    rows = "".join(f"<span>{name} <b>{html.escape(value)}</b></span>" for name, value in facts if value)
    reasons = "".join(f"<li>{html.escape(problem)}</li>" for problem in fit.problems)
    verdict = "It fits." if fit.fits else "It does not fit."
    listed = f'<ul class="wrong-lines">{reasons}</ul>' if reasons else ""
    moved = "" if fit.fits else " moved"
    return (
        f'<div data-testid="fit"><p class="verdict small-verdict{moved}">{verdict}</p>{listed}'
        f'<div class="fit-facts">{rows}</div></div>'
    )


def _select(label: str, choices: dict[Any, str], value: Any, mark: str, about: str) -> ui.select:
    select = ui.select(choices, value=value, label=label)
    select.props(f"outlined dense options-dense data-testid={mark}").tooltip(about)
    return select
