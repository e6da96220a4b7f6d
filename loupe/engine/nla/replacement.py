"""How much the model's next token changes when an activation is replaced by its reconstruction.

KL(P || Q) in nats, fp32: P is the model with the activation A as output of block K at position p, Q the model with the
reconstruction there; both are next-token distributions at p. Each position is replaced alone: it sees the original text
before it.

Only position p above block K differs from the base run, so all positions together need one partial forward: one token
per position enters block K + 1 and attends to the base run's keys and values before p and to itself. `naive_kl` is the
same quantity by two whole forwards per position.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.errors import WidthMismatch
from loupe.engine.models.hooks import HookPoint, intervene
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.partial import run_blocks
from loupe.engine.nla.extraction import BaseRun, base_run_steps
from loupe.engine.nla.paths import PathCache, attention_masks


def kl_of_replacement(
    lm: LanguageModel,
    ids: Sequence[int],
    layer: int,
    reconstructions: Float[Tensor, "positions d_model"],
    positions: Sequence[int] | None = None,
) -> list[float]:
    """KL for each position (default: every token of the text), in nats.

    The originals are the model's own activations, which is what P's definition puts there. Raises as `extract`, and
    WidthMismatch.
    """
    base = _finish(base_run_steps(lm, ids, [layer], keep_context=True))
    chosen = range(len(ids)) if positions is None else positions
    return _finish(kl_steps(lm, base, layer, chosen, reconstructions))


def kl_steps(
    lm: LanguageModel,
    base: BaseRun,
    layer: int,
    positions: Sequence[int],
    reconstructions: Float[Tensor, "positions d_model"],
    piece_positions: Callable[[], int] = lambda: 128,
) -> Generator[int, None, list[float]]:
    """The same from a base run that kept its context, some positions at a time; yields how many each step did."""
    if tuple(reconstructions.shape) != (len(positions), lm.d_model):
        raise WidthMismatch(
            f"{len(positions)} positions of d_model {lm.d_model} cannot be replaced by {list(reconstructions.shape)}."
        )
    values: list[float] = []
    while len(values) < len(positions):
        chosen = list(positions)[len(values) : len(values) + max(1, piece_positions())]
        values += _kl_of_piece(lm, base, layer, chosen, reconstructions[len(values) : len(values) + len(chosen)])
        yield len(chosen)
    return values


def kl_divergence(clean: Float[Tensor, "rows vocab"], changed: Float[Tensor, "rows vocab"]) -> Float[Tensor, " rows"]:
    """KL(softmax(clean) || softmax(changed)) row by row, fp32; rounding never makes it negative."""
    clean, changed = clean.float().log_softmax(-1), changed.float().log_softmax(-1)
    return (clean.exp() * (clean - changed)).sum(-1).clamp_min(0)


@torch.no_grad()
def naive_kl(
    lm: LanguageModel, ids: Sequence[int], layer: int, position: int, activation: Tensor, reconstruction: Tensor
) -> float:
    """The definition, by two whole forwards: once with the activation put there, once with the reconstruction."""
    logits = []
    for vector in (activation, reconstruction):
        with intervene(lm, HookPoint(layer), _put(vector, position)):
            logits.append(lm.logits(torch.tensor([list(ids)]))[:, position])
    return kl_divergence(*logits).item()


@torch.no_grad()
def _kl_of_piece(lm: LanguageModel, base: BaseRun, layer: int, chosen: list[int], vectors: Tensor) -> list[float]:
    assert base.context is not None, "the base run must keep its context for the KL"
    device = lm.device
    where = torch.tensor(chosen, device=device)
    before = torch.arange(len(base.ids), device=device) < where[:, None]
    visible = torch.cat([before, torch.eye(len(chosen), dtype=torch.bool, device=device)], dim=1)
    reach = torch.cat([base.context.positions, where])
    entering = vectors.to(device=device, dtype=base.normed.dtype)
    hidden = run_blocks(
        lm,
        entering[None],
        layer + 1,
        attention_mask=attention_masks(lm.backbone, visible[None], where[None], reach[None], entering.dtype),
        position_ids=where[None],
        past_key_values=PathCache(base.context),
        use_cache=True,
    )
    return kl_divergence(lm.head_logits(base.normed[where]), lm.unembed(hidden[0])).tolist()


def _put(vector: Tensor, position: int) -> Callable[[Tensor], Tensor]:
    def change(hidden: Tensor) -> Tensor:
        hidden = hidden.clone()
        hidden[:, position] = vector.to(hidden)
        return hidden

    return change


def _finish(steps: Generator[int, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value
