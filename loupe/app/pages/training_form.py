"""`/training/new`: the form of a training, made from the schema of what can be asked, and whether it would fit."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi import Query as Asked
from nicegui import ui

from loupe.app.pages.controls import SchemaForm
from loupe.app.pages.frame import PATIENCE_S, frame, problem_html, told, workspace_of
from loupe.app.pages.links import link
from loupe.app.pages.numbers import seconds, show, size
from loupe.app.pages.option_form import OptionForm
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.states import Way, empty
from loupe.app.plain import plain
from loupe.app.services.catalogue import STARTER, Kind, ModelEntry
from loupe.app.services.training_fit import Fit
from loupe.app.services.training_request import SAERequest, TrainingRequest
from loupe.app.workspace import Workspace
from loupe.engine.errors import BadOption
from loupe.storage.repos.datasets import TokenisationRecord

SITES = {
    "resid_post": "output of the block", "resid_pre": "input of the block", "resid_mid": "between attention and MLP",
    "attn_out": "attention's output", "mlp_in": "MLP's input",
    "mlp_out": "MLP's output",
}  # fmt: skip
TRANSCODERS = ("transcoder", "skip_transcoder")
SAE_OPTIONS = ("k", "prefixes", "activation")
FIRST = ("steps", "batch_rows", "lr", "l0_target", "l1_coefficient", "seed")
REQUEST = (
    "buffer_rows", "held_out", "evaluation_rows", "drop_special", "drop_first", "drop_outliers", "keep_checkpoints",
)  # fmt: skip
WATCHED = "The fox was happy because the moon was out."


def register(api: FastAPI) -> None:
    """Add the page."""

    @ui.page("/training/new", response_timeout=PATIENCE_S)
    async def new(tokens: Annotated[str, Asked(max_length=64)] = "") -> None:
        workspace = workspace_of(api)
        with frame(workspace, "training", "New training"):
            await TrainingForm(workspace).build(tokens)


class TrainingForm:
    """One open form."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.rows: dict[str, TokenisationRecord] = {}

    async def build(self, tokens: str) -> None:
        """Lay the form out; without token rows it says how to make some."""
        ways = f'<a href="{link("/training")}">Trainings</a><a href="{link("/training/datasets")}">Datasets</a>'
        ui.html(ways, sanitize=False).classes("crumbs")
        ui.html("New training", tag="h1", sanitize=False).classes("lede")
        self.rows = {each.id: each for each in await self.workspace.store.datasets.tokenisations()}
        if not self.rows:
            way = Way("Datasets", "/training/datasets", "tokenise the story world, or your own text")
            empty("No token rows yet", "A training reads a dataset that was cut into token rows for its model.", (way,))
            return
        options = self.workspace.trainings.options()
        with self._panel("What is trained"):
            self._what(options, tokens)
        with self._panel("How"), ui.element("div").classes("train-form"):
            self.how = OptionForm(options["training"], FIRST, "train-")
        folded = ui.expansion("Advanced").classes("panel").props("data-testid=train-advanced")
        with folded, ui.element("div").classes("train-form body"):
            rest = [fact["name"] for fact in options["training"] if fact["name"] not in FIRST]
            self.request = SchemaForm(TrainingRequest, REQUEST, prefix="train-")
            self.advanced = OptionForm(options["training"], rest, "train-")
            self.more = OptionForm(options["sae"], ("apply_b_dec_to_input",), "train-")
        self._end()
        self._show_options()

    def _what(self, options: dict[str, Any], tokens: str) -> None:
        entries = {e.id: e for e in self.workspace.catalogue.entries() if e.kind is Kind.MODEL and e.n_layers}
        with ui.element("div").classes("train-form"):
            self.name = ui.input("Name (optional)").props("outlined dense data-testid=train-name")
            shown = {id: f"{plain(r.name, 50)} · {r.rows:,} rows · {plain(r.model)}" for id, r in self.rows.items()}
            first = tokens if tokens in shown else next(iter(shown))
            self.tokens = _select("Token rows", shown, first, "train-tokens", "Texts cut into rows for one model.")
            model = self.rows[first].model if self.rows[first].model in entries else next(iter(entries), STARTER)
            known = {id: plain(id, 40) for id in entries} or {STARTER: STARTER}
            self.model = _select("Model", known, model, "train-model", "Whose activations are read.")
            self.entries = entries
            kinds = next(fact["choices"] for fact in options["sae"] if fact["name"] == "architecture")
            self.kind = _select(
                "Architecture", {kind: kind.replace("_", " ") for kind in kinds}, "batchtopk", "train-architecture",
                "How codes are made sparse. BatchTopK is a good first choice.",
            )  # fmt: skip
            self.width = ui.number("Latents", value=SAERequest().d_sae, min=1, step=1, precision=0)
            self.width.props("outlined dense data-testid=train-d-sae").tooltip("Number of latents: features.")
            self.layers = _select("Blocks", {}, [], "train-layers", "Several: a crosscoder.", several=True)
            self.site = _select("Hook point", SITES, "resid_post", "train-site", "Where in the block it reads.")
            self.sae = OptionForm(options["sae"], SAE_OPTIONS, "train-")
            self.watched = (
                ui.input("Watched text", value=WATCHED).props("outlined dense maxlength=400").classes("whole")
            )
            self.watched.props("data-testid=train-watched").tooltip("Its features are shown while training.")
        self.tokens.on_value_change(lambda _: self._follow_rows())
        self.model.on_value_change(lambda _: self._follow_model())
        self.kind.on_value_change(lambda _: self._show_options())
        self._follow_model()

    def _follow_rows(self) -> None:
        """Rows belong to a model; choosing them chooses it."""
        model = self.rows[str(self.tokens.value)].model
        if model in self.entries:
            self.model.set_value(model)

    def _follow_model(self) -> None:
        entry: ModelEntry | None = self.entries.get(str(self.model.value))
        count = (entry.n_layers if entry else None) or 1
        kept = [layer for layer in self.layers.value or [] if layer < count] or [count // 2]
        self.layers.set_options({layer: f"block {layer}" for layer in range(count)}, value=kept)

    def _show_options(self) -> None:
        kind = str(self.kind.value)
        self.site.visible = kind not in TRANSCODERS
        for form in (self.sae, self.how, self.advanced):
            form.show_for(kind)

    def _end(self) -> None:
        self.said = ui.element("div").props("role=status aria-live=polite data-testid=train-said")
        with ui.element("div").classes("actions"):
            go = ui.button("Start training", on_click=self._start, color=None).classes("go")
            go.props("unelevated no-caps data-testid=train-start")
            check = ui.button("Does it fit?", on_click=self._check, color=None).classes("quiet")
            check.props("flat no-caps data-testid=train-fit")
            ui.html("A few steps are tried, and nothing is kept.", sanitize=False).classes("soft small")

    def asked(self) -> TrainingRequest:
        """What the form says. Raises BadOption, ValidationError."""
        kind = str(self.kind.value)
        layers = sorted(self.layers.value or [])
        if len(layers) > 1 and kind != "crosscoder":
            raise BadOption(f"{len(layers)} blocks are chosen; only a crosscoder reads several. Choose one block.")
        if not layers:
            raise BadOption("No block is chosen. Choose the block whose activations are read.")
        reads = [f"blocks.{layer}.{'mlp_in' if kind in TRANSCODERS else self.site.value}" for layer in layers]
        writes = [f"blocks.{layer}.mlp_out" for layer in layers] if kind in TRANSCODERS else []
        if self.width.value is None:
            raise BadOption("The number of latents is missing.")
        sae = {
            "architecture": kind, "d_sae": int(self.width.value), "reads": reads, "writes": writes,
            "options": self.sae.values() | self.more.values(),
        }  # fmt: skip
        text = (self.watched.value or "").strip()
        return TrainingRequest.model_validate(
            {
                "name": self.name.value or "", "model": self.model.value, "tokenisation": self.tokens.value,
                "saes": [sae], "training": self.how.values() | self.advanced.values(),
                "watched": [text] if text else [], **self.request.values(),
            }
        )  # fmt: skip

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
        except Exception as error:
            problem = problem_html(told(error))
            self._say(f'<div class="look failed" role="alert" data-testid="train-problem">{problem}</div>')

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
        ("memory", f"{size(fit.memory_bytes)} of {size(fit.memory_free_bytes)} free"),
        ("of that the buffer", size(fit.buffer_bytes)),
        ("disk", f"{size(fit.disk_bytes)} of {size(fit.disk_free_bytes)} free"),
        ("time", f"about {seconds(fit.seconds)}, as fast as the machine is now"),
        ("speed", f"{fit.tokens_per_s:,.0f} tokens/s"),
        ("text", f"{fit.tokens:,} tokens in {fit.rows:,} rows, read {show(fit.epochs)} times"),
    )
    rows = "".join(f"<span>{name} <b>{html.escape(value)}</b></span>" for name, value in facts)
    reasons = "".join(f"<li>{html.escape(problem)}</li>" for problem in fit.problems)
    verdict = "It fits." if fit.fits else "It does not fit."
    listed = f'<ul class="wrong-lines">{reasons}</ul>' if reasons else ""
    moved = "" if fit.fits else " moved"
    return (
        f'<div data-testid="fit"><p class="verdict small-verdict{moved}">{verdict}</p>{listed}'
        f'<div class="fit-facts">{rows}</div></div>'
    )


def _select(
    label: str, choices: dict[Any, str], value: Any, mark: str, about: str, *, several: bool = False
) -> ui.select:
    select = ui.select(choices, value=value, label=label, multiple=several)
    select.props(f"outlined dense options-dense data-testid={mark}").tooltip(about)
    return select
