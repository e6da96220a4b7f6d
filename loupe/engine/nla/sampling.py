"""From logits to tokens by inverse CDF, with one uniform number per row.

The number comes from outside and belongs to (seed, position, rollout, step), so a row draws the same token whoever
shares its batch, up to rounding: where the number falls within SAMPLED_TIE of the edge between two tokens, or the two
best logits of a greedy row are within GREEDY_TIE of each other, another batch size may round to the other token. Such
steps are reported as ties.

The CDF runs over the vocabulary in id order. It is searched in two levels (chunks, then inside one chunk), which costs
one pass over the probabilities and loses less to rounding than one long cumulative sum.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

GREEDY_TIE = 1e-5
SAMPLED_TIE = 1e-6
_CHUNK = 256


class Draw(NamedTuple):
    """One token per row, and whether rounding could have chosen another."""

    tokens: Int[Tensor, " rows"]
    ties: Bool[Tensor, " rows"]


def draw(
    logits: Float[Tensor, "rows vocab"],
    uniforms: Float[Tensor, " rows"],
    temperature: Float[Tensor, " rows"],
    top_p: Float[Tensor, " rows"],
) -> Draw:
    """Sample each row at its own temperature and nucleus; temperature 0 is greedy (the first of equal logits)."""
    greedy = temperature == 0
    if bool(greedy.all()):
        return _greedy(logits)
    sampled = _sample(logits, uniforms, torch.where(greedy, 1.0, temperature), top_p)
    if not bool(greedy.any()):
        return sampled
    best = _greedy(logits)
    return Draw(torch.where(greedy, best.tokens, sampled.tokens), torch.where(greedy, best.ties, sampled.ties))


def _greedy(logits: Tensor) -> Draw:
    tokens = logits.argmax(dim=-1)
    best = logits.gather(1, tokens[:, None])
    close = (logits > best - GREEDY_TIE * best.abs().clamp_min(1.0)).sum(dim=-1) > 1
    return Draw(tokens, close)


def _sample(logits: Tensor, uniforms: Tensor, temperature: Tensor, top_p: Tensor) -> Draw:
    weights = logits.float() / temperature[:, None]
    weights = weights.sub_(weights.amax(dim=-1, keepdim=True)).exp_()
    if bool((top_p < 1).any()):
        weights = _nucleus(weights, top_p)
    return _invert(weights, uniforms)


def _nucleus(weights: Tensor, top_p: Tensor) -> Tensor:
    """Zero all but the smallest set of tokens whose probabilities reach top_p; the likeliest token always stays."""
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    reached = ordered.double().cumsum(dim=-1)
    before = (reached - ordered) / reached[:, -1:]
    kept = before < top_p[:, None]
    return torch.zeros_like(weights).scatter_(1, order, ordered * kept)


def _invert(weights: Tensor, uniforms: Tensor) -> Draw:
    rows, vocab = weights.shape
    padded = torch.nn.functional.pad(weights, (0, -vocab % _CHUNK)).view(rows, -1, _CHUNK)
    sums = padded.sum(dim=-1).double()
    reached = sums.cumsum(dim=-1)
    target = uniforms.double() * reached[:, -1]
    chunk = torch.searchsorted(reached, target[:, None], right=True).clamp_(max=reached.shape[1] - 1)
    start = (reached - sums).gather(1, chunk)
    inside = padded[torch.arange(rows, device=weights.device), chunk[:, 0]].double()
    edges = start + inside.cumsum(dim=-1)
    offset = (edges <= target[:, None]).sum(dim=-1).clamp_(max=_CHUNK - 1)
    offset = _last_possible(inside, offset)
    edge = (edges - target[:, None]).abs().amin(dim=-1) / reached[:, -1]
    return Draw(chunk[:, 0] * _CHUNK + offset, edge < SAMPLED_TIE)


def _last_possible(inside: Tensor, offset: Tensor) -> Tensor:
    """A token of probability zero is never drawn, even when rounding put the target past the last edge."""
    index = torch.arange(inside.shape[1], device=inside.device)
    possible = torch.where(inside > 0, index, -1)
    return torch.minimum(offset, possible.amax(dim=-1).clamp_min(0))
