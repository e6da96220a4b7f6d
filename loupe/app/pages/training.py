"""`/training`: every training, newest first, live; and how their SAEs compare, sparsity against fidelity."""

import html
from typing import Any

from fastapi import FastAPI
from nicegui import ui

from loupe.app.pages.frame import frame
from loupe.app.pages.links import link
from loupe.app.pages.numbers import seconds, show
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.states import Way, empty_html
from loupe.app.pages.training_compare import SaeComparison
from loupe.app.plain import plain
from loupe.app.workspace import Workspace

LIMIT = 20
FOLLOW_S = 1.0
NUMBERS = (("loss", "Loss"), ("l0", "L0"), ("explained_variance", "Explained variance"), ("dead_share", "Dead"))
WAYS = (
    ("New training", "/training/new", "training-new"),
    ("Datasets", "/training/datasets", "to-datasets"),
    ("Templates", "/training/templates", "to-templates"),
)


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/training")
    async def training() -> None:
        workspace = workspace_of(api)
        with frame(workspace, "training", "Training"):
            await TrainingList(workspace).build()


class TrainingList:
    """One open page."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.page = 1
        self._shown = ""
        self._stale = False

    async def build(self) -> None:
        """Lay the page out, and follow what happens."""
        ui.html("Training", tag="h1", sanitize=False).classes("lede")
        about = "Find the parts a model is made of, by training sparse autoencoders on its activations."
        ui.html(about, sanitize=False).classes("lede-sub")
        ways = "".join(
            f'<a class="quiet-link" href="{link(path)}" data-testid="{mark}">{name}</a>' for name, path, mark in WAYS
        )
        ui.html(ways, sanitize=False).classes("crumbs")
        self.table = ui.html("", sanitize=False).classes("panel scroll")
        with ui.element("div").classes("turn-page") as self.pager:
            self._turn("Newer", -1)
            self._turn("Older", 1)
        self.compared = SaeComparison(self.workspace)
        self.compared.build()
        await self.show()
        ui.context.client.on_delete(self.workspace.bridge.subscribe("jobs", self._note_change))
        ui.timer(FOLLOW_S, self._follow, immediate=False)

    async def show(self) -> None:
        """Read the trainings and draw what has changed."""
        rows, found = await self.workspace.trainings.list(page=self.page, limit=LIMIT)
        self.pager.visible = found.has_next or self.page > 1
        drawn = table_html(rows)
        if drawn != self._shown:
            self._shown = drawn
            self.table.set_content(drawn)
        await self.compared.show()

    def _note_change(self, _: object) -> None:
        self._stale = True

    async def _follow(self) -> None:
        if self._stale or any(live.record.kind == "training" for live in self.workspace.jobs.live):
            self._stale = False
            await self.show()

    def _turn(self, name: str, by: int) -> None:
        async def turn() -> None:
            self.page = max(1, self.page + by)
            await self.show()

        button = ui.button(name, on_click=turn, color=None).classes("quiet")
        button.props(f"flat dense no-caps data-testid=trainings-{name.lower()}")


def table_html(rows: list[dict[str, Any]]) -> str:
    """The trainings as one table, or where to begin."""
    if not rows:
        ways = (
            Way("Train the first SAE", "/training/new", "on the starter model and its stories, or on your own"),
            Way("Make a dataset", "/training/datasets", "from pasted text or a file"),
        )
        said = empty_html("No training yet", "A training reads a model's activations over a dataset.", ways)
        return f'<div class="look empty" data-testid="state-empty">{said}</div>'
    heads = "".join(f"<th>{name}</th>" for name in ("Training", "State", "Progress"))
    heads += "".join(f'<th class="num">{name}</th>' for _, name in NUMBERS)
    body = "".join(_row(job) for job in rows)
    head = f"<thead><tr>{heads}</tr></thead>"
    return f'<table class="history stacks" data-testid="trainings">{head}<tbody>{body}</tbody></table>'


def _row(job: dict[str, Any]) -> str:
    total, done = job.get("total"), job["done"] or 0
    bar = f'<progress max="{total}" value="{done}" aria-label="Progress">{done} of {total}</progress>' if total else ""
    count = f"{done:,} / {total:,}" if total else ""
    left = f" · {seconds(job['seconds_left'])} left" if "seconds_left" in job else ""
    error = f'<div class="bad">{html.escape(plain(job["error"]["message"], 200))}</div>' if job.get("error") else ""
    name = html.escape(plain(job["name"], 80))
    cells = "".join(
        f'<td class="num" data-label="{name}">{_newest(job["latest"], measure)}</td>' for measure, name in NUMBERS
    )
    return (
        f'<tr data-testid="training-row" data-id="{job["id"]}" data-state="{job["state"]}">'
        f'<td class="name"><a href="{link("/training/" + job["id"])}"><bdi>{name}</bdi></a>{error}</td>'
        f'<td><span class="state {job["state"]}">{job["state"]}</span></td>'
        f'<td class="when">{bar}<span class="num">{count}{left}</span></td>{cells}</tr>'
    )


def _newest(latest: dict[str, dict[str, Any]], measure: str) -> str:
    known = [float(each[measure]) for each in latest.values() if each.get(measure) is not None]
    return "<br>".join(show(value) for value in known[:4]) or "–"
