"""What an analysis finds, as frozen values that leave the device thread, and their JSON.

A value that was not computed or is undefined is None here and missing from the JSON and the table: never -1, 0 or NaN.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from loupe.engine.nla.metrics import Scores
from loupe.engine.nla.salience import Salience

if TYPE_CHECKING:
    import pandas as pd


class Readout(NamedTuple):
    """One token of a lens or of the model's next-token distribution."""

    token: str
    token_id: int
    probability: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """One explanation of a position, scored.

    `text` is what stands between the explanation tags, or the whole raw output when `parsed` is False. `ended` is "end"
    (end-of-sequence token), "closed" (closing tag) or "length". `ties` are steps at which rounding could have chosen
    another token.
    """

    text: str
    raw_output: str
    parsed: bool
    ended: str
    token_ids: tuple[int, ...]
    ties: tuple[int, ...]
    scores: Scores


@dataclass(frozen=True, slots=True)
class PositionResult:
    """Everything about one position; `explanation` and the scores beside it are those of the best rollout.

    `rollouts` are in the order they were numbered; `best` is the index of the one with the least mse_nrm. `flags` say
    why the position is unreliable. `salience` is None when it was not asked for.
    """

    position: int
    token: str
    token_id: int
    flags: tuple[str, ...]
    explanation: str
    raw_output: str
    rollouts: tuple[Rollout, ...]
    best: int
    norm: float
    agreement: float | None = None
    mse_nrm: float | None = None
    cosine: float | None = None
    fve_nrm: float | None = None
    mse: float | None = None
    relative_rmse: float | None = None
    kl: float | None = None
    salience: tuple[Salience, ...] | None = None
    logit_lens: tuple[Readout, ...] | None = None
    tuned_lens: tuple[Readout, ...] | None = None
    next_tokens: tuple[Readout, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """One row of `data`: plain values, absent ones left out."""
        return _plain(self)


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """A finished analysis: what is needed to repeat and read it, and one result per analysed position, in order."""

    metadata: Mapping[str, Any]
    positions: tuple[PositionResult, ...]

    def to_json(self) -> dict[str, Any]:
        """`{"metadata": {...}, "data": [{...}, ...]}`, ready for any JSON writer."""
        return {"metadata": _plain(self.metadata), "data": [position.to_json() for position in self.positions]}

    def to_dataframe(self) -> pd.DataFrame:
        """One row per position.

        Columns: position, token, token_id, flags, explanation, fve_nrm, cosine, mse_nrm, mse, relative_rmse, kl,
        agreement, norm, best, raw_output, and, as Python objects, rollouts, salience, logit_lens, tuned_lens and
        next_tokens. Missing numbers are NaN, pandas' own mark for absence.
        """
        import pandas as pd

        columns = (
            *("position", "token", "token_id", "flags", "explanation", "fve_nrm", "cosine", "mse_nrm", "mse"),
            *("relative_rmse", "kl", "agreement", "norm", "best", "raw_output", "rollouts", "salience"),
            *("logit_lens", "tuned_lens", "next_tokens"),
        )
        return pd.DataFrame([row.to_json() for row in self.positions], columns=pd.Index(columns))


def _plain(value: Any) -> Any:
    """Dataclasses and named tuples as dicts, sequences as lists; None and non-finite numbers are left out of dicts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())  # pyright: ignore[reportAttributeAccessIssue] - any named tuple
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if _is_present(item)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _is_present(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))
