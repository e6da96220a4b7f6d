"""The stages of the starter build: each reads what earlier stages left in the work folder and leaves its own result.

A stage is a generator of `StageProgress`. It is finished when its result exists, so a build that was interrupted, even
killed, goes on where it was; long stages also keep a checkpoint inside.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file

from loupe.engine.models.loading import load_model
from loupe.engine.nla.training.export import save_model
from loupe.engine.starter import language_model as lm
from loupe.engine.starter.binding import GATE, measure_binding
from loupe.engine.starter.corpus import HELD_OUT_SEED, Row, make_rows
from loupe.engine.starter.explanations import explain
from loupe.engine.starter.tokenizer import train_tokenizer
from loupe.engine.starter.world import lexicon
from loupe.engine.starter.world.story import Document, write_document


class StageProgress(NamedTuple):
    """Where a stage is, with what it measured at that step."""

    stage: str
    done: int
    total: int
    measures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Workshop:
    """The work folder of a build: results and checkpoints of every stage."""

    folder: Path

    def result(self, stage: str) -> Path:
        return self.folder / stage

    @contextmanager
    def publishing(self, stage: str) -> Iterator[Path]:
        """A folder to write a result into; it takes its name only when everything in it is written."""
        aside = self.folder / f"{stage}.part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
        aside.replace(self.result(stage))

    def checkpoint(self, stage: str) -> Path:
        return self.folder / f"{stage}.checkpoint"


class GateFailed(RuntimeError):
    """A measured quality is below what the following stages need."""


WORDS = (
    *lexicon.WOMEN, *lexicon.MEN, *lexicon.KINDS, *lexicon.TRAITS, *lexicon.OBJECTS, *lexicon.OBJECT_ADJECTIVES,
    *(noun for noun, _ in lexicon.PLACES), *lexicon.FOODS, *(word for skill in lexicon.SKILLS for word in skill),
    *lexicon.WEATHER, *(word for words in lexicon.MOODS.values() for word in words if " " not in word),
)  # fmt: skip


def tokenizer(workshop: Workshop, documents: int) -> Iterator[StageProgress]:
    """Learn the vocabulary from the corpus and from explanations of it."""
    written = [write_document(seed) for seed in range(documents)]
    texts = [document.text for document in written]
    explanations = [_explanation_of(document) for document in written[::2]]
    yield StageProgress("tokenizer", 1, 2, {})
    with workshop.publishing("tokenizer") as folder:
        train_tokenizer(texts + explanations, WORDS, folder)
    yield StageProgress("tokenizer", 2, 2, {})


def _explanation_of(document: Document) -> str:
    """An explanation of a word in the middle, with the true next word in place of a model's predictions."""
    words = [match.span() for match in re.finditer(r" [\w']+|[^\w\s]+", document.text)]
    (start, end), following = words[len(words) // 2], words[len(words) // 2 + 1]
    return explain(document, start, end, [(document.text[slice(*following)], 0.6)], random.Random(0)).text  # noqa: S311


def load_tokenizer(workshop: Workshop):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(workshop.result("tokenizer"))


def binding_model(workshop: Workshop, recipe: lm.LanguageModelRecipe) -> Iterator[StageProgress]:
    """Train a language model that carries names and things, with the heads that read the story's state."""
    words = load_tokenizer(workshop)
    rows = make_rows(words, range(recipe.first_document, recipe.first_document + recipe.documents))
    held_out = make_rows(words, range(HELD_OUT_SEED, HELD_OUT_SEED + recipe.held_out), genre="story")
    model = lm.new_model(recipe, len(words), words.eos_token_id, words.pad_token_id)
    reading = lm.new_reading_heads(model, words, recipe.read_block)
    stream = lm.train(model, words, reading, rows, recipe, workshop.checkpoint("binding_model"), held_out)
    yield from _measured("binding_model", stream, model, words, held_out)
    with workshop.publishing("binding_model") as folder:
        save_model(model, words, folder)
        (folder / "heads").mkdir()
        save_file(reading.state_dict(), folder / "heads/reading.safetensors")


def language_model(
    workshop: Workshop, layer: int, held_out_documents: int, recipe: lm.SettlingRecipe, *, gated: bool = True
) -> Iterator[StageProgress]:
    """Settle the binding model and hold it to the binding gate. Raises `GateFailed`."""
    words, start = load_tokenizer(workshop), workshop.result("binding_model")
    rows = make_rows(words, range(recipe.first_document, recipe.first_document + recipe.documents))
    held_out = make_rows(words, range(HELD_OUT_SEED, HELD_OUT_SEED + held_out_documents), genre="story")
    model: Any = load_model(start, dtype="fp32").model.requires_grad_(True).train()
    reading = lm.new_reading_heads(model, words, layer)
    reading.load_state_dict(load_file(start / "heads/reading.safetensors"))
    stream = lm.settle(model, words, reading, layer, rows, recipe, workshop.checkpoint("language_model"), held_out)
    yield from _measured("language_model", stream, model, words, held_out)
    bound = measure_binding(model, words, held_out)
    short = {key: bound.get(key, 0.0) for key, floor in GATE.items() if bound.get(key, 0.0) < floor}
    if gated and short:
        raise GateFailed(f"The language model does not bind names well enough: {short}, needed {GATE}. Train longer.")
    with workshop.publishing("language_model") as folder:
        save_model(model, words, folder)


def _measured(name: str, stream: lm.Steps, model: Any, words: Any, held_out: list[Row]) -> Iterator[StageProgress]:
    for step, steps, loss, measures in stream:
        measures["loss"] = loss
        if step % 200 == 0 or step == steps:
            measures |= measure_binding(model, words, held_out)
        yield StageProgress(name, step, steps, measures)
