"""A run as it travels between data directories: what was asked, `metadata`, and one row of `data` per position.

Whoever reads only `metadata` and `data`, as notebooks do, may ignore the rest. What a document holds is checked once,
here, so that every page and every export may rely on it, wherever the document came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

FORMAT, VERSION = "loupe-run", 1
FACTS = (
    *("name", "text", "request", "model", "layer", "seed", "device", "dtype", "token_ids", "fingerprints", "versions"),
    *("id", "author", "created_at", "finished_at", "repeat_of", "origin"),
)
SCORES = ("fve_nrm", "cosine", "mse_nrm", "mse", "relative_rmse", "kl")
MAX_POSITIONS = 100_000
MAX_LAYER = 10_000

Row = dict[str, Any]
Number = Annotated[float, Field(allow_inf_nan=False, strict=False)]
Words = Annotated[str, Field(strict=True)]


@dataclass(frozen=True, slots=True)
class Document:
    """One run: `run` has the facts of its record (FACTS, absent ones left out), the rest is its result."""

    run: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[Row, ...] = ()

    def head(self) -> dict[str, Any]:
        """Everything but the rows, with the name of the format."""
        return {"format": FORMAT, "version": VERSION, "run": dict(self.run), "metadata": dict(self.metadata)}

    @property
    def result(self) -> dict[str, Any]:
        """`{metadata, data}`, as an analysis gives it."""
        return {"metadata": dict(self.metadata), "data": list(self.data)}


class Problem(ValueError):
    """Why something is no run; `line` is where in the file, from 1, when it came from lines."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class _Loose(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Readout(_Loose):
    token: Words
    token_id: int | None = None
    probability: Number


class _Unit(_Loose):
    unit: Words
    value: Number | None = None


class _Scores(_Loose):
    fve_nrm: Number | None = None
    cosine: Number | None = None
    mse_nrm: Number | None = None
    mse: Number | None = None
    relative_rmse: Number | None = None


class _Rollout(_Loose):
    text: Words
    token_ids: list[int] = []
    ties: list[int] = []
    scores: _Scores | None = None


class _Position(_Loose):
    position: Annotated[int, Field(ge=0, lt=MAX_POSITIONS)]
    token: Words = ""
    token_id: int | None = None
    flags: list[Words] = []
    explanation: Words = ""
    raw_output: Words = ""
    fve_nrm: Number | None = None
    cosine: Number | None = None
    mse_nrm: Number | None = None
    mse: Number | None = None
    relative_rmse: Number | None = None
    kl: Number | None = None
    agreement: Number | None = None
    norm: Number | None = None
    best: int | None = None
    rollouts: list[_Rollout] = []
    salience: list[_Unit] | None = None
    logit_lens: list[_Readout] | None = None
    tuned_lens: list[_Readout] | None = None
    next_tokens: list[_Readout] | None = None


class _Token(_Loose):
    text: Words
    token_id: int | None = None
    is_special: bool = False
    partial: bool = False


class _Denominator(_Loose):
    value: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=False)]
    source: Words = ""


class _Warning(_Loose):
    message: Words = ""


class _Turn(_Loose):
    role: Words
    first: Annotated[int, Field(ge=0, lt=MAX_POSITIONS)]
    last: Annotated[int, Field(ge=0, lt=MAX_POSITIONS)]


class _Metadata(_Loose):
    layer: Annotated[int, Field(ge=0, lt=MAX_LAYER)] | None = None
    tokens: Annotated[list[_Token | Words], Field(max_length=MAX_POSITIONS)] | None = None
    fve_denominator: _Denominator | None = None
    warnings: list[_Warning] = []
    turns: list[_Turn] = []
    request: dict[str, Any] | None = None
    fingerprints: dict[str, Any] | None = None


class _Facts(_Loose):
    name: Words = ""
    text: Words = ""
    author: Words = ""
    model: Words = ""
    device: Words = ""
    dtype: Words = ""
    layer: Annotated[int, Field(ge=0, lt=MAX_LAYER)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    token_ids: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(max_length=MAX_POSITIONS)] = []
    request: dict[str, Any] = {}
    fingerprints: dict[str, Words] = {}
    versions: dict[str, Words] = {}


def check_row(row: Any, line: int | None = None) -> Row:
    """One row of `data`, as it came but for absent values. Raises Problem."""
    return _checked(_Position, row, "row", line)


def check_head(run: Any, metadata: Any, line: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts and the metadata, as they came but for absent values. Raises Problem."""
    facts = _checked(_Facts, {} if run is None else run, "run", line)
    kept = {name: facts[name] for name in FACTS if name in facts}
    return kept, _checked(_Metadata, {} if metadata is None else metadata, "metadata", line)


def assembled(
    run: Mapping[str, Any], metadata: Mapping[str, Any], rows: list[Row], line: int | None = None
) -> Document:
    """A document from checked parts, rows in order of position. Raises Problem for what does not fit together."""
    if not rows and not metadata.get("tokens"):
        raise Problem("There is nothing in this run: no row and no token.", line)
    rows = sorted(rows, key=lambda row: row["position"])
    for before, after in pairwise(rows):
        if before["position"] == after["position"]:
            raise Problem(f"Position {after['position']} is there twice.", line)
    length = len(metadata.get("tokens") or ())
    if length and rows and rows[-1]["position"] >= length:
        raise Problem(f"Position {rows[-1]['position']} lies outside the {length} tokens of metadata.", line)
    return Document(run, metadata, tuple(rows))


def present(value: Any) -> Any:
    """The same without what says nothing: None, NaN and infinity leave mappings, and are None in lists."""
    if isinstance(value, Mapping):
        return {str(name): present(item) for name, item in value.items() if _says_something(item)}
    if isinstance(value, list | tuple):
        return [present(item) if _says_something(item) else None for item in value]
    return value


def _says_something(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _checked(shape: type[BaseModel], value: Any, what: str, line: int | None) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Problem(f"The {what} is {_kind(value)}; an object is needed.", line)
    kept = present(value)
    try:
        orjson.dumps(kept)
    except TypeError as error:  # half a surrogate pair, a number of more than 64 bits, 255 levels of nesting
        raise Problem(f"The {what} cannot be written as JSON again: {error}.", line) from None
    try:
        shape.model_validate(kept)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or what
        raise Problem(f"{where}: {first['msg']}.", line) from None
    return kept


def _kind(value: Any) -> str:
    names = {
        type(None): "empty",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
    }
    return names.get(type(value), type(value).__name__)
