"""A place for artefacts, a tokenizer and a way to run a job, for tests of datasets."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from loupe.engine.context import JobContext
from loupe.engine.jobs import Job, Progress

WORDS = ["<s>", "</s>", "<u>", "<a>", "?", "the", "cat", "sat", "on", "a", "mat", "dog", "ran", "hello", "there", "."]
TEMPLATE = (
    "{% for m in messages %}{{ '<u> ' if m.role == 'user' else '<a> ' }}{{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}<a> {% endif %}"
)


def tokenizer_of(**options: Any) -> PreTrainedTokenizerFast:
    """One token a word; BOS <s>, EOS </s>, a chat template with two role tokens."""
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    given = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "?", "chat_template": TEMPLATE} | options
    return PreTrainedTokenizerFast(tokenizer_object=backend, additional_special_tokens=["<u>", "<a>"], **given)


class Drafts:
    """A writer of artefacts into a folder: kept when its block ends well, gone otherwise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: list[str] = []

    @contextmanager
    def __call__(self, kind: str, name: str, details: Mapping[str, object] | None = None, /) -> Iterator[Any]:
        import shutil

        folder = self.root / f"{kind}-{len(self.made)}"
        folder.mkdir(parents=True)
        draft = SimpleNamespace(id=folder.name, folder=folder, details=dict(details or {}))
        try:
            yield draft
        except BaseException:
            shutil.rmtree(folder)
            raise
        self.made.append(folder.name)


def finish(job: Job[Any], drafts: Drafts) -> tuple[Any, list[Progress]]:
    """Run a job to its end: its result and what it said on the way."""
    steps, said = job.run(JobContext(writer=drafts)), []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as end:
            return end.value, said
