"""The stages of the starter build: each reads what earlier stages left in the work folder and leaves its own result.

A stage is a generator of `StageProgress`. It is finished when its result exists, so a build that was interrupted, even
killed, goes on where it was; long stages also keep a checkpoint inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from loupe.engine.starter import language_model as lm
from loupe.engine.starter.binding import GATE, measure_binding
from loupe.engine.starter.corpus import HELD_OUT_SEED, make_rows
from loupe.engine.starter.tokenizer import train_tokenizer
from loupe.engine.starter.world import lexicon
from loupe.engine.starter.world.story import write_document


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
    seed: int = 0

    def result(self, stage: str) -> Path:
        return self.folder / stage

    def checkpoint(self, stage: str) -> Path:
        return self.folder / f"{stage}.checkpoint"


class GateFailed(RuntimeError):
    """A measured quality is below what the following stages need."""


WORDS = (
    *lexicon.WOMEN, *lexicon.MEN, *lexicon.KINDS, *lexicon.TRAITS, *lexicon.OBJECTS, *lexicon.OBJECT_ADJECTIVES,
    *(noun for noun, _ in lexicon.PLACES), *lexicon.FOODS, *(word for skill in lexicon.SKILLS for word in skill),
    *lexicon.WEATHER, *(word for words in lexicon.MOODS.values() for word in words if " " not in word),
)  # fmt: skip


def tokenizer(workshop: Workshop) -> Iterator[StageProgress]:
    """Learn the vocabulary from the corpus."""
    texts = [write_document(seed).text for seed in range(20_000)]
    yield StageProgress("tokenizer", 1, 2, {})
    train_tokenizer(texts, WORDS, workshop.result("tokenizer"))
    yield StageProgress("tokenizer", 2, 2, {})


def load_tokenizer(workshop: Workshop):  # noqa: ANN201 - transformers' tokenizer, imported late
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(workshop.result("tokenizer"))


def language_model(workshop: Workshop, recipe: lm.LanguageModelRecipe) -> Iterator[StageProgress]:
    """Train the language model and hold it to the binding gate. Raises `GateFailed`."""
    words = load_tokenizer(workshop)
    rows = make_rows(words, range(recipe.documents))
    held_out = make_rows(words, range(HELD_OUT_SEED, HELD_OUT_SEED + 200), genre="story")
    model = lm.new_model(recipe, len(words), words.eos_token_id, words.pad_token_id)
    for step, steps, loss, reading in lm.train(model, words, rows, recipe, workshop.checkpoint("language_model")):
        measures = {"loss": loss, "reading_loss": reading}
        if step % 250 == 0 or step == steps:
            measures |= measure_binding(model, words, held_out)
        yield StageProgress("language_model", step, steps, measures)
    bound = measure_binding(model, words, held_out)
    short = {key: bound[key] for key, floor in GATE.items() if bound[key] < floor}
    if short:
        raise GateFailed(f"The language model does not bind names well enough: {short}, needed {GATE}. Train longer.")
    from loupe.engine.nla.training.export import save_model

    save_model(model, words, workshop.result("language_model"))
