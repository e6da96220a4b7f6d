"""Where the contents of messages stand in a chat that was rendered by its template."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from loupe.engine.errors import BadInput
from loupe.engine.models.chat import render_chat_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def content_positions(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, str]],
    rendered: str,
    ids: Sequence[int],
    frame: str = "",
) -> list[range] | None:
    """For each message of a rendered chat the positions of its content, empty where the template dropped it.

    `frame`, from `chat_frame`, tells what the template wrote itself, so that a message that says "user" is not taken
    for its own heading. None when offsets cannot be had.
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


def chat_frame(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], *,
    prefill: str | None = None, add_generation_prompt: bool | None = None,
) -> str:  # fmt: skip
    """The chat with a mark in place of every content; empty where the template wants to know what is in there."""
    blank = [{**message, "content": _mark(number)} for number, message in enumerate(messages)]
    marked = None if prefill is None else _mark(len(blank))
    try:
        return render_chat_text(tokenizer, blank, prefill=marked, add_generation_prompt=add_generation_prompt)
    except BadInput:
        return ""


def _mark(number: int) -> str:
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
