"""A continuation, one token at a time, with a KV cache.

The generator holds no hook and no global mode between two tokens, so a job may yield there, and interventions are
opened by the caller around each `next()`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from loupe.engine.errors import BadOption, EmptyText, TextTooLong
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.sampling import check_sampling, sample_next
from loupe.engine.randomness import uniform

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """How to continue. Temperature 0 is greedy. `stop_ids` None means the model's own end-of-sequence ids.

    The noise of a token is a function of (seed, position, rollout, step), step counting the new tokens; position and
    rollout tell apart generations that share a seed.
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop_ids: tuple[int, ...] | None = None
    position: int = 0
    rollout: int = 0


def stream_generate(
    lm: LanguageModel, ids: Sequence[int], options: GenerateOptions = GenerateOptions()
) -> Generator[int, None, FinishReason]:
    """Yield the new token ids, the stop token included; return why it ended.

    A text never grows beyond the positions the model was made for. Raises EmptyText (no prompt), TextTooLong (a prompt
    that fills them already), BadOption (max_new_tokens, temperature, top_p) before the first token.
    """
    steps = generate_steps(lm, ids, options, piece_tokens=len(ids) or 1)
    while True:
        try:
            token = next(steps)
        except StopIteration as end:
            return end.value
        if token is not None:
            yield token


def generate_steps(
    lm: LanguageModel, ids: Sequence[int], options: GenerateOptions, *, piece_tokens: int
) -> Generator[int | None, None, FinishReason]:
    """As `stream_generate`, but the prompt is read in pieces of `piece_tokens`, with a None yielded after each."""
    room = _room(lm, ids, options)
    stop = set(stop_ids(lm) if options.stop_ids is None else options.stop_ids)
    fresh, cache = list(ids), None
    while room and len(fresh) > piece_tokens:
        piece, fresh = fresh[:piece_tokens], fresh[piece_tokens:]
        cache = _read(lm, piece, cache)
        yield None
    for step in range(room):
        token, cache = _next_token(lm, fresh, cache, options, step)
        yield token
        if token in stop:
            return "stop"
        fresh = [token]
    return "length"


def _room(lm: LanguageModel, ids: Sequence[int], options: GenerateOptions) -> int:
    check_sampling(options.temperature, options.top_p)
    if options.max_new_tokens < 0:
        raise BadOption(f"max_new_tokens is {options.max_new_tokens}: expected 0 or more.")
    if not ids:
        raise EmptyText("There is no token to continue from.")
    if lm.max_tokens is None:
        return options.max_new_tokens
    if len(ids) > lm.max_tokens:
        raise TextTooLong(f"The prompt has {len(ids)} tokens; the model was made for {lm.max_tokens}. Shorten it.")
    # The last new token is never fed back, so it needs no position of its own.
    return min(options.max_new_tokens, lm.max_tokens - len(ids) + 1)


def stop_ids(lm: LanguageModel) -> tuple[int, ...]:
    """The ids that end a sequence: of the generation config, the tokenizer and the model's config together."""
    sources = (
        getattr(lm.model.generation_config, "eos_token_id", None),
        getattr(lm.tokenizer, "eos_token_id", None),
        getattr(lm.config, "eos_token_id", None),
    )
    found = (ids if isinstance(ids, list | tuple) else [ids] for ids in sources if ids is not None)
    return tuple(sorted({int(token) for ids in found for token in ids}))


@torch.no_grad()
def _read(lm: LanguageModel, piece: list[int], cache: Any) -> Any:
    return lm.forward(torch.tensor([piece]), use_cache=True, past_key_values=cache).past_key_values


@torch.no_grad()
def _next_token(
    lm: LanguageModel, fresh: list[int], cache: Any, options: GenerateOptions, step: int
) -> tuple[int, Any]:
    output = lm.forward(torch.tensor([fresh]), use_cache=True, past_key_values=cache)
    assert output.last_hidden_state is not None
    logits = lm.head_logits(output.last_hidden_state[:, -1]).float()
    noise = torch.tensor([float(uniform(options.seed, options.position, options.rollout, step))], dtype=torch.float64)
    token = sample_next(logits, noise.to(logits.device), temperature=options.temperature, top_p=options.top_p)
    return int(token), output.past_key_values
