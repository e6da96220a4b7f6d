"""A run as a page shows it, read from the exported JSON: saved runs, sample runs and running ones look the same.

Absent stays absent: a value that was not computed is None here and leaves no trace on the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Ranked:
    """A token with its probability (0 to 1)."""

    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class RolloutView:
    """One sampled explanation, what its reconstruction scored, and whether it came to a proper end."""

    text: str
    fve_nrm: float | None
    cosine: float | None
    mse_nrm: float | None
    parsed: bool = True


@dataclass(frozen=True, slots=True)
class Unit:
    """A line or word of the explanation, how much worse the reconstruction gets without it, and where it stands."""

    text: str
    value: float | None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class PositionView:
    """Everything known about one position."""

    position: int
    token: str
    token_id: int
    explanation: str
    flags: tuple[str, ...] = ()
    fve_nrm: float | None = None
    cosine: float | None = None
    mse_nrm: float | None = None
    mse: float | None = None
    relative_rmse: float | None = None
    kl: float | None = None
    agreement: float | None = None
    norm: float | None = None
    salience: tuple[Unit, ...] = ()
    rollouts: tuple[RolloutView, ...] = ()
    logit_lens: tuple[Ranked, ...] = ()
    tuned_lens: tuple[Ranked, ...] = ()
    next_tokens: tuple[Ranked, ...] = ()

    @property
    def is_doubtful(self) -> bool:
        """Known to be unreliable, or worse than predicting the mean."""
        return bool(self.flags) or (self.fve_nrm is not None and self.fve_nrm < 0)


@dataclass(frozen=True, slots=True)
class TokenChip:
    """One token of the text as it is drawn: its text, and whether it is special or part of a character."""

    text: str
    is_special: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class TurnView:
    """A message of a chat: who says it, and the first and last position of its content."""

    role: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RunView:
    """Tokens, what was found at some of them, and where it came from."""

    tokens: tuple[TokenChip, ...]
    positions: Mapping[int, PositionView]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    turns: tuple[TurnView, ...] = ()

    @property
    def ordered(self) -> list[PositionView]:
        """Explained positions in the order of the text."""
        return [self.positions[position] for position in sorted(self.positions)]

    def values(self, name: str) -> list[float | None]:
        """A score at every explained position."""
        return [getattr(p, name) for p in self.positions.values()]

    def saliences(self) -> list[float | None]:
        """The salience of every part of every explanation."""
        return [unit.value for p in self.positions.values() for unit in p.salience]

    @property
    def reliable(self) -> tuple[PositionView, ...]:
        """Positions that count in summaries."""
        return tuple(p for p in self.positions.values() if not p.flags)

    def mean(self, name: str) -> float | None:
        """The mean of a score over reliable positions that have it."""
        values = [v for p in self.reliable if (v := getattr(p, name)) is not None]
        return sum(values) / len(values) if values else None

    def best_start(self) -> int | None:
        """The position to look at first: the best explained reliable one past the middle of the text."""
        candidates = [p for p in self.reliable if p.fve_nrm is not None and p.position >= len(self.tokens) // 2]
        chosen = max(candidates, key=lambda p: p.fve_nrm or 0.0, default=None)
        return chosen.position if chosen else next(iter(self.positions), None)


def read(result: Mapping[str, Any]) -> RunView:
    """A run from its exported JSON, `{metadata, data}`. Tokens without a result are shown, but hold nothing."""
    metadata = result.get("metadata") or {}
    found = {p.position: p for p in map(position, result.get("data") or ())}
    written = metadata.get("tokens")
    if written:
        tokens = tuple(chip(token) for token in written)
    else:
        length = max(found, default=-1) + 1
        tokens = tuple(TokenChip(found[i].token if i in found else "…") for i in range(length))
    return RunView(tokens, found, metadata, turns(metadata.get("turns")))


def turns(listed: Any) -> tuple[TurnView, ...]:
    """The turns of a chat as metadata lists them."""
    return tuple(TurnView(str(t["role"]), int(t["first"]), int(t["last"])) for t in listed or ())


def chip(token: Any) -> TokenChip:
    """A token as metadata lists it: its text, or a mapping with `text`, `is_special`, `partial`."""
    if isinstance(token, str):
        return TokenChip(token)
    text = str(token.get("text", token.get("token", "")))
    return TokenChip(text, bool(token.get("is_special")), bool(token.get("partial")))


def position(row: Mapping[str, Any]) -> PositionView:
    """One row of `data`."""
    numbers = {name: _number(row.get(name)) for name in _SCORES}
    return PositionView(
        position=int(row["position"]),
        token=str(row.get("token", "")),
        token_id=int(row.get("token_id", -1)),
        explanation=str(row.get("explanation") or ""),
        flags=tuple(map(str, row.get("flags") or ())),
        agreement=_number(row.get("agreement")),
        salience=tuple(_unit(unit) for unit in row.get("salience") or ()),
        rollouts=tuple(_rollout(rollout) for rollout in row.get("rollouts") or ()),
        logit_lens=_ranked(row.get("logit_lens")),
        tuned_lens=_ranked(row.get("tuned_lens")),
        next_tokens=_ranked(row.get("next_tokens")),
        **numbers,
    )


_SCORES = ("fve_nrm", "cosine", "mse_nrm", "mse", "relative_rmse", "kl", "norm")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _unit(unit: Any) -> Unit:
    if isinstance(unit, Mapping):
        text = str(unit.get("unit", unit.get("text", "")))
        return Unit(text, _number(unit.get("value")), unit.get("start"), unit.get("end"))
    text, value = unit
    return Unit(str(text), _number(value))


def _rollout(rollout: Mapping[str, Any]) -> RolloutView:
    scores = rollout.get("scores") or rollout
    return RolloutView(
        text=str(rollout.get("text", rollout.get("explanation", ""))),
        fve_nrm=_number(scores.get("fve_nrm")),
        cosine=_number(scores.get("cosine")),
        mse_nrm=_number(scores.get("mse_nrm")),
        parsed=rollout.get("parsed") is not False,
    )


def _ranked(rows: Any) -> tuple[Ranked, ...]:
    return tuple(_one(row) for row in rows or ())


def _one(row: Any) -> Ranked:
    if isinstance(row, Mapping):
        return Ranked(str(row.get("token", row.get("text", ""))), float(row.get("probability", 0.0)))
    text, probability = row
    return Ranked(str(text), float(probability))
