"""Curves with their full history in few points: of every bucket of steps the smallest and the largest value stay.

Peaks survive, unlike under averages or every n-th point, and what is drawn is what was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from loupe.storage.repos.trainings import Point

CURVES = (
    "loss", "reconstruction", "sparsity", "aux", "l0", "l0_target", "explained_variance", "dead_share", "lr",
    "grad_norm", "coefficient", "threshold", "tokens_per_s", "memory", "tokens", "at",
)  # fmt: skip
HELD_OUT = ("explained_variance", "l0", "dead_share", "ce_recovered", "kl_recovered", "ce_sae", "ce_clean", "shrinkage")

Series = list[tuple[int, float]]


def series(points: Sequence[Point], names: Sequence[str], most: int) -> dict[str, dict[str, Series]]:
    """`{sae: {name: [(step, value), ...]}}` with at most about `most` points each; what was not measured is absent."""
    found: dict[str, dict[str, Series]] = {}
    for point in points:
        for name in names:
            value = point.measured.get(name)
            if value is not None:
                found.setdefault(point.sae, {}).setdefault(name, []).append((point.step, float(value)))
    return {sae: {name: thinned(rows, most) for name, rows in each.items()} for sae, each in found.items()}


def thinned(rows: Series, most: int) -> Series:
    """The smallest and the largest of every bucket, in order, with the first and the last point."""
    if len(rows) <= most:
        return rows
    buckets = max(1, (most - 2) // 2)
    inner = rows[1:-1]
    kept = [rows[0]]
    for number in range(buckets):
        bucket = inner[number * len(inner) // buckets : (number + 1) * len(inner) // buckets]
        if bucket:
            ends = {min(bucket, key=lambda row: row[1]), max(bucket, key=lambda row: row[1])}
            kept.extend(sorted(ends))
    return [*kept, rows[-1]]


def density_strip(points: Sequence[Point], most: int = 200) -> dict[str, list[tuple[int, list[int]]]]:
    """`{sae: [(step, counts), ...]}`: how many latents fire how often, over time, at evenly chosen points."""
    by_sae: dict[str, list[tuple[int, list[int]]]] = {}
    for point in points:
        if counts := point.measured.get("density"):
            by_sae.setdefault(point.sae, []).append((point.step, list(counts)))
    return {sae: _every(rows, most) for sae, rows in by_sae.items()}


def _every(rows: list[Any], most: int) -> list[Any]:
    if len(rows) <= most:
        return rows
    return [rows[number * (len(rows) - 1) // (most - 1)] for number in range(most)]


def without_pictures(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a point, without histogram and strip."""
    return {name: value for name, value in measured.items() if name not in ("density", "strip") and value is not None}
