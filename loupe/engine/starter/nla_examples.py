"""Activations of the starter's language model at tokens of fresh documents, each with its explanation and truth."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch

from loupe.engine.nla.training.examples import Examples
from loupe.engine.starter.corpus import Row, collate, make_rows
from loupe.engine.starter.explanations import Explained, explain

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FIRST_POSITION = 4  # earlier tokens are flagged as unreliable by analyses, and are not trained on either
PREDICTIONS = 4
DOCUMENTS_AT_ONCE = 32


class Case(NamedTuple):
    """One token of one document: where it is, its activation `[d_model]` and its explanation."""

    row: Row
    position: int
    vector: torch.Tensor
    explained: Explained


def make_cases(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, layer: int, seeds: range, per_document: int
) -> Iterator[Case]:
    """`per_document` random tokens of the document of each seed; the choice depends on the seed alone."""
    for start in range(seeds.start, seeds.stop, DOCUMENTS_AT_ONCE):
        part = range(start, min(start + DOCUMENTS_AT_ONCE, seeds.stop))
        rows = make_rows(tokenizer, part)
        hidden, words, probabilities = _read(model, rows, layer)
        for index, (seed, row) in enumerate(zip(part, rows, strict=True)):
            rng = random.Random(f"case:{seed}")  # noqa: S311 - data, not secrets
            places = range(FIRST_POSITION, len(row.ids))
            for position in sorted(rng.sample(places, min(per_document, len(places)))):
                likely = [
                    (str(tokenizer.decode([int(token)])), float(p))
                    for token, p in zip(words[index, position], probabilities[index, position], strict=True)
                ]
                explained = explain(row.document, *row.spans[position], likely, rng)
                yield Case(row, position, hidden[index, position].clone(), explained)


@torch.no_grad()
def _read(model: PreTrainedModel, rows: list[Row], layer: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Residual stream after block `layer` `[b s d]`, and the likeliest next tokens with probabilities `[b s 4]`."""
    output = model(input_ids=collate(rows, 0).ids, output_hidden_states=True, use_cache=False)
    probabilities, words = output.logits.float().softmax(-1).topk(PREDICTIONS)
    return output.hidden_states[layer + 1].float(), words, probabilities


def as_examples(cases: list[Case]) -> Examples:
    return Examples(torch.stack([case.vector for case in cases]), tuple(case.explained.text for case in cases))
