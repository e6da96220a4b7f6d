"""`/training/{id}`: one training, live. Curves with their full history, densities, features, levers, checkpoints.

The training belongs to the server: closing the page changes nothing, and opening it again shows everything.
"""

import asyncio
import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi import Query as Asked
from nicegui import ui

from loupe.app.errors import NotFound
from loupe.app.pages import training_parts as parts
from loupe.app.pages.controls import Segmented, confirmed
from loupe.app.pages.frame import PATIENCE_S, Problem, frame, workspace_of
from loupe.app.pages.links import address, link
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.states import Way, empty
from loupe.app.pages.system_jobs import log_html
from loupe.app.pages.training_charts import CHARTS, ChartBox, Curves, heat, heat_told, lines
from loupe.app.pages.training_fork import ask_fork
from loupe.app.plain import plain
from loupe.app.workspace import Workspace
from loupe.storage.errors import NotFound as NoSuchRow

FOLLOW_S = 1.0
OVERLAYS = 50
ACT = """(e) => {
  const t = e.target.closest('button[data-act]');
  if (t) emit({ act: t.dataset.act, id: t.dataset.id || '' });
}"""


def register(api: FastAPI) -> None:
    """Add the page."""

    @ui.page("/training/{id}", response_timeout=PATIENCE_S)
    async def view(id: str, beside: Annotated[str, Asked(max_length=600)] = "") -> None:
        workspace = workspace_of(api)
        with frame(workspace, "training", "Training") as problem:
            try:
                told = await workspace.trainings.get(id)
            except (NotFound, NoSuchRow):
                empty("There is no such training", "It may have been made elsewhere.", (Way("Trainings", "/training"),))
                return
            await TrainingView(workspace, problem, told).build(beside)


class TrainingView:
    """One open page: what it has read, and how it is drawn."""

    def __init__(self, workspace: Workspace, problem: Problem, told: dict[str, Any]) -> None:
        self.workspace = workspace
        self.problem = problem
        self.id: str = told["id"]
        self.told = told
        self.own = Curves()
        self.others: dict[str, Curves] = {}  # by the ids of other trainings
        self.names: dict[str, str] = {}
        self.logs: set[str] = set()
        self.smooth = 0.0
        self.over_tokens = False
        self._stale = True
        self._reading = asyncio.Lock()
        self._shown: dict[str, str] = {}

    async def build(self, beside: str) -> None:
        """Lay the page out, draw everything, and follow the training from then on."""
        crumbs = f'<a href="{link("/training")}">Trainings</a>'
        ui.html(crumbs, sanitize=False).classes("crumbs")
        name = f"<bdi>{html.escape(plain(self.told['name'], 120))}</bdi>"
        ui.html(name, tag="h1", sanitize=False).classes("lede").props("data-testid=training-name")
        ui.html(self._about(), sanitize=False).classes("facts").props("data-testid=training-facts")
        with self._panel("Job"):
            self.job = self._acting("training-job").classes("job-card")
        chosen = await self._tools(beside)
        self._charts()
        with self._panel("Newest numbers"):
            self.numbers = ui.html("", sanitize=False).classes("scroll")
        with self._panel("Features on the watched text"):
            self.strip = ui.html("", sanitize=False).props("data-testid=training-strip")
        with ui.element("div").classes("pair"):
            with self._panel("Checkpoints"):
                self.checkpoints = self._acting("training-checkpoints").classes("scroll")
            with self._panel("SAEs"):
                self.saes = ui.html("", sanitize=False).props("data-testid=training-sae-list")
        if chosen:
            await self._overlay(chosen)
        await self.show()
        bridge, client = self.workspace.bridge, ui.context.client
        stops = [bridge.subscribe(key, self._note_change) for key in (("training", self.id), ("job", self.id), "jobs")]
        client.on_delete(lambda: [stop() for stop in stops])
        ui.timer(FOLLOW_S, self._follow, immediate=False)

    async def show(self) -> None:
        """Read what is new and draw what has changed; one reader at a time, or points would be added twice."""
        async with self._reading:
            await self._show()

    async def _show(self) -> None:
        self.told = await self.workspace.trainings.get(self.id)
        moved = False
        for id, curves in {self.id: self.own, **self.others}.items():
            moved |= curves.take(await self.workspace.trainings.curves(id, after=curves.last_step))
        self._put("job", self.job, parts.job_html(self.told))
        latest = self.told["latest"]
        self._put("numbers", self.numbers, parts.numbers_html(latest))
        self._put("strip", self.strip, await self._strip_html(latest))
        kept = await self.workspace.trainings.checkpoints(self.id)
        self._put("checkpoints", self.checkpoints, parts.checkpoints_html(kept))
        found = await self.workspace.store.saes.list(job_id=self.id)
        self._put("saes", self.saes, parts.saes_html(found.items))
        if moved:
            self.draw()

    def draw(self) -> None:
        """Send the points to the charts."""
        rows = int(self.told["request"]["training"].get("batch_rows", 4096)) if self.over_tokens else 0
        others = {self.names[id]: curves for id, curves in self.others.items()}
        for chart in CHARTS:
            told = lines(chart, self.own, others, log=chart.id in self.logs, smooth=self.smooth, rows_per_step=rows)
            self.boxes[chart.id].show(*told)
        for sae, box in self.heats.items():
            density = self.own.density.get(sae, [])
            box.show(heat(density), *heat_told(density))

    def _put(self, name: str, place: ui.html, markup: str) -> None:
        if self._shown.get(name) != markup:
            self._shown[name] = markup
            place.set_content(markup)

    async def _strip_html(self, latest: dict[str, Any]) -> str:
        strips = self.workspace.trainings.strip(self.id)
        if not strips:
            points = (await self.workspace.store.trainings.last_points([self.id])).get(self.id, [])
            strips = {point.sae: point.measured["strip"] for point in points if point.measured.get("strip")}
        step = max((each["step"] for each in latest.values()), default=None)
        return parts.strip_html(strips, step)

    def _about(self) -> str:
        asked = self.told["request"]
        facts = [f"model <b>{html.escape(asked['model'])}</b>"]
        for sae in asked["saes"]:
            where = ", ".join(sae["reads"]) or "the middle layer"
            facts.append(f"<b>{html.escape(sae['architecture'])}</b> {sae['d_sae']:,} latents on {html.escape(where)}")
        if origin := asked.get("fork_of"):
            facts.append(f'forked from <a href="{link(f"/training/{origin}")}">another training</a>')
        metrics = link(f"/api/v1/trainings/{self.id}/metrics")
        facts.append(f'<a href="{metrics}" data-testid="training-data">All points as JSON</a>')
        again = link("/training/new") + f"?like={self.id}"
        facts.append(f'<a href="{again}" data-testid="training-like">A form filled like this one</a>')
        return "".join(f"<span>{fact}</span>" for fact in facts)

    # Controls.

    async def _tools(self, beside: str) -> list[str]:
        with ui.element("div").classes("tools"):
            choices = {"step": "Steps", "tokens": "Tokens"}
            Segmented(choices, "step", self._set_axis, label="Horizontal axis", testid="axis")
            log = ui.switch("Log loss", on_change=lambda e: self._set_log("loss", e.value)).props("dense")
            log.props("data-testid=log-loss")
            others = ui.switch("Log the rest", on_change=lambda e: self._set_log("", e.value)).props("dense")
            others.props("data-testid=log-rest").tooltip("Learning rate, gradient norm and dead share, logarithmic")
            ui.label("Smoothing").classes("soft small")
            slider = ui.slider(min=0, max=0.98, step=0.02, value=0, on_change=lambda e: self._set_smooth(e.value))
            slider.props('aria-label="Smoothing" data-testid=smoothing').style("width: 9rem")
            found, _ = await self.workspace.trainings.list(limit=OVERLAYS)
            self.names = _distinct({job["id"]: plain(job["name"], 50) for job in found if job["id"] != self.id})
            chosen = [id for id in beside.split(",") if id in self.names]
            if self.names:
                select = ui.select(self.names, value=chosen, multiple=True, label="Overlay other trainings")
                select.props("outlined dense options-dense use-chips clearable data-testid=overlay")
                select.classes("template-choice")
                select.on_value_change(lambda e: self._overlay(e.value or []))
            return chosen

    def _charts(self) -> None:
        with ui.element("div").classes("charts"):
            about = {chart.id: " · ".join(filter(None, (chart.unit, chart.better))) for chart in CHARTS}
            self.boxes = {chart.id: ChartBox(chart.id, chart.title, about[chart.id]) for chart in CHARTS}
            self.heats: dict[str, ChartBox] = {}
            self._heat_place = ui.element("div").style("display: contents")
        self._add_heats(list(self.told["latest"]))

    def _add_heats(self, saes: list[str]) -> None:
        with self._heat_place:
            for sae in saes:
                if sae not in self.heats:
                    title = f"How often features fire, {plain(sae, 40)}"
                    about = "latents by share of tokens they fire on, over steps"
                    self.heats[sae] = ChartBox("density", title, about, is_broad=True)

    def _set_axis(self, value: str) -> None:
        self.over_tokens = value == "tokens"
        self.draw()

    def _set_log(self, name: str, on: bool | None) -> None:
        names = {name} if name else {"lr", "grad-norm", "dead"}
        self.logs = self.logs | names if on else self.logs - names
        self.draw()

    def _set_smooth(self, value: float | None) -> None:
        self.smooth = float(value or 0)
        self.draw()

    async def _overlay(self, ids: list[str]) -> None:
        """Draw these trainings too, and go on following them."""
        async with self._reading:
            self.others = {id: self.others.get(id) or Curves() for id in ids}
            for id, curves in self.others.items():
                curves.take(await self.workspace.trainings.curves(id, after=curves.last_step))
        beside = f"?beside={','.join(ids)}" if ids else ""
        ui.navigate.history.replace(address(f"/training/{self.id}{beside}"))
        self.draw()

    # Following and acting.

    def _note_change(self, _: object) -> None:
        self._stale = True

    async def _follow(self) -> None:
        """Look again after anything happened; while it runs points come with every second."""
        others = any(live.id in self.others for live in self.workspace.jobs.live)
        if self._stale or others or self.told["state"] in ("running", "queued"):
            self._stale = False
            self._add_heats(list(self.told["latest"]))
            await self.show()

    async def _act(self, event: Any) -> None:
        act, id = str(event.args["act"]), str(event.args["id"])
        here = self.workspace
        if act in ("pause", "resume"):
            await getattr(here.jobs, act)(self.id, by=visitor())
        elif act == "retry":
            again = await here.jobs.retry(self.id, by=visitor())
            if again["id"] != self.id:
                ui.navigate.to(f"/training/{again['id']}")
        elif act == "save":
            here.trainings.save_now(self.id)
        elif act == "stop":
            here.trainings.stop(self.id)
        elif act == "cancel":
            await self._cancel()
        elif act == "log":
            await self._log()
        else:
            await self._act_on_checkpoint(act, id)
        await self.show()

    async def _cancel(self) -> None:
        question = "Cancel this training? Only its checkpoints stay. “Stop and keep” would keep its SAEs."
        if await confirmed(question, "Cancel the training", "Let it run"):
            await self.workspace.jobs.cancel(self.id, by=visitor(), confirm=True)

    async def _act_on_checkpoint(self, act: str, id: str) -> None:
        trainings = self.workspace.trainings
        if act in ("keep", "unkeep"):
            await trainings.keep_checkpoint(id, kept=act == "keep")
        elif act == "drop" and await confirmed("Delete this checkpoint for good?", "Delete it", "Keep it"):
            await trainings.delete_checkpoint(id)
        elif act == "load":
            found = await trainings.load_checkpoint(id)
            names = ", ".join(plain(sae.name, 40) for sae in found)
            ui.notify(f"In the Library as of step {found[0].step:,}: {names}", type="positive", position="bottom")
        elif act == "fork":
            begun = await ask_fork(self.workspace, self.told, id)
            if begun:
                ui.navigate.to(f"/training/{begun}")

    async def _log(self) -> None:
        said = await self.workspace.jobs.logs(self.id)
        with ui.dialog() as dialog, ui.element("div").classes("sheet log-sheet").props("data-testid=training-log"):
            ui.html("Log", tag="h2", sanitize=False)
            ui.html(log_html(said), sanitize=False).classes("scroll")
            ui.button("Close", on_click=lambda: dialog.submit(None), color=None).classes("quiet").props("flat no-caps")
        await dialog
        dialog.delete()

    @contextmanager
    def _panel(self, title: str) -> Iterator[None]:
        with ui.element("section").classes("panel"), ui.element("div").classes("body"):
            ui.html(title, tag="h2", sanitize=False)
            yield

    def _acting(self, mark: str) -> ui.html:
        place = ui.html("", sanitize=False).props(f"data-testid={mark}")
        place.on("click", self._act, js_handler=ACT)
        return place


def _distinct(names: dict[str, str]) -> dict[str, str]:
    """The same names, those that occur twice with a piece of their id."""
    every = list(names.values())
    return {id: name if every.count(name) == 1 else f"{name} · {id[:6]}" for id, name in names.items()}
