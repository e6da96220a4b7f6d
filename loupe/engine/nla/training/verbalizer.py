"""Train a verbalizer: an activation injected into a prompt, its explanation out.

The verbalizer starts as a copy of the base model and is fine-tuned whole. One embedding row of the prompt is
overwritten with the activation, rescaled to a fixed norm; the loss is cross-entropy on the response alone. Watch the
gap between the loss with the true activation and with a shuffled one: without it the text is fluent and the verbalizer
is blind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from loupe.engine.nla.training.checkpoint import restore, store
from loupe.engine.nla.training.examples import Examples, length_batches, right_padded
from loupe.engine.nla.training.prompt import Prompt, embedded
from loupe.engine.nla.training.spelling import Quoted, Spelling
from loupe.engine.optimizing import Optimizer, Schedule

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class VerbalizerRecipe:
    """Budget and rates.

    `emphasis` is the weight of tokens that an explanation's `Emphasised` names; others have 1. With `mlp_width` the
    MLPs are widened first (`growth.widen_mlps`). `spelling` is the weight of `spelling.Spelling` beside the main loss.
    """

    tokens: int = 7_000_000
    tokens_per_step: int = 2_500
    matrix_lr: float = 0.015
    other_lr: float = 2e-3
    emphasis: float = 1.0
    mlp_width: int | None = None
    spelling: float = 0.0
    spelling_rows: int = 32
    save_every: int = 300
    seed: int = 2


Emphasised = Callable[[str], list[tuple[int, int]]]  # character ranges of an explanation that matter most


def response(explanation: str) -> str:
    """What the verbalizer writes for an explanation, up to the token that ends its turn."""
    return f"<explanation>{explanation}</explanation>"


def response_loss(
    model: PreTrainedModel, prompt: Prompt, responses: list[list[int]], vectors: Float[Tensor, "b d_model"], pad: int,
    weights: list[list[float]] | None = None,
) -> Float[Tensor, " b"]:  # fmt: skip
    """Mean negative log-likelihood of each response, given its activation; a weighted mean with token weights."""
    rows = [[*prompt.ids, *row] for row in responses]
    ids, last = right_padded(rows, pad)
    inputs = embedded(model, prompt, ids, vectors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(
            inputs_embeds=inputs[:, :-1], use_cache=False, logits_to_keep=ids.shape[1] - len(prompt.ids)
        ).logits
    targets = ids[:, len(prompt.ids) :]
    nll = F.cross_entropy(logits.float().transpose(1, 2), targets, reduction="none")
    counted = (torch.arange(len(prompt.ids), ids.shape[1])[None] <= last[:, None]).float()
    for row, given in enumerate(weights or ()):
        counted[row, : len(given)] = torch.tensor(given)
    return (nll * counted).sum(1) / counted.sum(1)


def train_verbalizer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, examples: Examples,
    recipe: VerbalizerRecipe, checkpoint: Path, emphasised: Emphasised | None = None, quoted: Quoted | None = None,
) -> Iterator[tuple[int, int, float]]:  # fmt: skip
    """Train in place, yielding `(step, steps, loss)`; continues from `checkpoint` if it exists."""
    responses = [response(text) for text in examples.texts]
    encoded = tokenizer(responses, return_offsets_mapping=emphasised is not None)
    rows = [[*row, tokenizer.eos_token_id] for row in encoded.input_ids]
    weights = None
    if emphasised is not None:
        weights = [
            [*_weights(offsets, emphasised(text), recipe.emphasis), 1.0]
            for offsets, text in zip(encoded.offset_mapping, responses, strict=True)
        ]
    spelling = None
    if recipe.spelling and quoted is not None:
        rows_a_step, seed = recipe.spelling_rows, recipe.seed
        spelling = Spelling(model, tokenizer, prompt, examples, quoted, rows=rows_a_step, seed=seed)
    steps = recipe.tokens // recipe.tokens_per_step
    optimizer = Optimizer(model, Schedule(steps, hold=0.4), matrix_lr=recipe.matrix_lr, other_lr=recipe.other_lr)
    first = restore(checkpoint, model, optimizer)
    pad: Any = tokenizer.pad_token_id
    order = length_batches([len(row) + len(prompt.ids) for row in rows], recipe.tokens_per_step, recipe.seed)
    for step, indices in zip(range(steps), order, strict=False):
        if step < first:
            continue
        per_row = response_loss(
            model, prompt, [rows[i] for i in indices], examples.vectors[indices], pad,
            [weights[i] for i in indices] if weights else None,
        )  # fmt: skip
        loss = per_row.mean()
        loss.backward()
        if spelling is not None:
            (recipe.spelling * spelling.loss(step).loss).backward()
        optimizer.step(step)
        if (step + 1) % recipe.save_every == 0:
            store(checkpoint, model, optimizer, step + 1)
        yield step + 1, steps, float(loss.detach())


def _weights(offsets: list[tuple[int, int]], spans: list[tuple[int, int]], emphasis: float) -> list[float]:
    return [emphasis if any(start < b and a < end for a, b in spans) else 1.0 for start, end in offsets]


@torch.no_grad()
def blindness(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, examples: Examples
) -> dict[str, float]:
    """Teacher-forced loss with the true, a shuffled and a zero activation; equal losses mean a blind verbalizer."""
    rows = [[*row, tokenizer.eos_token_id] for row in tokenizer([response(text) for text in examples.texts]).input_ids]
    pad: Any = tokenizer.pad_token_id
    variants = {
        "true": examples.vectors,
        "shuffled": examples.vectors.roll(1, 0),
        "zero": torch.zeros_like(examples.vectors),
    }
    return {name: float(response_loss(model, prompt, rows, vectors, pad).mean()) for name, vectors in variants.items()}
