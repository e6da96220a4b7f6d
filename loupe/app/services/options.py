"""What one may ask of an analysis: one schema for the API's body, the command line and the page's controls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from loupe.engine.errors import BadPositions, BrokenText, EmptyText

Dtype = Literal["auto", "fp32", "bf16", "fp16", "int8", "nf4"]


class Message(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class ReplyOptions(BaseModel):
    """How the model continues a text or answers a chat."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float = Field(
        default=0.7, ge=0, le=5, title="Temperature", description="Sampling temperature of the reply; 0 is greedy."
    )
    top_p: float = Field(
        default=0.95, gt=0, le=1, title="Top p", description="Nucleus sampling: share of probability kept."
    )
    max_new_tokens: int = Field(default=128, ge=1, title="Longest reply", description="Longest reply in tokens.")
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed", description="Seed of the sampling noise of the reply.")


class GenerationOptions(ReplyOptions):
    """A text to continue or a chat to answer, and the model that does it."""

    text: str | None = Field(default=None, description="The text to continue.")
    messages: tuple[Message, ...] | None = Field(default=None, description="A chat to answer instead of a text.")
    prefill: str | None = Field(default=None, description="The beginning of the assistant's answer, given.")
    model: str = Field(default="", description="Model or NLA pair by name, or a folder; unset means the default pair.")
    verbalizer: str | None = Field(default=None, description="Verbalizer of the pair that the model is loaded with.")
    reconstructor: str | None = Field(
        default=None, description="Reconstructor of the pair that the model is loaded with."
    )
    donor: str | None = Field(default=None, description="A fine-tune of the model, to reply in its place.")
    dtype: Dtype | None = Field(
        default=None, description="Precision of weights; auto: as stored, fp32 for fp16 on a CPU."
    )

    @model_validator(mode="after")
    def _one_input(self) -> GenerationOptions:
        _check_input(self.text, self.messages, self.prefill)
        return self


class AnalysisOptions(BaseModel):
    """A text or a chat, a pair to read it with, and how thoroughly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(default=None, description="The text to analyse.")
    messages: tuple[Message, ...] | None = Field(default=None, description="A chat instead of a text.")
    prefill: str | None = Field(default=None, description="The beginning of the assistant's next message, left open.")
    reply: ReplyOptions | None = Field(
        default=None, description="Let the model reply first, and analyse prompt and reply together."
    )
    model: str = Field(default="", description="Model or NLA pair by name, or a folder; unset means the default pair.")
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
        default="all",
        description="Positions: `all`, `last_turn`, `last_turns:2`, `reply`, or such as `0-5,9,-1`; negative ones "
        "count from the end.",
    )
    best_of: Annotated[int, Field(ge=1)] = Field(
        default=1, title="Rollouts per token", description="Rollouts per position; the best by score is shown."
    )
    temperature: float = Field(
        default=0.0, ge=0, le=5, title="Temperature", description="Sampling temperature; 0 is greedy."
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, title="Top p", description="Nucleus sampling: share of probability kept."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, title="Seed", description="Seed of the sampling noise.")
    max_new_tokens: int | None = Field(
        default=None,
        ge=1,
        title="Longest explanation",
        description="Longest explanation in tokens; unset means 160.",
    )
    kl: bool = Field(
        default=True, title="KL", description="Measure the KL of the model with the reconstruction put back."
    )
    salience: Literal["none", "line", "word"] = Field(
        default="line", title="Salience by", description="Units of leave-one-out salience."
    )
    logit_lens_k: int = Field(
        default=5, ge=0, le=50, title="Lens tokens", description="Top tokens of the logit lens; 0 for none."
    )
    next_token_k: int = Field(
        default=5, ge=0, le=50, title="Next tokens", description="Top next tokens of the model; 0 for none."
    )
    dtype: Dtype | None = Field(
        default=None, title="Precision", description="Precision of weights; int8 and nf4 are for the base model alone."
    )
    name: str = Field(default="", max_length=200, description="A name for the saved run.")

    @model_validator(mode="after")
    def _one_input(self) -> AnalysisOptions:
        _check_input(self.text, self.messages, self.prefill)
        return self

    @property
    def characters(self) -> int:
        """Length of the input in characters."""
        return sum(map(len, contents(self)))


def contents(options: AnalysisOptions | GenerationOptions) -> list[str]:
    """Every string of the input."""
    return [options.text or "", *(m.content for m in options.messages or ()), options.prefill or ""]


def title_of(text: str) -> str:
    """What a run is called when nobody named it: the beginning of its text."""
    first = " ".join(text.split())
    return first if len(first) <= 60 else first[:57].rstrip() + "…"


def check_whole(text: str) -> None:
    """Raises BrokenText for a string with half a character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BrokenText(
            f"Character {error.start} is U+{ord(text[error.start]):04X}, half of a surrogate pair. Remove it."
        ) from None


def _check_input(text: str | None, messages: tuple[Message, ...] | None, prefill: str | None) -> None:
    if (text is None) == (messages is None):
        raise ValueError("give either text or messages")
    if prefill is not None and messages is None:
        raise ValueError("prefill belongs to messages; write the beginning into the text itself")


_RANGE = re.compile(r"^\s*(-?\d+)\s*(?:(?:-|\.\.)\s*(-?\d+))?\s*$")


_TURNS = re.compile(r"^last_turns?(?::(\d+))?$")


def parse_positions(
    written: str, length: int, turns: Sequence[tuple[int, int]] = (), reply_from: int | None = None
) -> tuple[int, ...]:
    """Positions as they are written, sorted: `all`, or ranges such as `0-5,9,-1` (both ends included, negative from the
    end), or `last_turn`, `last_turns:2` of `turns` (first and last position each), or `reply`.

    Raises BadPositions for what is no range or lies outside a text of `length` tokens, EmptyText when there are none.
    """
    if length == 0:
        raise EmptyText("The text has no tokens. Give at least one word.")
    asked = written.strip().lower()
    if asked in ("", "all"):
        return tuple(range(length))
    if asked == "reply":
        return _reply(reply_from, length)
    if match := _TURNS.match(asked):
        return _last_turns(int(match[1] or 1), turns, reply_from, length)
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


def _reply(reply_from: int | None, length: int) -> tuple[int, ...]:
    if reply_from is None or reply_from >= length:
        raise BadPositions("There is no reply to explain. Let the model reply first, or choose other positions.")
    return tuple(range(reply_from, length))


def _last_turns(count: int, turns: Sequence[tuple[int, int]], reply_from: int | None, length: int) -> tuple[int, ...]:
    if not turns and reply_from is not None:
        return _reply(reply_from, length)
    if not turns or count < 1:
        raise BadPositions("There are no turns to choose from: last_turn needs a chat. Write `all`, or ranges.")
    return tuple(sorted({position for first, last in turns[-count:] for position in range(first, last + 1)}))


def _from_start(position: int, length: int) -> int:
    found = position + length if position < 0 else position
    if not 0 <= found < length:
        raise BadPositions(f"Position {position} is outside the text, which has {length} tokens (0 to {length - 1}).")
    return found
