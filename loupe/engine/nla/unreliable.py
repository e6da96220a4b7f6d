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
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

from loupe.engine.nla.sidecar import Sidecar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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


def content_positions(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, str]],
    rendered: str,
    ids: Sequence[int],
    frame: str = "",
) -> list[range] | None:
    """For each message of a rendered chat the positions of its content, empty where the template dropped it.

    `frame` is the same chat with `mark(n)` as the content of message n: it tells what the template wrote itself, so
    that a message that says "user" is not taken for its own heading. None when offsets cannot be had.
    """
    if not tokenizer.is_fast:
        return None
    encoded = tokenizer(rendered, add_special_tokens=False, return_offsets_mapping=True)
    if list(encoded["input_ids"]) != list(ids):
        return None
    offsets = encoded["offset_mapping"]
    contents = [message["content"] for message in messages]
    spans = _framed_spans(rendered, contents, frame) or _content_spans(rendered, [each.strip() for each in contents])
    return [_within(offsets, *span) if span else range(0) for span in spans]


def _within(offsets: Sequence[tuple[int, int]], start: int, end: int) -> range:
    inside = [position for position, (first, last) in enumerate(offsets) if first < end and last > start]
    return range(inside[0], inside[-1] + 1) if inside else range(0)


def mark(number: int) -> str:
    """Stands for the content of a message in a frame: no template or text uses these characters."""
    return f"\ue000{number}\ue001"


def _framed_spans(rendered: str, contents: Sequence[str], frame: str) -> list[tuple[int, int] | None] | None:
    """Where each content stands between what the template wrote; None where the frame does not fit the chat."""
    parts = re.split("\ue000(\\d+)\ue001", frame)
    numbers, literals = [int(number) for number in parts[1::2]], parts[::2]
    if sorted(numbers) != list(range(len(contents))) or not rendered.startswith(literals[0]):
        return None
    spans: list[tuple[int, int] | None] = [None] * len(contents)
    at = len(literals[0])
    for number, after in zip(numbers, literals[1:], strict=True):
        written = (contents[number], contents[number].strip())  # some templates strip what they are given
        content = next((each for each in written if rendered.startswith(each + after, at)), None)
        if content is None:
            return None
        start = at + len(content) - len(content.lstrip())
        spans[number] = (start, start + len(content.strip())) if content.strip() else None
        at += len(content) + len(after)
    return spans if at == len(rendered) else None


def _content_spans(rendered: str, contents: Sequence[str]) -> list[tuple[int, int] | None]:
    spans: list[tuple[int, int] | None] = []
    after = 0
    for content in contents:
        start = rendered.find(content, after)
        if not content or start < 0:
            spans.append(None)
            continue
        after = start + len(content)
        spans.append((start, after))
    return spans
