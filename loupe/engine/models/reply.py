"""A continuation as a job: the prompt is read in pieces, each new token is a step, and its text grows as it is made."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loupe.engine.errors import BadInput
from loupe.engine.jobs import Priority, Progress
from loupe.engine.models.generate import FinishReason, GenerateOptions, generate_steps
from loupe.engine.models.growing_text import GrowingText

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from loupe.engine.context import JobContext
    from loupe.engine.models.language_model import LanguageModel

_PIECE_TOKENS = 128  # of the prompt at a time, so that a long one does not hold the device


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
        written = GrowingText(self.tokenizer, self.ids)
        steps = generate_steps(self.model, self.ids, self.options, piece_tokens=_PIECE_TOKENS)
        most = self.options.max_new_tokens
        while True:
            try:
                token = next(steps)
            except StopIteration as end:
                return Reply(tuple(made), written.text, end.value)
            if token is None:
                yield Progress(0, most, "reading the prompt")
                continue
            made.append(token)
            yield Progress(len(made), most, "replying", written.add(token))
