"""Which part of an explanation carries it: what the reconstruction loses when a word or a line is left out.

salience(unit) = mse_nrm(reconstruction of the text without the unit) - mse_nrm(reconstruction of the whole text).
Positive: the unit helps. Negative: the explanation is better without it. Leaving a unit out also removes the white
space after it (before it, for the last one), so what remains reads as if it had been written that way.

All variants of a text share its beginning; the reconstructor's trie computes each shared token once.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple


class Unit(StrEnum):
    """What is left out at a time."""

    NONE = "none"
    WORD = "word"
    LINE = "line"


class Salience(NamedTuple):
    """One unit of an explanation, and what the reconstruction loses without it. `spans` says where units stand."""

    unit: str
    value: float


_PATTERNS = {Unit.WORD: re.compile(r"\S+"), Unit.LINE: re.compile(r"\S(?:[^\n]*\S)?")}


def spans(text: str, unit: Unit) -> list[tuple[int, int]]:
    """Character offsets of every word, or of every line that is not blank (without white space at its ends)."""
    if unit is Unit.NONE:
        return []
    return [match.span() for match in _PATTERNS[unit].finditer(text)]


def without_each(text: str, unit: Unit) -> list[str]:
    """The text without its first unit, without its second, and so on."""
    found = spans(text, unit)
    variants = []
    for index, (start, _) in enumerate(found):
        if index + 1 < len(found):
            variants.append(text[:start] + text[found[index + 1][0] :])
        else:
            variants.append(text[: found[index - 1][1]] if index else "")
    return variants


def as_salience(text: str, unit: Unit, whole: float, without: list[float]) -> tuple[Salience, ...]:
    """Put mse_nrm of the whole text and of its variants together."""
    return tuple(
        Salience(text[start:end], value - whole) for (start, end), value in zip(spans(text, unit), without, strict=True)
    )
