"""From logits to the next token, as a function of its arguments.

The draw inverts the cumulative distribution in the order of the ids, with one uniform number per row. Ranks do not
enter: two tokens whose probabilities tie up to rounding may change places without changing what is drawn.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loupe.engine.errors import BadOption


def sample_next(
    logits: Float[Tensor, "batch vocab"],
    uniforms: Float[Tensor, " batch"],
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
) -> Int[Tensor, " batch"]:
    """One token per row. Temperature 0 is greedy (the first of equals); `uniforms` are in (0, 1).

    Raises BadOption for a negative temperature or a top_p outside (0, 1].
    """
    check_sampling(temperature, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.double() / temperature, -1)
    if top_p < 1:
        probabilities = nucleus(probabilities, top_p)
    cumulative = probabilities.cumsum(-1)
    targets = uniforms.to(cumulative)[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, targets, right=True).squeeze(-1)
    return drawn.clamp(max=_last_possible(probabilities))


def nucleus(probabilities: Float[Tensor, "batch vocab"], top_p: float) -> Float[Tensor, "batch vocab"]:
    """The smallest set of most probable tokens that holds at least `top_p`, the rest set to zero; not renormalised."""
    ranked = probabilities.sort(-1, descending=True).values
    before = ranked.cumsum(-1) - ranked
    smallest = ranked.masked_fill(before >= top_p, 2.0).amin(-1, keepdim=True)
    return probabilities.where(probabilities >= smallest, 0.0)


def check_sampling(temperature: float, top_p: float) -> None:
    """Raises BadOption for a negative temperature or a top_p outside (0, 1]."""
    if not 0 <= temperature < float("inf"):
        raise BadOption(f"temperature is {temperature}: expected 0 (greedy) or more.")
    if not 0 < top_p <= 1:
        raise BadOption(f"top_p is {top_p}: expected more than 0 and at most 1.")


def _last_possible(probabilities: Float[Tensor, "batch vocab"]) -> Int[Tensor, " batch"]:
    """The highest id of each row with any probability: where a rounded-up target ends."""
    width = probabilities.shape[-1]
    return width - 1 - (probabilities.flip(-1) > 0).int().argmax(-1)
