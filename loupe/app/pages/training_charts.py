"""The charts of a training: which there are, what each draws, and how they are told to those who cannot see them.

The server sends numbers and the browser draws them (assets/js/training.js) in the colours of the theme.
"""

import html
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nicegui import ui

from loupe.app.pages.numbers import show
from loupe.app.plain import plain
from loupe.app.services.curves import Series, thinned

AXES = {"step": "Steps", "tokens": "Tokens", "at": "Time"}
MOST = 800  # points of one line
LOW, STEP = -7.0, 0.25  # of the density bins, see engine/sae/measures.py


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: the curve it shows, and what held-out evaluation and target belong to it; shown per `per`."""

    id: str
    title: str
    curve: str = ""
    judged: str = ""
    target: str = ""
    unit: str = ""
    better: str = ""
    per: float = 1.0


CHARTS = (
    Chart("loss", "Loss", "loss", unit="scaled units", better="↓ better"),
    Chart("explained-variance", "Explained variance", "explained_variance", "explained_variance", better="↑ better"),
    Chart("l0", "L0", "l0", "l0", "l0_target", unit="active features per token"),
    Chart("dead", "Dead share", "dead_share", "dead_share", unit="of all latents", better="↓ better"),
    Chart("recovered", "CE recovered", "", "ce_recovered", unit="on held-out text", better="↑ better"),
    Chart("kl-recovered", "KL recovered", "", "kl_recovered", unit="on held-out text", better="↑ better"),
    Chart("lr", "Learning rate", "lr"),
    Chart("grad-norm", "Gradient norm", "grad_norm", unit="per step"),
    Chart("speed", "Speed", "tokens_per_s", unit="tokens per second on the device"),
    Chart("memory", "Memory", "memory", unit="MiB in use on the device", per=1 << 20),
)


@dataclass(slots=True)
class Curves:
    """The points of one training as far as a page has read them; `last_step` is the page's cursor."""

    curves: dict[str, dict[str, Series]] = field(default_factory=dict)
    held_out: dict[str, dict[str, Series]] = field(default_factory=dict)
    density: dict[str, list[tuple[int, list[int]]]] = field(default_factory=dict)
    last_step: int = -1

    def take(self, more: Mapping[str, Any]) -> bool:
        """Add what `trainings.curves(after=last_step)` told; whether there was anything new."""
        _extend(self.curves, more["curves"])
        _extend(self.held_out, more["held_out"])
        for sae, rows in more["density"].items():
            kept = self.density.setdefault(sae, [])
            kept.extend(rows)
            while len(kept) > 240:
                del kept[1:-1:2]
        moved = more["last_step"] > self.last_step
        self.last_step = max(self.last_step, more["last_step"])
        return moved or bool(more["held_out"])

    def along(self, axis: str, sae: str, rows: Series) -> Sequence[tuple[float, float]]:
        """The same points over tokens, or over seconds since the first point; none where that was not kept."""
        if axis == "step":
            return rows
        known = self.curves.get(sae, {}).get(axis) or []
        zero = known[0][1] if known and axis == "at" else 0.0
        return [(_between(known, step) - zero, value) for step, value in rows] if known else []


def _between(known: Series, step: float) -> float:
    """What a curve is at a step, on a straight line between its points; at its ends it stays as it is."""
    place = bisect_left(known, step, key=lambda row: row[0])
    if place == len(known) or known[place][0] == step or place == 0:
        return known[min(place, len(known) - 1)][1]
    (left, low), (right, high) = known[place - 1], known[place]
    return low + (high - low) * (step - left) / (right - left)


def _extend(kept: dict[str, dict[str, Series]], more: Mapping[str, Mapping[str, Series]]) -> None:
    for sae, by_name in more.items():
        for name, rows in by_name.items():
            had = kept.setdefault(sae, {}).setdefault(name, [])
            last = had[-1][0] if had else -1
            had.extend(row for row in rows if row[0] > last)
            if len(had) > 2 * MOST:
                had[:] = thinned(had, MOST)


class ChartBox:
    """One chart on a page, with its title, its newest numbers, and a sentence for screen readers."""

    def __init__(self, id: str, title: str, about: str = "", *, is_broad: bool = False) -> None:
        self.title = title
        box = ui.element("section").classes("panel chart-box" + (" broad" if is_broad else ""))
        with box.props(f"data-testid=chart-{id}"):
            head = f"<b>{html.escape(title)}</b><span>{html.escape(about)}</span>"
            with ui.element("div").classes("chart-head"):
                ui.html(head, sanitize=False)
                self._now = ui.html("", sanitize=False).classes("num")
            self._figure = ui.element("div").props(f'role=img aria-label="{title}: no point yet"')
            with self._figure:
                self._chart = ui.echart({}).classes("chart")

    def show(self, what: dict[str, Any], now: str, told: str) -> None:
        """Draw; `now` stands beside the title, `told` is what a screen reader says."""
        self._now.set_content(html.escape(now))
        self._figure.props["aria-label"] = f"{self.title}: {told}"
        self._figure.update()
        ui.run_javascript(f"loupe.charts.draw({self._chart.id}, {_as_script(what)})")


def _as_script(value: Any) -> str:
    return (
        json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace("\u2028", " ").replace("\u2029", " ")
    )


@dataclass(frozen=True, slots=True)
class Look:
    """How the reader wants lines drawn: over what (one of `AXES`), which axes are logarithmic, how smooth."""

    axis: str = "step"
    log_x: bool = False
    logs: frozenset[str] = frozenset()  # ids of charts
    smooth: float = 0.0


def lines(
    chart: Chart, own: Curves, others: Mapping[str, Curves], look: Look, empty: str
) -> tuple[dict[str, Any], str, str]:
    """What a line chart draws, its newest numbers, and the sentence about it; `empty` stands where nothing is yet.

    `others` are the curves of other trainings by their names.
    """
    series: list[dict[str, Any]] = []
    colour = 0
    for name, curves in {"": own, **others}.items():
        for sae in curves.curves:
            series += _of(chart, curves, sae, colour, look.axis, name)
            colour += 1
    what = {
        "kind": "lines", "series": series, "log": chart.id in look.logs, "logX": look.log_x, "smooth": look.smooth,
        "x": look.axis, "empty": "" if series else empty,
    }  # fmt: skip
    newest = [(sae, _newest(chart, own, sae)) for sae in own.curves]
    known = [(sae, point) for sae, point in newest if point]
    now = " · ".join(show(point[1]) for _, point in known[:4])
    told = "; ".join(f"{plain(sae, 60)} {show(point[1])} at step {point[0]}" for sae, point in known)
    return what, now, told or "no point yet"


def _newest(chart: Chart, curves: Curves, sae: str) -> tuple[int, float] | None:
    rows = curves.curves.get(sae, {}).get(chart.curve) or curves.held_out.get(sae, {}).get(chart.judged)
    return (rows[-1][0], rows[-1][1] / chart.per) if rows else None


def _of(chart: Chart, curves: Curves, sae: str, colour: int, axis: str, of: str) -> list[dict[str, Any]]:
    measured, judged = curves.curves.get(sae, {}), curves.held_out.get(sae, {})
    name = f"{plain(sae, 40)} · {plain(of, 40)}" if of else plain(sae, 40)
    parts = (
        ("curve", name, measured.get(chart.curve)),
        ("judged", f"{name}, held out" if chart.curve else name, judged.get(chart.judged)),
        ("target", f"{name}, target", None if of else measured.get(chart.target)),
    )
    return [
        {
            "role": role, "name": called, "colour": colour, "other": bool(of),
            "points": [[x, value / chart.per] for x, value in points],
        }
        for role, called, rows in parts
        if rows and (points := curves.along(axis, sae, thinned(rows, MOST)))
    ]  # fmt: skip


def heat(rows: Iterable[tuple[int, list[int]]]) -> dict[str, Any]:
    """How many latents fire how often, over time; bins that stay empty at both ends are left out."""
    rows = list(rows)
    used = [place for place in range(max((len(c) for _, c in rows), default=0)) if any(c[place] for _, c in rows)]
    inner = [place for place in used if place]
    shown = [0, *range(inner[0], inner[-1] + 1)] if inner else [0]
    cells = [
        [column, row, counts[place]]
        for column, (_, counts) in enumerate(rows)
        for row, place in enumerate(shown)
        if counts[place]
    ]
    return {
        "kind": "heat",
        "steps": [step for step, _ in rows],
        "bins": [_bin(place) for place in shown],
        "empty": "" if cells else "No point yet",
        "cells": cells,
    }


def _bin(place: int) -> str:
    return "never" if place == 0 else f"1e{LOW + (place - 1) * STEP:.2f}".removesuffix("0").removesuffix(".0")


def heat_told(rows: list[tuple[int, list[int]]]) -> tuple[str, str]:
    """The newest density in words: beside the title, and for a screen reader."""
    if not rows:
        return "", "no point yet"
    step, counts = rows[-1]
    dense = sum(counts[1 + int((-2.0 - LOW) / STEP) :])
    now = f"never {counts[0]:,} · above 1 % {dense:,} of {sum(counts):,}"
    return now, f"at step {step} {counts[0]} latents never fire and {dense} fire on more than 1 percent of tokens"
