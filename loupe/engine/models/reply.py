"""A continuation as a job: the prompt is read in pieces, each new token is a step, and its text grows as it is made."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loupe.engine.errors import BadInput
from loupe.engine.jobs import Priority, Progress
from loupe.engine.models.generate import FinishReason, GenerateOptions, generate_steps

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from loupe.engine.context import JobContext
    from loupe.engine.models.language_model import LanguageModel

_PIECE_TOKENS = 128  # of the prompt at a time, so that a long one does not hold the device
_CONTEXT = 8  # tokens decoded before the new ones: some tokenizers drop the space of a first token


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model wrote: ids (the stop token included), their text without special tokens, and why it ended."""

    token_ids: tuple[int, ...]
    text: str
    finish: FinishReason


class ReplyJob:
    """Continue `ids`. Each token is a `Progress` whose item is the text so far. Raises BadInput without a tokenizer."""

    name = "reply"
    priority = Priority.INTERACTIVE

    def __init__(self, model: LanguageModel, ids: Sequence[int], options: GenerateOptions) -> None:
        if model.tokenizer is None:
            raise BadInput("This model has no tokenizer, so it cannot reply in words.")
        self.model, self.ids, self.options = model, tuple(ids), options
        self.tokenizer: PreTrainedTokenizerBase = model.tokenizer

    def run(self, ctx: JobContext) -> Generator[Progress, None, Reply]:
        """One token a step."""
        made: list[int] = []
        steps = generate_steps(self.model, self.ids, self.options, piece_tokens=_PIECE_TOKENS)
        most = self.options.max_new_tokens
        while True:
            try:
                token = next(steps)
            except StopIteration as end:
                return Reply(tuple(made), self._text(made), end.value)
            if token is None:
                yield Progress(0, most, "reading the prompt")
                continue
            made.append(token)
            yield Progress(len(made), most, "replying", self._text(made))

    def _text(self, made: Sequence[int]) -> str:
        return new_text(self.tokenizer, self.ids, made)


def new_text(tokenizer: PreTrainedTokenizerBase, before: Sequence[int], made: Sequence[int]) -> str:
    """The text that `made` adds after `before`; a character of which only some bytes are there yet is left out."""
    tail = list(before[-_CONTEXT:])
    known = str(tokenizer.decode(tail, skip_special_tokens=True))
    whole = str(tokenizer.decode([*tail, *made], skip_special_tokens=True))
    if not whole.startswith(known):
        whole, known = str(tokenizer.decode(list(made), skip_special_tokens=True)), ""
    return whole[len(known) :].rstrip("\ufffd")
