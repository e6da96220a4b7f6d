"""`/compare?a=&b=`: two runs side by side. One selection for both texts, the table and the address (`position` in A, or
`positionB` for what only B has). A run that is still being made, such as a repetition, is waited for here.
"""

import asyncio
from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

from fastapi import FastAPI
from fastapi import Query as Asked
from nicegui import background_tasks, events, ui

from loupe.app.errors import AppError, describe
from loupe.app.pages import compare_view as view
from loupe.app.pages import run_actions
from loupe.app.pages.frame import Problem, frame
from loupe.app.pages.links import address, link
from loupe.app.pages.numbers import seconds
from loupe.app.pages.page import page, workspace_of
from loupe.app.pages.states import Way, empty, failed, partial_html
from loupe.app.services.comparison import Comparison, Kind, Place, compare, word_diff
from loupe.app.services.live import LiveRun
from loupe.app.services.run_files.document import Document
from loupe.app.services.runs import SAMPLE
from loupe.app.workspace import Workspace
from loupe.engine.errors import LoupeError
from loupe.storage.errors import StorageError
from loupe.storage.rows import WorkState

Id = Annotated[str, Asked(max_length=200)]
AT_ONCE = 100


def register(api: FastAPI) -> None:
    """Add the page."""

    @page(api, "/compare")
    async def comparison(
        a: Id = "",
        b: Id = "",
        position: int | None = None,
        position_b: Annotated[int | None, Asked(alias="positionB")] = None,
    ) -> None:
        workspace = workspace_of(api)
        with frame(workspace, "history", "Compare") as problem:
            ui.html("Two runs side by side", tag="h1", sanitize=False).classes("lede")
            await ComparePage(workspace, a, b, problem).build(position, position_b)


class ComparePage:
    """One open page: two runs, how they differ, and which place is looked at."""

    def __init__(self, workspace: Workspace, a: str, b: str, problem: Problem) -> None:
        self.workspace = workspace
        self.ids = (a, b)
        self.problem = problem
        self.selected: int | None = None
        self.shown = AT_ONCE
        self.only_differing = True

    async def build(self, position: int | None, position_b: int | None) -> None:
        """Show the two, or what stands in the way."""
        self.asked = (position, position_b)
        if not all(self.ids):
            chosen = "".join(f"?compare={quote(id)}" for id in self.ids if id)
            way = Way("Choose the second run" if chosen else "Choose two runs", "/history" + chosen)
            empty("Nothing to compare yet", "Mark two runs in the history.", (way,))
            return
        self.room = ui.element("div").classes("compare")
        busy = next((live for live in self.workspace.analyses.live if live.id in self.ids and live.busy), None)
        if busy is not None:
            self._wait_for(busy)
            return
        await self._open()

    def _wait_for(self, live: LiveRun) -> None:
        """Follow a run that is being made; when it has ended, compare."""
        with self.room:
            self.progress = ui.html("", sanitize=False).classes("look partial").props("role=status data-testid=waiting")
            button = ui.button("Cancel", color=None, on_click=lambda: run_actions.cancel(self.workspace, live.id))
            button.classes("quiet").props("flat no-caps dense data-testid=compare-cancel")
        client = ui.context.client

        def changed(_: object) -> None:
            if client.is_deleted:
                return
            self.progress.set_content(waiting_html(live))
            if not live.busy:
                stop()
                background_tasks.create(self._arrived(live), name="compare", context=client)

        stop = self.workspace.analyses.subscribe(live.id, changed)
        client.on_delete(stop)
        changed(None)

    async def _arrived(self, live: LiveRun) -> None:
        self.room.clear()
        with self.room:
            if live.state is WorkState.DONE:
                await self._open()
            else:
                told = {"message": f"The run is {live.state} and has no result.", "details": {"sentence": "Not done."}}
                failed(live.error or told)

    async def _open(self) -> None:
        try:
            documents = [await self.workspace.runs.document(id) for id in self.ids]
        except (AppError, LoupeError, StorageError) as error:
            with self.room:
                failed(describe(error), ways=(Way("Choose two runs", "/history"),))
            return
        self.a, self.b = documents
        self.found = await asyncio.to_thread(compare, self.a, self.b)
        with self.room:
            self._draw()
        self._begin()

    def _draw(self) -> None:
        found, links = self.found, self._links()
        with _panel("overview"):
            with ui.element("div").classes("sides"):
                ui.html(view.side_html("A", self.a, links[0]), sanitize=False)
                ui.html(view.side_html("B", self.b, links[1]), sanitize=False)
            ui.html(view.verdict_html(found), sanitize=False)
            with ui.element("div").classes("facts-pair"):
                ui.html(view.means_html(found.means), sanitize=False).classes("scroll")
                ui.html(view.setup_html(found.setup), sanitize=False).classes("scroll")
        with ui.element("div").classes("texts"):
            for side, document in (("a", self.a), ("b", self.b)):
                self._strip(side, document)
        with (
            ui.element("aside").classes("panel chosen-place").props('aria-label="The place looked at" aria-live=polite')
        ):
            self.card = ui.html(
                '<div class="hint">Choose a token in either text, or a row below.</div>', sanitize=False
            )
        self._table()

    def _strip(self, side: str, document: Document) -> None:
        rows = {row["position"]: row for row in document.data}
        with ui.element("section").classes("panel"):
            ui.html(f'<span class="letter">{side.upper()}</span>', sanitize=False).classes("strip-letter")
            strip = ui.element("div").classes("strip").props(f"tabindex=0 data-testid=strip-{side}")
            strip.props(f'role=group aria-label="Tokens of run {side.upper()}; arrow keys walk"')
            with strip:
                ui.html(view.strip_html(self.found.places, rows, side), sanitize=False)
            strip.on("click", self._choose, js_handler="(e) => loupe.compare.click(e, emit)")
            strip.on("keydown", self._choose, js_handler="(e) => loupe.compare.key(e, emit)")

    def _table(self) -> None:
        with _panel("differences scroll"):
            with ui.element("div").classes("titled"):
                ui.html("Differences", tag="h2", sanitize=False)
                both = ui.switch("also what is equal", value=False).props("dense data-testid=show-equal")
                both.on_value_change(lambda e: self._filter(not e.value))
            self.table = ui.html("", sanitize=False)
            self.table.on("click", self._choose, js_handler="(e) => loupe.compare.click(e, emit)")
            self.more = ui.button("Show more", on_click=self._show_more, color=None).classes("quiet")
            self.more.props("flat no-caps dense data-testid=show-more")
        self._fill()

    def _fill(self) -> None:
        wanted = differing(self.found, self.only_differing)
        limit = max((abs(s.difference) for _, p in wanted if (s := p.scores.get("fve_nrm"))), default=0.0)
        rows = view.difference_rows(wanted[: self.shown], limit)
        head = "<tr><th class=num>A</th><th class=num>B</th><th>token</th><th>fve_nrm, B − A</th><th>words</th></tr>"
        nothing = '<p class="soft" data-testid="no-difference">Nothing differs.</p>'
        table = (
            f'<table class="plain-table" data-testid="differences"><thead>{head}</thead><tbody>{rows}</tbody></table>'
        )
        self.table.set_content(table if rows else nothing)
        self.more.visible = len(wanted) > self.shown

    def _filter(self, only_differing: bool) -> None:
        self.only_differing, self.shown = only_differing, AT_ONCE
        self._fill()

    def _show_more(self) -> None:
        self.shown += AT_ONCE
        self._fill()

    def _begin(self) -> None:
        """Look at the place that the address names, else at the largest difference."""
        a, b = self.asked
        named = next(
            (
                i
                for i, p in enumerate(self.found.places)
                if (a is not None and p.a == a) or (b is not None and p.b == b)
            ),
            None,
        )
        if named is not None:
            self._select(named, note=False)
        elif wanted := differing(self.found, True):
            self._select(wanted[0][0], note=False)

    def _links(self) -> tuple[str, str]:
        return link(path_of(self.ids[0])), link(path_of(self.ids[1]))

    def _choose(self, event: events.GenericEventArguments) -> None:
        index = event.args
        if isinstance(index, int) and 0 <= index < len(self.found.places):
            self._select(index)

    def _select(self, index: int, *, note: bool = True) -> None:
        self.selected = index
        place = self.found.places[index]
        self.card.set_content(view.place_html(_with_words(place, self.a, self.b), self._links()))
        ui.run_javascript(f"loupe.compare.mark({index})")
        if note:
            where = f"position={place.a}" if place.a is not None else f"positionB={place.b}"
            ui.navigate.history.replace(address(f"/compare?a={self.ids[0]}&b={self.ids[1]}&{where}"))


def differing(found: Comparison, only: bool) -> list[tuple[int, Place]]:
    """Places by index, those that are explained in neither left out; with `only` the largest differences first."""
    places = [(i, p) for i, p in enumerate(found.places) if p.kind is not Kind.NEITHER]
    if not only:
        return places
    return sorted(((i, p) for i, p in places if p.kind is not Kind.EQUAL), key=lambda each: _size(each[1]))


def _size(place: Place) -> tuple[int, float]:
    """Changed words first, and among them the largest change of fve_nrm."""
    scored = place.scores.get("fve_nrm")
    order = (Kind.CHANGED, Kind.TIE, Kind.SCORES, Kind.ONLY_A, Kind.ONLY_B, Kind.ROUNDING).index(place.kind)
    return order, -abs(scored.difference) if scored else 0.0


def _with_words(place: Place, a: Document, b: Document) -> Place:
    """A place with words also where both say the same, for the card."""
    said = [
        next((str(r.get("explanation") or "") for r in document.data if r["position"] == position), "")
        for document, position in ((a, place.a), (b, place.b))
    ]
    return place if place.words else replace(place, words=word_diff(said[0], said[1]))


def path_of(id: str) -> str:
    """The page of a run or sample."""
    return f"/samples/{id.removeprefix(SAMPLE)}" if id.startswith(SAMPLE) else f"/runs/{id}"


def waiting_html(live: LiveRun) -> str:
    """How far a run is that is being made."""
    if not live.total:
        return f'<span class="num">The run is {live.stage}.</span>'
    left = f"About {seconds(live.seconds_left)} left." if live.seconds_left is not None else ""
    return partial_html(live.done, live.total, "positions explained", left)


def _panel(classes: str) -> ui.element:
    panel = ui.element("section").classes("panel")
    with panel:
        return ui.element("div").classes(f"body {classes}")
