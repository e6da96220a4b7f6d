"""Signs that a pair does not do what it seems to do. Each is a warning in the result, with its likely cause.
 Looked for over all positions of an analysis that are not flagged as unreliable: a broken set-up spoils everything,
while a single odd explanation is ordinary. The list follows what users of the public pairs ran into.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from loupe.engine.nla.results import PositionResult

_ENOUGH = 3  # positions below which a coincidence is likelier than a fault


@dataclass(frozen=True, slots=True)
class Smell:
    """A stable code, and what it looks like and where to look, in a sentence."""

    code: str
    message: str


def smells(positions: Sequence[PositionResult]) -> tuple[Smell, ...]:
    """The smells of an analysis; () when nothing is suspicious or there is too little to tell."""
    reliable = [position for position in positions if not position.flags] or list(positions)
    texts = [position.explanation for position in reliable]
    found = list(_about_tags(reliable))
    if len(reliable) >= _ENOUGH:
        found += _about_texts(texts)
        found += _about_scores(reliable)
    return tuple(found)


def _about_tags(positions: Sequence[PositionResult]) -> list[Smell]:
    rollouts = [rollout for position in positions for rollout in position.rollouts]
    unclosed = sum(not rollout.parsed for rollout in rollouts)
    if not unclosed:
        return []
    cut = sum(not rollout.parsed and rollout.ended == "length" for rollout in rollouts)
    advice = f"; {cut} of them were cut off: allow more new tokens" if cut else ""
    return [
        Smell(
            "no_closing_tag",
            f"{unclosed} of {len(rollouts)} outputs have no pair of explanation tags and are shown raw{advice}.",
        )
    ]


def _about_texts(texts: Sequence[str]) -> list[Smell]:
    found = []
    if all(_mostly(text, _is_cjk) for text in texts) or all(_speaks_of_the_sign(text) for text in texts):
        found.append(
            Smell(
                "vector_not_injected",
                "Every explanation is Chinese or describes a Chinese sign: the vector probably does not reach the "
                "verbalizer (wrong injection scale or slot).",
            )
        )
    elif all(_mostly(text, _is_unreadable) for text in texts):
        found.append(
            Smell(
                "unreadable",
                "No explanation is readable text: the embedding scale of the verbalizer's family may be missing.",
            )
        )
    if all(text.strip("\n") == "" and "\n" in text for text in texts):
        found.append(Smell("newlines_only", "Every explanation is line breaks: an image-text wrapper lost the vector."))
    if len(set(texts)) == 1:
        found.append(
            Smell(
                "identical_explanations",
                f"All {len(texts)} positions got one explanation: the vector is dropped, or the verbalizer is blind.",
            )
        )
    return found


def _about_scores(positions: Sequence[PositionResult]) -> list[Smell]:
    errors = [position.mse_nrm for position in positions if position.mse_nrm is not None]
    if errors and sum(errors) / len(errors) > 1.9:
        return [
            Smell(
                "orthogonal_reconstructions",
                "Reconstructions point nowhere near the activations (mean mse_nrm about 2): the weights of the "
                "reconstructor may not have been loaded, or the layer is wrong.",
            )
        ]
    fves = [position.fve_nrm for position in positions if position.fve_nrm is not None]
    if fves and sum(fves) / len(fves) < 0:
        return [
            Smell(
                "worse_than_the_mean",
                "On average the reconstructions are worse than the mean activation: check BOS handling and the layer.",
            )
        ]
    return []


def _mostly(text: str, is_kind) -> bool:
    letters = [character for character in text if not character.isspace()]
    return bool(letters) and sum(map(is_kind, letters)) > len(letters) / 2


def _is_cjk(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff"


def _is_unreadable(character: str) -> bool:
    return character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cn", "Co")


def _speaks_of_the_sign(text: str) -> bool:
    lower = text.lower()
    return any(word in lower for word in ("chinese character", "cjk", "hanzi", "kanji", "parenthesized ideograph"))
