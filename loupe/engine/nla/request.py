"""What an analysis is asked for, and the check that it makes sense before anything is queued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from loupe.engine.errors import BadInput, BadOption, BadPositions, EmptyText
from loupe.engine.models.chat import render_chat_text
from loupe.engine.models.chat_contents import chat_frame, content_positions
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.tokens import encode_text
from loupe.engine.nla.extraction import check_ids, check_layer
from loupe.engine.nla.salience import Unit
from loupe.engine.nla.verbalizer import Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """What to analyse, exactly one of `token_ids`, `text` and `messages` (roles and contents of a chat), and how.

    `positions` None means all; negative ones count from the end. `best_of` rollouts are drawn per position and the one
    with the least mse_nrm wins. Temperature 0 is greedy. `salience` is "none", "line" or "word". The k of a lens is 0
    for none. `layer` None means the pair's. `template_positions` marks positions of `token_ids` that a chat template
    put there (found by itself for `messages`). `prefill` begins the assistant's next message and leaves it open.
    `fve_denominator` is used where the pair knows none.
    """

    token_ids: tuple[int, ...] | None = None
    text: str | None = None
    messages: tuple[Mapping[str, str], ...] | None = None
    prefill: str | None = None
    positions: tuple[int, ...] | None = None
    best_of: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    max_new_tokens: int = 200
    kl: bool = True
    salience: str = "line"
    logit_lens_k: int = 10
    next_token_k: int = 10
    layer: int | None = None
    template_positions: tuple[int, ...] = ()
    fve_denominator: float | None = None

    @property
    def sampling(self) -> Sampling:
        """The part that the verbalizer needs. Raises BadOption."""
        return Sampling(self.best_of, self.temperature, self.top_p, self.seed, self.max_new_tokens)


class Turn(NamedTuple):
    """A message of a chat, as positions of its content: `first` to `last`, both included."""

    role: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Question:
    """A request with everything filled in: ids, positions in order, which came from a chat template, and the turns."""

    request: AnalysisRequest
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    template: tuple[int, ...]
    turns: tuple[Turn, ...] = ()


class Cut(NamedTuple):
    """A text or chat as token ids, the positions that its template added, and its turns."""

    ids: tuple[int, ...]
    template: tuple[int, ...] = ()
    turns: tuple[Turn, ...] = ()


def resolve(model: LanguageModel, request: AnalysisRequest, layer: int) -> Question:
    """Tokenise, choose positions and check every option against a model and a pair that reads `layer`.

    Raises EmptyText, TextTooLong, BadPositions, LayerOutOfRange, BadOption, BadInput.
    """
    _check_options(model, request, layer)
    cut = cut_tokens(model, request)
    check_ids(model, cut.ids)
    return Question(request, cut.ids, _positions(request.positions, len(cut.ids)), cut.template, cut.turns)


def _check_options(model: LanguageModel, request: AnalysisRequest, layer: int) -> None:
    _ = request.sampling
    if request.layer is not None:
        check_layer(model, request.layer)
        if request.layer != layer:
            raise BadOption(f"This pair reads layer {layer} and says nothing about layer {request.layer}.")
    if request.salience not in set(Unit):
        raise BadOption(f"salience must be one of {', '.join(Unit)}, got {request.salience!r}.")
    for name in ("logit_lens_k", "next_token_k"):
        if not 0 <= getattr(request, name) <= model.vocab_size:
            raise BadOption(f"{name} must be between 0 and {model.vocab_size}, got {getattr(request, name)}.")
    if request.fve_denominator is not None and not request.fve_denominator > 0:
        raise BadOption(f"fve_denominator must be positive, got {request.fve_denominator}.")


def cut_tokens(model: LanguageModel, request: AnalysisRequest, *, reply_follows: bool = False) -> Cut:
    """The input as tokens; with `reply_follows` a chat ends where the assistant begins. Raises BadInput, BadOption."""
    given = [value for value in (request.token_ids, request.text, request.messages) if value is not None]
    if len(given) != 1:
        raise BadInput(f"Give exactly one of token_ids, text and messages; got {len(given)}.")
    if request.token_ids is not None:
        return Cut(tuple(request.token_ids), request.template_positions)
    if model.tokenizer is None:
        raise BadInput("This model has no tokenizer: give token_ids.")
    if request.text is not None:
        return Cut(tuple(encode_text(model.tokenizer, request.text)))
    return _cut_chat(model.tokenizer, request, reply_follows)


def _cut_chat(tokenizer: PreTrainedTokenizerBase, request: AnalysisRequest, reply_follows: bool) -> Cut:
    messages = request.messages or ()
    generation = True if reply_follows and request.prefill is None else None
    rendered = render_chat_text(tokenizer, messages, prefill=request.prefill, add_generation_prompt=generation)
    ids = tuple(tokenizer.encode(rendered, add_special_tokens=False))
    if request.prefill is not None:
        messages = (*messages, {"role": "assistant", "content": request.prefill})
    frame = chat_frame(tokenizer, request.messages or (), prefill=request.prefill, add_generation_prompt=generation)
    contents = content_positions(tokenizer, messages, rendered, ids, frame)
    if contents is None:
        return Cut(ids)
    said = {position for positions in contents for position in positions}
    turns = (
        Turn(message["role"], where[0], where[-1]) for message, where in zip(messages, contents, strict=True) if where
    )
    return Cut(ids, tuple(position for position in range(len(ids)) if position not in said), tuple(turns))


def _positions(chosen: tuple[int, ...] | None, length: int) -> tuple[int, ...]:
    if chosen is None:
        return tuple(range(length))
    if not chosen:
        raise EmptyText("No position was chosen.")
    if outside := [position for position in chosen if not -length <= position < length]:
        raise BadPositions(f"Position {outside[0]} does not exist: the text has {length} tokens.")
    return tuple(sorted({position % length for position in chosen}))


def filled(question: Question) -> AnalysisRequest:
    """The request as it can be repeated without tokenising again."""
    return replace(
        question.request,
        token_ids=question.ids,
        text=None,
        messages=None,
        prefill=None,
        positions=question.positions,
        template_positions=question.template,
    )
