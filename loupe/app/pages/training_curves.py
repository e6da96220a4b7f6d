"""The curves of a training's page: how they are drawn, which other trainings lie over them, and their charts."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nicegui import ui

from loupe.app.pages.controls import Segmented
from loupe.app.pages.links import address
from loupe.app.pages.training_charts import AXES, CHARTS, Chart, ChartBox, Curves, Look, heat, heat_told, lines
from loupe.app.plain import plain
from loupe.app.workspace import Workspace

OVERLAYS = 50
OTHER_LOGS = frozenset({"lr", "grad-norm", "dead"})


class TrainingCurves:
    """The charts of one training, `told`; `show` reads what is new and draws when something is."""

    def __init__(self, workspace: Workspace, told: Mapping[str, Any]) -> None:
        self.workspace = workspace
        self.told = told
        self.id: str = told["id"]
        self.own = Curves()
        self.others: dict[str, Curves] = {}  # by the ids of other trainings
        self.names: dict[str, str] = {}
        self.look = Look()
        self.heats: dict[str, ChartBox] = {}
        self._reading = asyncio.Lock()

    async def build(self, beside: str) -> None:
        """Lay controls and charts out; `beside` names trainings to lay over, with commas."""
        chosen = await self._tools(beside)
        with ui.element("div").classes("charts"):
            about = {chart.id: " · ".join(filter(None, (chart.unit, chart.better))) for chart in CHARTS}
            self.boxes = {chart.id: ChartBox(chart.id, chart.title, about[chart.id]) for chart in CHARTS}
            self._heat_place = ui.element("div").style("display: contents")
        self.others = {id: Curves() for id in chosen}
        self.draw()

    @property
    def is_followed(self) -> bool:
        """Whether a training that lies over this one goes on."""
        return any(live.id in self.others for live in self.workspace.jobs.live)

    async def show(self, told: Mapping[str, Any]) -> None:
        """Read the new points of all that are shown; one reader at a time, or points would be added twice."""
        self.told = told
        async with self._reading:
            moved = self._add_heats()
            for id, curves in {self.id: self.own, **self.others}.items():
                moved |= curves.take(await self.workspace.trainings.curves(id, after=curves.last_step))
        if moved:
            self.draw()

    def draw(self) -> None:
        """Send the points to the charts."""
        others = {self.names[id]: curves for id, curves in self.others.items()}
        for chart in CHARTS:
            self.boxes[chart.id].show(*lines(chart, self.own, others, self.look, self._empty(chart)))
        for sae, box in self.heats.items():
            density = self.own.density.get(sae, [])
            box.show(heat(density), *heat_told(density))

    def _empty(self, chart: Chart) -> str:
        """Why a chart shows nothing."""
        has_points = any(self.own.curves.values())
        if has_points and self.look.axis != "step":
            return "Not kept with these points"
        if chart.curve:
            return "Not measured here" if has_points else "No point yet"
        if "finished_at" in self.told:
            return "Not evaluated"
        interval = evaluated_every(self.told["request"], self.workspace.trainings.options()["training"])
        return f"First evaluation at step {interval:,}" if interval else "Evaluated when it ends"

    def _add_heats(self) -> bool:
        """A strip for every SAE that has none yet; whether there was one."""
        new = [sae for sae in self.told["latest"] if sae not in self.heats]
        with self._heat_place:
            for sae in new:
                title = f"How often features fire, {plain(sae, 40)}"
                about = "latents by share of tokens they fire on, over steps"
                self.heats[sae] = ChartBox("density", title, about, is_broad=True)
        return bool(new)

    # Controls.

    async def _tools(self, beside: str) -> list[str]:
        with ui.element("div").classes("tools"):
            Segmented(AXES, "step", lambda axis: self._redraw(axis=axis), label="Horizontal axis", testid="axis")
            _switch("Log axis", "log-x", "The horizontal axis of all curves").on_value_change(
                lambda e: self._redraw(log_x=bool(e.value))
            )
            _switch("Log loss", "log-loss", "Loss, logarithmic").on_value_change(
                lambda e: self._set_log(frozenset({"loss"}), e.value)
            )
            _switch("Log the rest", "log-rest", "Learning rate, gradient norm and dead share").on_value_change(
                lambda e: self._set_log(OTHER_LOGS, e.value)
            )
            ui.label("Smoothing").classes("soft small")
            slider = ui.slider(min=0, max=0.98, step=0.02, value=0)
            slider.props('aria-label="Smoothing" data-testid=smoothing').style("width: 9rem")
            slider.on_value_change(lambda e: self._redraw(smooth=float(e.value or 0)))
            return await self._overlays(beside)

    async def _overlays(self, beside: str) -> list[str]:
        found, _ = await self.workspace.trainings.list(limit=OVERLAYS)
        self.names = _distinct({job["id"]: plain(job["name"], 50) for job in found if job["id"] != self.id})
        chosen = [id for id in beside.split(",") if id in self.names]
        if self.names:
            select = ui.select(self.names, value=chosen, multiple=True, label="Overlay other trainings")
            select.props("outlined dense options-dense use-chips clearable data-testid=overlay")
            select.classes("template-choice")
            select.on_value_change(lambda e: self._overlay(e.value or []))
        return chosen

    def _set_log(self, charts: frozenset[str], on: bool | None) -> None:
        self._redraw(logs=self.look.logs | charts if on else self.look.logs - charts)

    def _redraw(self, **changes: Any) -> None:
        self.look = replace(self.look, **changes)
        self.draw()

    async def _overlay(self, ids: list[str]) -> None:
        """Draw these trainings too, and go on following them."""
        async with self._reading:
            self.others = {id: self.others.get(id) or Curves() for id in ids}
        beside = f"?beside={','.join(ids)}" if ids else ""
        ui.navigate.history.replace(address(f"/training/{self.id}{beside}"))
        await self.show(self.told)
        self.draw()


def evaluated_every(request: Mapping[str, Any], options: Sequence[Mapping[str, Any]]) -> int:
    """Steps between the evaluations of a training, 0 for none but the last; `options` are the schema's."""
    default = next(fact["default"] for fact in options if fact["name"] == "evaluation_interval")
    return request["training"].get("evaluation_interval", default)


def _switch(label: str, mark: str, about: str) -> ui.switch:
    return ui.switch(label).props(f"dense data-testid={mark}").tooltip(about)


def _distinct(names: dict[str, str]) -> dict[str, str]:
    """The same names, those that occur twice with a piece of their id."""
    every = list(names.values())
    return {id: name if every.count(name) == 1 else f"{name} · {id[:6]}" for id, name in names.items()}
