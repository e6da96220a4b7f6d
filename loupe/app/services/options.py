"""What one may ask of an analysis: one schema for the API's body, the command line and the page's controls."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from loupe.engine.errors import BadPositions, EmptyText


class Message(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class AnalysisOptions(BaseModel):
    """A text or a chat, a pair to read it with, and how thoroughly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(default=None, description="The text to analyse.")
    messages: tuple[Message, ...] | None = Field(default=None, description="A chat instead of a text.")
    model: str = Field(default="starter", description="Model by name, or a folder.")
    verbalizer: str | None = Field(
        default=None, description="Verbalizer by name or folder; the starter brings its own."
    )
    reconstructor: str | None = Field(
        default=None, description="Reconstructor by name or folder; the starter brings its own."
    )
    donor: str | None = Field(default=None, description="Another model to take the activations from.")
    layer: int | None = Field(
        default=None, ge=0, description="Block whose output is explained; unset means the sidecar's."
    )
    positions: str = Field(
        default="all", description="Positions: `all`, or such as `0-5,9,-1`; negative ones count from the end."
    )
    best_of: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Rollouts per position; the best by score is shown."
    )
    temperature: float = Field(default=0.0, ge=0, le=5, description="Sampling temperature; 0 is greedy.")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Nucleus sampling: share of probability kept.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of the sampling noise.")
    max_new_tokens: int | None = Field(
        default=None, ge=1, description="Longest explanation in tokens; unset means 160."
    )
    kl: bool = Field(default=True, description="Measure the KL of the model with the reconstruction put back.")
    salience: Literal["none", "line", "word"] = Field(default="line", description="Units of leave-one-out salience.")
    logit_lens_k: int = Field(default=5, ge=0, le=50, description="Top tokens of the logit lens; 0 for none.")
    next_token_k: int = Field(default=5, ge=0, le=50, description="Top next tokens of the model; 0 for none.")
    dtype: Literal["auto", "fp32", "bf16", "fp16", "int8", "nf4"] | None = Field(
        default=None, description="Precision of weights."
    )
    name: str = Field(default="", max_length=200, description="A name for the saved run.")

    @model_validator(mode="after")
    def _one_input(self) -> AnalysisOptions:
        if (self.text is None) == (self.messages is None):
            raise ValueError("give either text or messages")
        return self

    @property
    def characters(self) -> int:
        """Length of the input in characters."""
        return len(self.text or "") + sum(len(m.content) for m in self.messages or ())


_RANGE = re.compile(r"^\s*(-?\d+)\s*(?:(?:-|\.\.)\s*(-?\d+))?\s*$")


def parse_positions(written: str, length: int) -> tuple[int, ...]:
    """`all`, or ranges such as `0-5,9,-1` (both ends included, negative from the end), as sorted positions.

    Raises BadPositions for what is no range or lies outside a text of `length` tokens, EmptyText when there are none.
    """
    if length == 0:
        raise EmptyText("The text has no tokens. Give at least one word.")
    if written.strip().lower() in ("", "all"):
        return tuple(range(length))
    chosen: set[int] = set()
    for part in written.split(","):
        match = _RANGE.match(part)
        if match is None:
            raise BadPositions(f"{part.strip()!r} is no position. Write `all`, or ranges such as 0-5,9,-1.")
        first = _from_start(int(match[1]), length)
        last = _from_start(int(match[2]), length) if match[2] else first
        if last < first:
            raise BadPositions(f"The range {part.strip()!r} runs backwards.")
        chosen.update(range(first, last + 1))
    return tuple(sorted(chosen))


def _from_start(position: int, length: int) -> int:
    found = position + length if position < 0 else position
    if not 0 <= found < length:
        raise BadPositions(f"Position {position} is outside the text, which has {length} tokens (0 to {length - 1}).")
    return found
