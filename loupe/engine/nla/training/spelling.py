"""Teach a verbalizer to quote: places of its prompt learn to spell what the activation remembers.

A linear map reads the last words from an activation almost without error, and yet a verbalizer trained on explanations
alone quotes one word in two: for each word of the quote it would have to learn another map of the same vector, while
it writes. So the last places of the prompt, each of which always stands for the same distance, are asked to hold the
embedding of the token that far back, halfway up the blocks. Writing the quote is then copying, which a language model
can do. Only training knows of it: the checkpoint is an ordinary one.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from loupe.engine.nla.training.checkpoint import restore, store
from loupe.engine.nla.training.examples import Examples
from loupe.engine.nla.training.prompt import Prompt, embedded
from loupe.engine.optimizing import Optimizer, Schedule

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PLACES = 6
BLOCKS = 3  # what is spelled is read after so many blocks
SHARPNESS = 16.0  # the logit of a place that holds exactly an embedding of ordinary norm
NONE = -100

Quoted = Callable[[str], str]  # what an explanation quotes; empty when it quotes nothing


@dataclass(frozen=True, slots=True)
class SpellingRecipe:
    steps: int = 2_000
    rows: int = 64
    matrix_lr: float = 0.02
    other_lr: float = 2e-3
    save_every: int = 500
    seed: int = 25


class Spelled(NamedTuple):
    """A batch's loss, and the share of places that hold the right token, farthest first."""

    loss: Float[Tensor, ""]
    right: list[float]


class Spelling:
    """The task: `loss(step)` is its loss on `rows` activations that belong to that step.

    Raises ValueError for a prompt with too few places after its slot.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, examples: Examples,
        quoted: Quoted, *, rows: int, seed: int,
    ) -> None:  # fmt: skip
        if len(prompt.ids) - prompt.slot <= PLACES:
            raise ValueError(f"The prompt ends before {PLACES} places after its slot: nothing there could be spelled.")
        self._model = model
        self._prompt = prompt
        self._vectors = examples.vectors
        quotes = tokenizer([f" {quoted(text)}".rstrip() for text in examples.texts], add_special_tokens=False).input_ids
        self._tokens = torch.tensor([in_places(quote) for quote in quotes])
        self._rows = min(rows, len(self._tokens))
        self._seed = seed

    def loss(self, step: int) -> Spelled:
        """Cross-entropy of what the places hold, read through the model's own embeddings."""
        chosen = random.Random(f"{self._seed}:{step}").sample(range(len(self._tokens)), self._rows)  # noqa: S311
        tokens = self._tokens[chosen]
        held = self._held(self._vectors[chosen]).float()
        embedding: Any = self._model.get_input_embeddings()
        words = embedding.weight.detach().float()
        logits = F.rms_norm(held, held.shape[-1:]) @ words.T * (SHARPNESS / held.shape[-1])
        known = tokens != NONE
        total = F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), ignore_index=NONE, reduction="sum")
        hits = (logits.detach().argmax(-1) == tokens) & known
        return Spelled(total / known.sum().clamp(min=1), (hits.sum(0) / known.sum(0).clamp(min=1)).tolist())

    def _held(self, vectors: Float[Tensor, "b d_model"]) -> Float[Tensor, "b places d_model"]:
        ids = torch.tensor(self._prompt.ids).expand(len(vectors), -1)
        rows = embedded(self._model, self._prompt, ids, vectors)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = _first_blocks(self._model)(inputs_embeds=rows, use_cache=False)
        return out.last_hidden_state[:, -PLACES:]


def train_spelling(
    model: PreTrainedModel, task: Spelling, recipe: SpellingRecipe, checkpoint: Path
) -> Iterator[tuple[int, int, Spelled]]:
    """Train the first blocks in place, yielding `(step, steps, spelled)`; continues from `checkpoint` if it exists.

    What the model wrote before is disturbed: a supervised round follows, with the same task beside it.
    """
    taught = {id(weight) for block in _blocks(model)[:BLOCKS] for weight in block.parameters()}
    for weight in model.parameters():
        weight.requires_grad_(id(weight) in taught)
    schedule = Schedule(recipe.steps, hold=0.6)
    optimizer = Optimizer(model, schedule, matrix_lr=recipe.matrix_lr, other_lr=recipe.other_lr)
    for step in range(restore(checkpoint, model, optimizer), recipe.steps):
        spelled = task.loss(step)
        spelled.loss.backward()
        optimizer.step(step)
        if (step + 1) % recipe.save_every == 0:
            store(checkpoint, model, optimizer, step + 1)
        yield step + 1, recipe.steps, spelled
    model.requires_grad_(True)


def in_places(tokens: list[int]) -> list[int]:
    """The token that each place should hold: the quote's last ones, the very last in the last place."""
    kept = tokens[-PLACES:]
    return [NONE] * (PLACES - len(kept)) + kept


def _blocks(model: PreTrainedModel) -> Any:
    backbone: Any = model.get_decoder()
    return backbone.layers


def _first_blocks(model: PreTrainedModel) -> nn.Module:
    """The model's own first blocks, without its final norm; the parameters are shared."""
    whole: Any = model.get_decoder()
    part = copy.copy(whole)
    part._modules = dict(whole._modules)
    part.layers, part.norm = whole.layers[:BLOCKS], nn.Identity()
    return part
