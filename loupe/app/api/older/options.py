"""The older names of what one may ask for, and what they mean here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from loupe.app.services.options import AnalysisOptions, GenerationOptions, Message
from loupe.engine.errors import BadOption

Text = str | list[Message]
Made = TypeVar("Made", bound=BaseModel)

# Accepted, checked and without effect, because they steered how the older server computed, or what it never did.
WITHOUT_EFFECT = (
    *("batch_size", "do_hard_tokens", "move_devices", "add_tokens", "replace_left", "replace_right"),
    *("tuned_lens", "use_tuned_lens", "exclusive_gpu", "device", "rollout_batch_size", "num_samples"),
)
SEARCH_WITHOUT_EFFECT = (
    *("n_groups_per_rollout", "num_samples_per_iteration", "salience_pct_threshold", "rollout_batch_size"),
    *("num_samples", "use_batched"),
)


class Older(BaseModel):
    """Older clients send more than is documented; what is not known is ignored, as it was."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class SearchOptions(Older):
    """`optimize_explanations_config`: how many rollouts there are, and how hot."""

    use_batched: bool = True
    best_of_k: Annotated[int, Field(ge=0, le=512)] = 8
    n_groups_per_rollout: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0.01, le=2)] | None = None
    num_samples_per_iteration: Annotated[int, Field(ge=1, le=64)] | None = None
    salience_pct_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    rollout_batch_size: Any = None
    num_samples: Any = None


class AnalyzeOptions(Older):
    """The options of an analysis, with the older defaults, ranges and names."""

    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    no_eval: bool = False
    tuned_lens: bool = False
    use_tuned_lens: bool = False
    logit_lens_analysis: bool = False
    temperature: Annotated[float, Field(ge=0.01, le=2)] = 1.0
    do_hard_tokens: bool = False
    return_structured: bool = True
    move_devices: bool = False
    no_kl: bool = False
    calculate_salience: bool = True
    calculate_token_salience: bool = True
    add_tokens: Any = None
    replace_left: Any = None
    replace_right: Any = None
    last_n_messages: Annotated[int, Field(ge=1, le=1000)] | None = None
    exclusive_gpu: Any = None
    device: Any = None
    rollout_batch_size: Any = None
    num_samples: Any = None
    model_id: str | None = Field(default=None, max_length=500)
    optimize_explanations_config: SearchOptions = SearchOptions()

    @property
    def best_of(self) -> int:
        """Rollouts per position."""
        return max(1, self.optimize_explanations_config.best_of_k)

    def ignored(self) -> list[str]:
        """What was given and has no effect here."""
        given = [n for n in WITHOUT_EFFECT if n in self.model_fields_set and getattr(self, n) not in (None, False)]
        search = self.optimize_explanations_config
        inner = [n for n in SEARCH_WITHOUT_EFFECT if n in search.model_fields_set and getattr(search, n) is not None]
        return given + [
            f"optimize_explanations_config.{n}" for n in inner if not (n == "use_batched" and search.use_batched)
        ]

    def to_analysis(self, text: Text, model: dict[str, Any]) -> AnalysisOptions:
        """The same request in today's terms. `model` names the pair. Raises BadOption."""
        search = self.optimize_explanations_config
        turns = as_messages(text)
        asked: dict[str, Any] = dict(model) | {
            "best_of": self.best_of,
            "temperature": search.temperature or self.temperature,
            "seed": self.seed,
            "kl": not (self.no_kl or self.no_eval),
            "salience": "word" if self._wants_salience else "none",
            "logit_lens_k": 10 if self.logit_lens_analysis else 0,
            "next_token_k": 0,
            "positions": f"last_turns:{self.last_n_messages}" if self.last_n_messages and turns else "all",
        }
        return _made(AnalysisOptions, asked | _input(text, turns))

    @property
    def _wants_salience(self) -> bool:
        return self.calculate_salience and self.calculate_token_salience and not self.no_eval


class GenerateOptions(Older):
    """The options of `generate`: continuations of exactly so many tokens."""

    num_tokens: Annotated[int, Field(ge=1, le=1000)] = 100
    num_completions: Annotated[int, Field(ge=1, le=20)] = 5
    temperature: Annotated[float, Field(ge=0.01, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    is_chat: bool = False
    use_chat_format: bool = False
    model_id: str | None = Field(default=None, max_length=500)

    def to_generations(self, text: Text, model: dict[str, Any]) -> list[GenerationOptions]:
        """One request per continuation, each with a seed of its own. Raises BadOption."""
        turns = as_messages(text)
        if turns is None and isinstance(text, str) and (self.is_chat or self.use_chat_format):
            turns = [Message(role="user", content=text)]
        asked = {"temperature": self.temperature, "top_p": self.top_p, "max_new_tokens": self.num_tokens}
        return [
            _made(GenerationOptions, dict(model) | asked | {"seed": self.seed + n} | _input(text, turns))
            for n in range(self.num_completions)
        ]


class SendOptions(Older):
    """The options of `send_message`: one answer, until the model ends it."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 1024
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    def to_generation(self, messages: Sequence[Message], model: dict[str, Any]) -> GenerationOptions:
        """The same request in today's terms. Raises BadOption (more than one system message)."""
        if sum(m.role == "system" for m in messages) > 1:
            raise BadOption("A chat has at most one system message.")
        asked = {"temperature": self.temperature, "top_p": self.top_p, "max_new_tokens": self.max_tokens}
        return _made(GenerationOptions, dict(model) | asked | {"seed": self.seed} | _input("", list(messages)))


def as_messages(text: Text) -> list[Message] | None:
    """The turns of a chat: a list, or the JSON of one, as the older page sent it; None for plain text."""
    if isinstance(text, list):
        return text
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
        return [Message.model_validate(turn) for turn in found] if isinstance(found, list) and found else None
    except (ValueError, RecursionError):
        return None


def _input(text: Text, turns: list[Message] | None) -> dict[str, Any]:
    if turns is None:
        return {"text": text}
    given = [turn.model_dump() for turn in turns]
    if len(given) > 1 and given[-1]["role"] == "assistant":
        return {"messages": given[:-1], "prefill": given[-1]["content"]}
    return {"messages": given}


def _made(kind: type[Made], asked: dict[str, Any]) -> Made:
    try:
        return kind.model_validate(asked)
    except ValidationError as invalid:
        told = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'request'}: {e['msg']}" for e in invalid.errors())
        raise BadOption(told) from None
