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
from loupe.app.pages.controls import confirmed
from loupe.app.pages.frame import Problem, frame
from loupe.app.pages.links import link
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.states import Way, empty
from loupe.app.pages.system_jobs import log_html
from loupe.app.pages.training_curves import TrainingCurves
from loupe.app.pages.training_fork import ask_fork
from loupe.app.plain import plain
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace
from loupe.storage.errors import NotFound as NoSuchRow

FOLLOW_S = 1.0
ACT = """(e) => {
  const t = e.target.closest('button[data-act]');
  if (t) emit({ act: t.dataset.act, id: t.dataset.id || '' });
}"""


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/training/{id}")
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
        self.curves = TrainingCurves(workspace, told)
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
        await self.curves.build(beside)
        with self._panel("Newest numbers"):
            self.numbers = ui.html("", sanitize=False).classes("scroll")
        with self._panel("Features on the watched text"):
            self.strip = ui.html("", sanitize=False).props("data-testid=training-strip")
        with ui.element("div").classes("pair"):
            with self._panel("Checkpoints"):
                self.checkpoints = self._acting("training-checkpoints").classes("scroll")
            with self._panel("SAEs"):
                self.saes = ui.html("", sanitize=False).props("data-testid=training-sae-list")
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
        self._put("job", self.job, parts.job_html(self.told))
        latest = self.told["latest"]
        self._put("numbers", self.numbers, parts.numbers_html(latest))
        self._put("strip", self.strip, await self._strip_html(latest))
        kept = await self.workspace.trainings.checkpoints(self.id)
        self._put("checkpoints", self.checkpoints, parts.checkpoints_html(kept))
        found = await self.workspace.store.saes.list(job_id=self.id)
        self._put("saes", self.saes, parts.saes_html(found.items))
        await self.curves.show(self.told)

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
        if retried := asked.get("retry_of"):
            facts.append(f'retry of <a href="{link(f"/training/{retried}")}">an earlier attempt</a>')
        if origin := asked.get("fork_of"):
            facts.append(f'forked from <a href="{link(f"/training/{origin}")}">another training</a>')
        metrics = link(f"/api/v1/trainings/{self.id}/metrics")
        facts.append(f'<a href="{metrics}" data-testid="training-data">All points as JSON</a>')
        again = link("/training/new") + f"?like={self.id}"
        facts.append(f'<a href="{again}" data-testid="training-like">A form filled like this one</a>')
        return "".join(f"<span>{fact}</span>" for fact in facts)

    # Following and acting.

    def _note_change(self, _: object) -> None:
        self._stale = True

    async def _follow(self) -> None:
        """Look again after anything happened; while it runs points come with every second."""
        if self._stale or self.curves.is_followed or self.told["state"] in ("running", "queued"):
            self._stale = False
            try:
                await self.show()
            except NoSuchRow:  # somebody deleted it
                ui.navigate.to("/training")

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
            await here.trainings.stop(self.id, by=visitor())
        elif act == "delete":
            await self._delete()
            return
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

    async def _delete(self) -> None:
        kept = await self.workspace.trainings.checkpoints(self.id)
        held = f" and {len(kept)} checkpoints ({size_text(sum(each.size for each in kept))})" if kept else ""
        question = f"Delete this training with its curves{held} for good? Its SAEs stay in the Library."
        if await confirmed(question, "Delete it", "Keep it"):
            await self.workspace.trainings.delete(self.id, by=visitor(), confirm=True)
            ui.navigate.to("/training")

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
        with (
            ui.dialog().props('aria-label="Log"') as dialog,
            ui.element("div").classes("sheet log-sheet").props("data-testid=training-log"),
        ):
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
