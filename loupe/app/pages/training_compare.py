"""How SAEs compare: how much of the model they keep against how few features they take, as a chart and in figures.

Only SAEs of one place are held against each other: what one hook point keeps says nothing about another.
"""

import html
from collections import Counter
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from loupe.app.pages.controls import Segmented
from loupe.app.pages.links import link
from loupe.app.pages.numbers import show
from loupe.app.pages.training_charts import ChartBox
from loupe.app.plain import plain
from loupe.app.workspace import Workspace
from loupe.storage.repos.saes import SaeRecord

COMPARED = 200
MEASURES = {"ce_recovered": "CE recovered", "explained_variance": "Explained variance"}
COLUMNS = (
    ("l0", "L0"), ("explained_variance", "explained variance ↑"), ("ce_recovered", "CE recovered ↑"),
    ("kl_recovered", "KL recovered ↑"), ("dead_share", "dead share ↓"),
)  # fmt: skip
Point = tuple[float, float]


class SaeComparison:
    """One open chart and table."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.measure = "ce_recovered"
        self._drawn: Any = None

    def build(self) -> None:
        """Lay it out; nothing shows while no SAE was judged."""
        self.box = ui.element("div").classes("stack")
        with self.box:
            with ui.element("div").classes("tools"):
                self.place = ui.select({}, label="Where", on_change=self.show).classes("template-choice")
                self.place.props("outlined dense options-dense data-testid=compare-place")
                Segmented(MEASURES, self.measure, self._set_measure, label="Vertical axis", testid="compare-by")
            with ui.element("div").classes("charts"):
                about = "on held-out text; up and left is better; the line joins those that none beats in both"
                self.scatter = ChartBox("compare", "Fidelity against L0", about, is_broad=True)
            self.table = ui.html("", sanitize=False).classes("panel scroll")

    async def show(self) -> None:
        """Read the judged SAEs and draw what has changed."""
        found = await self.workspace.store.saes.list(limit=COMPARED)
        judged = [sae for sae in found.items if score(sae, "l0") is not None]
        self.box.visible = bool(judged)
        if not judged:
            return
        places = list(dict.fromkeys(place_of(sae) for sae in judged))
        if list(self.place.options) != places:
            most = Counter(place_of(sae) for sae in judged).most_common(1)[0][0]
            self.place.set_options(places, value=self.place.value if self.place.value in places else most)
        here = [sae for sae in judged if place_of(sae) == self.place.value]
        drawn = (self.measure, [(sae.id, sae.name, sae.card) for sae in here])
        if drawn != self._drawn:
            self._drawn = drawn
            self._draw(here)

    def _draw(self, saes: Sequence[SaeRecord]) -> None:
        best = front(saes, self.measure)
        self.table.set_content(compare_html(saes, {sae.id for sae in best}, self.measure))
        groups: dict[str, list[list[Any]]] = {}
        for sae in saes:
            value = score(sae, self.measure)
            if value is not None:
                groups.setdefault(sae.architecture, []).append([score(sae, "l0"), value, plain(sae.name, 60)])
        line = [[score(sae, "l0"), score(sae, self.measure)] for sae in best]
        by_kind = [{"name": name, "points": points} for name, points in sorted(groups.items())]
        count = sum(len(points) for points in groups.values())
        what = {"kind": "scatter", "groups": by_kind, "front": line, "y": MEASURES[self.measure]}
        told = f"{MEASURES[self.measure]} of {count} SAEs, listed in the table below"
        self.scatter.show(what, f"{count} of {len(saes)} judged" if count < len(saes) else f"{count}", told)

    async def _set_measure(self, value: str) -> None:
        self.measure = value
        await self.show()


def score(sae: SaeRecord, name: str) -> float | None:
    """A number of an SAE's card; None where it was not computed."""
    return (sae.card or {}).get(name)


def place_of(sae: SaeRecord) -> str:
    """Where it belongs: the model and what is reconstructed from what."""
    out = f" → {sae.hook_point_out}" if sae.hook_point_out else ""
    return f"{plain(sae.model, 40)} · {', '.join(sae.hook_points)}{out}"


def front(saes: Sequence[SaeRecord], measure: str) -> list[SaeRecord]:
    """The Pareto front: those of which no other has both a smaller L0 and a larger measure; by L0."""
    known = [sae for sae in saes if score(sae, measure) is not None]
    best: list[SaeRecord] = []
    for sae in sorted(known, key=lambda each: (score(each, "l0") or 0.0, -(score(each, measure) or 0.0))):
        if not best or (score(sae, measure) or 0.0) > (score(best[-1], measure) or 0.0):
            best.append(sae)
    return best


def compare_html(saes: Sequence[SaeRecord], best: set[str], measure: str) -> str:
    """What the chart shows, in figures; those on the front are marked."""
    heads = "".join(f'<th class="num">{title}</th>' for _, title in COLUMNS)
    rows = "".join(_row(sae, is_best=sae.id in best) for sae in sorted(saes, key=lambda each: score(each, "l0") or 0))
    caption = f"SAEs by L0; ◆ is on the front of {MEASURES[measure]} against L0"
    return (
        f'<table class="history stacks" data-testid="compare-table"><caption class="sr">{caption}</caption><thead><tr>'
        '<th title="On the front: none is both sparser and better">◆</th><th>SAE</th><th>Architecture</th>'
        f'<th class="num">Latents</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _row(sae: SaeRecord, *, is_best: bool) -> str:
    name = f"<bdi>{html.escape(plain(sae.name, 60))}</bdi>"
    if sae.job_id:
        name = f'<a href="{link(f"/training/{sae.job_id}")}">{name}</a>'
    cells = "".join(f'<td class="num" data-label="{title}">{_shown(score(sae, name))}</td>' for name, title in COLUMNS)
    step = f" · step {sae.step:,}" if sae.step is not None else ""
    return (
        f'<tr data-testid="compared" data-front="{str(is_best).lower()}"><td>{"◆" if is_best else ""}</td>'
        f'<td class="name">{name}<span class="soft small">{step}</span></td>'
        f'<td data-label="Architecture">{html.escape(sae.architecture)}</td>'
        f'<td class="num" data-label="Latents">{sae.d_sae:,}</td>{cells}</tr>'
    )


def _shown(value: float | None) -> str:
    return "–" if value is None else show(float(value))
