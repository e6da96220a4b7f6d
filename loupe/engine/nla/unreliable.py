"""Positions whose explanations are known to be unreliable: marked and left out of summaries, never hidden.

- `first_token`: position 0, where attention has nothing to look at and most models park a huge norm.
- `early`: fewer tokens before it than the verbalizer was trained with (`extraction.min_position` of its sidecar; 10
  where the sidecar says nothing, after what was seen with the public pairs).
- `special`: a special token of the tokenizer.
- `template`: in a chat, everything that is not the content of a message: roles, default system prompts, line breaks.
- `outlier_norm`: the activation's norm is more than 3 times, or less than a third of, the text's median norm *and* its
  logarithm is more than 6 robust standard deviations (1.4826 x the median absolute deviation) from the median.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from statistics import median

from loupe.engine.nla.sidecar import Sidecar

EARLY = 10
_FACTOR = 3.0
_ROBUST_DEVIATIONS = 6.0


class Flag(StrEnum):
    """Why a position is unreliable."""

    FIRST_TOKEN = "first_token"  # noqa: S105 - not a password
    EARLY = "early"
    SPECIAL = "special"
    TEMPLATE = "template"
    OUTLIER_NORM = "outlier_norm"


def flags_of(
    ids: Sequence[int],
    norms: Sequence[float],
    *,
    special_ids: Sequence[int] = (),
    template: Sequence[int] = (),
    min_position: int = EARLY,
) -> list[tuple[str, ...]]:
    """The flags of every position of a text, from its ids and the norms of its activations."""
    special, from_template, outliers = set(special_ids), set(template), outlier_norms(norms)
    found = []
    for position, token in enumerate(ids):
        reasons = {
            Flag.FIRST_TOKEN: position == 0,
            Flag.EARLY: position < min_position,
            Flag.SPECIAL: token in special,
            Flag.TEMPLATE: position in from_template,
            Flag.OUTLIER_NORM: position in outliers,
        }
        found.append(tuple(flag for flag, applies in reasons.items() if applies))
    return found


def outlier_norms(norms: Sequence[float]) -> set[int]:
    """Positions whose norm is out of line with the rest of the text (rule in the module docstring)."""
    logs = [math.log(max(norm, 1e-12)) for norm in norms]
    middle = median(logs)
    spread = 1.4826 * median(abs(value - middle) for value in logs)
    limit = max(math.log(_FACTOR), _ROBUST_DEVIATIONS * spread)
    return {position for position, value in enumerate(logs) if abs(value - middle) > limit}


def min_position_of(sidecar: Sidecar) -> int:
    """The first position the verbalizer was trained on, as far as its sidecar says."""
    value = (sidecar.raw.get("extraction") or {}).get("min_position")
    return value if isinstance(value, int) and value >= 0 else EARLY
