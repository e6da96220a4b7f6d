"""Train a reconstructor: words in, activation out, judged by direction alone.

The model is the first K+1 blocks of the base model without its final norm; the residual stream at the last token of the
template goes through a bias-free linear head that starts as the identity. The loss is mse_nrm = 2(1 - cos), plus a
little for a wrong length, so that the raw errors mean something too.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from loupe.engine.nla.training.checkpoint import restore, store
from loupe.engine.nla.training.examples import Examples, length_batches, right_padded
from loupe.engine.optimizing import Optimizer, Schedule

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LENGTH_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class ReconstructorRecipe:
    tokens: int = 4_000_000
    tokens_per_step: int = 3_000
    matrix_lr: float = 0.01
    other_lr: float = 2e-3
    save_every: int = 300
    seed: int = 1


class Reconstruction(nn.Module):
    """The truncated model and its head. `backbone` is the base model's decoder with K+1 blocks and no final norm."""

    def __init__(self, base: PreTrainedModel, layer: int) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(base.model)
        self.backbone.layers = self.backbone.layers[: layer + 1]
        self.backbone.norm = nn.Identity()
        self.backbone.config.num_hidden_layers = layer + 1
        d = base.config.hidden_size
        self.head = nn.Linear(d, d, bias=False)
        nn.init.eye_(self.head.weight)

    def forward(self, ids: Tensor, last: Tensor) -> Float[Tensor, "b d_model"]:
        hidden = self.backbone(input_ids=ids, use_cache=False).last_hidden_state
        return self.head(hidden[torch.arange(len(ids)), last])


def train_reconstructor(
    model: Reconstruction, tokenizer: PreTrainedTokenizerBase, template: str, examples: Examples,
    recipe: ReconstructorRecipe, checkpoint: Path,
) -> Iterator[tuple[int, int, float]]:  # fmt: skip
    """Train in place, yielding `(step, steps, mse_nrm)`; continues from `checkpoint` if it exists."""
    rows = tokenizer([template.replace("{explanation}", text.strip()) for text in examples.texts]).input_ids
    steps = recipe.tokens // recipe.tokens_per_step
    optimizer = Optimizer(model, Schedule(steps, hold=0.4), matrix_lr=recipe.matrix_lr, other_lr=recipe.other_lr)
    first = restore(checkpoint, model, optimizer)
    pad: Any = tokenizer.pad_token_id
    order = length_batches([len(row) for row in rows], recipe.tokens_per_step, recipe.seed)
    for step, indices in zip(range(steps), order, strict=False):
        if step < first:
            continue
        ids, last = right_padded([rows[i] for i in indices], pad)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            predicted = model(ids, last)
        gold = examples.vectors[indices].float()
        mse_nrm = 2 * (1 - F.cosine_similarity(predicted.float(), gold)).mean()
        length = (predicted.float().norm(dim=-1) / gold.norm(dim=-1) - 1).square().mean()
        (mse_nrm + LENGTH_WEIGHT * length).backward()
        optimizer.step(step)
        if (step + 1) % recipe.save_every == 0:
            store(checkpoint, model, optimizer, step + 1)
        yield step + 1, steps, float(mse_nrm.detach())
