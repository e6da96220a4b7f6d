"""From a number to a colour class, and a legend that tells exactly what was drawn.

A scale has eight levels on each side it has: `p1` to `p8` above zero (orange), `n1` to `n8` below (blue), none near
zero. A linear scale rounds |value| / limit to a level; a logarithmic one rounds log10(1 + 9 |value| / limit), so that
small values stay visible beside a large one. The legend draws one cell per level and names the value it stands for.
"""

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from loupe.app.pages.numbers import show

LEVELS = 8


class Score(NamedTuple):
    """A score as people see it. `limit` None means the largest of the run; `is_log` spreads small values."""

    label: str
    unit: str
    meaning: str
    limit: float | None
    is_signed: bool = False
    is_log: bool = False


SCORES = {
    "fve_nrm": Score(
        "fve_nrm ↑",
        "",
        "Share of the activation's variance that the explanation alone lets the reconstructor recover; 1 is "
        "everything, 0 is no better than the mean, below 0 is worse.",
        1.0,
        is_signed=True,
    ),
    "cosine": Score("cosine ↑", "", "Cosine between the activation and its reconstruction.", 1.0, is_signed=True),
    "mse_nrm": Score(
        "mse_nrm ↓",
        "",
        "Squared error after both vectors are scaled to the same norm: 2(1 − cosine).",
        2.0,
    ),
    "relative_rmse": Score("relative error ↓", "", "Length of the raw error over the length of the activation.", 1.0),
    "kl": Score(
        "KL ↓",
        "nats",
        "How much the model's next-token distribution changes when the reconstruction is put back in place of the "
        "activation, in nats.",
        None,
        is_log=True,
    ),
    "agreement": Score("agreement ↑", "", "Mean similarity between the sampled explanations of this position.", 1.0),
    "mse": Score("mse ↓", "", "Mean squared error of the raw reconstruction.", None, is_log=True),
    "norm": Score("norm", "", "Length of the activation.", None),
}
SALIENCE = Score(
    "salience",
    "mse_nrm",
    "Rise of mse_nrm when this part of the explanation is left out; below 0 the part misleads.",
    None,
    is_signed=True,
    is_log=True,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A score with its limit: what |value| the strongest colour stands for."""

    score: Score
    limit: float

    def level(self, value: float | None) -> int:
        """−8 to 8; 0 for no colour."""
        if value is None or self.limit <= 0 or (value < 0 and not self.score.is_signed):
            return 0
        share = min(1.0, abs(value) / self.limit)
        level = round((math.log10(1 + 9 * share) if self.score.is_log else share) * LEVELS)
        return int(math.copysign(level, value)) if level else 0

    def css(self, value: float | None) -> str:
        """The colour class of a value, or nothing."""
        level = self.level(value)
        return f"{'p' if level > 0 else 'n'}{abs(level)}" if level else ""

    def value_of(self, level: int) -> float:
        """The value that a level stands for."""
        share = abs(level) / LEVELS
        size = self.limit * ((10**share - 1) / 9 if self.score.is_log else share)
        return math.copysign(size, level) if level else 0.0


def scale_of(name: str, values: Iterable[float | None]) -> Scale | None:
    """The scale of a score over the values of a run; None for an unknown one, or when nothing was computed."""
    known = [value for value in values if value is not None]
    score = SCORES.get(name)
    return _scaled(score, known) if score and known else None


def salience_scale(values: Iterable[float | None]) -> Scale | None:
    """The scale of salience over all parts of all explanations of a run."""
    return _scaled(SALIENCE, [value for value in values if value is not None])


def _scaled(score: Score, known: list[float]) -> Scale | None:
    limit = score.limit or max(map(abs, known), default=0.0)
    return Scale(score, limit) if limit > 0 else None


def legend_html(scale: Scale) -> str:
    """One cell per level with the value it stands for; the ends and the middle in words."""
    score = scale.score
    levels = [*range(-LEVELS, 0), *range(LEVELS + 1)] if score.is_signed else list(range(LEVELS + 1))
    cells = "".join(f'<i class="{_cell(level)}" title="{show(scale.value_of(level))}"></i>' for level in levels)
    ticks = [levels[0], *([0] if score.is_signed else [LEVELS // 2]), LEVELS]
    marks = "".join(
        f'<span style="left:{(levels.index(tick) + 0.5) / len(levels) * 100:.1f}%">{show(scale.value_of(tick))}</span>'
        for tick in ticks
    )
    unit = f", {score.unit}" if score.unit else ""
    how = "logarithmic" if score.is_log else "linear"
    top = "largest of this run" if score.limit is None else "fixed"
    ends = f"{how} from {show(scale.value_of(levels[0]))} to {show(scale.limit)}"
    return (
        f'<span class="ramp" title="{html.escape(score.meaning, quote=True)}">'
        f'<span class="named">{html.escape(score.label)}{unit}<span class="how">{how}, limit {top}</span></span>'
        '<span class="scale">'
        f'<span class="cells" role="img" aria-label="{ends}">{cells}</span>'
        f'<span class="ticks num" aria-hidden="true">{marks}</span></span></span>'
    )


def _cell(level: int) -> str:
    return f"{'p' if level > 0 else 'n'}{abs(level)}" if level else "zero"
