"""The corpus as token rows: one document a row, the weight of every token in the loss, and where names come back."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from loupe.engine.data.rows import TokenRows, token_rows
from loupe.engine.starter.world import lexicon
from loupe.engine.starter.world.story import Document, knowledge_along, write_document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_TOKENS = 256
REPEAT_WEIGHT = 2.5
REPEATABLE = ("name", "object", "place", "food", "kind")
# What the reading heads must tell from the residual stream at every token, and the values each may take.
STATE: dict[str, tuple[str, ...]] = {
    "who": (*lexicon.WOMEN, *lexicon.MEN),
    "other": (*lexicon.WOMEN, *lexicon.MEN),
    "upcoming": (*lexicon.WOMEN, *lexicon.MEN),  # whom the text will name next, once it has named them before
    "thing": tuple(lexicon.OBJECTS),
    "thing_adj": tuple(lexicon.OBJECT_ADJECTIVES),
    "place": tuple(noun for noun, _ in lexicon.PLACES),
    "mood": tuple(lexicon.MOODS),
    "event": tuple(lexicon.EVENTS),
}
STATE_INDEX = {slot: {value: index for index, value in enumerate(values)} for slot, values in STATE.items()}
UNKNOWN = -100
HELD_OUT_SEED = 1_000_000_000  # training documents have smaller seeds


class Repeat(NamedTuple):
    """A token that names someone or something again. `free`: it opens a stage of the plot, so that another character
    could as well have been named there; elsewhere the text so far decides who it is."""

    at: int
    kind: str
    free: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A tokenised document.

    ids `[s]`; spans: character range of each token; repeats: tokens whose word the text had named before;
    state `[s slots]`: what is known at each token as an index into `STATE`, -100 where nothing is.
    """

    document: Document
    ids: np.ndarray
    spans: tuple[tuple[int, int], ...]
    repeats: tuple[Repeat, ...]
    state: np.ndarray


class Batch(NamedTuple):
    """Rows side by side: ids `[b s]`; weights `[b s]` of each token as a target (0 on padding and first tokens, 2.5 on
    repeated words); state `[b s slots]`."""

    ids: torch.Tensor
    weights: torch.Tensor
    state: torch.Tensor


def make_rows(tokenizer: PreTrainedTokenizerBase, seeds: range, genre: str | None = None) -> list[Row]:
    """Documents of `seeds`, tokenised."""
    documents = [write_document(seed, genre=genre) for seed in seeds]
    backend: Any = tokenizer.backend_tokenizer
    encodings = backend.encode_batch([document.text for document in documents])
    return [_row(document, encoding) for document, encoding in zip(documents, encodings, strict=True)]


def plain_rows(tokenizer: PreTrainedTokenizerBase, seeds: range) -> TokenRows:
    """Documents of `seeds` as token rows, one each, without what they say, which is most of what `make_rows` costs."""
    backend: Any = tokenizer.backend_tokenizer
    encodings = backend.encode_batch([write_document(seed).text for seed in seeds])
    return token_rows([encoding.ids[:MAX_TOKENS] for encoding in encodings])


def _row(document: Document, encoding) -> Row:
    ids = np.array(encoding.ids[:MAX_TOKENS], dtype=np.int64)
    spans = tuple(encoding.offsets[:MAX_TOKENS])
    ends = {end: index for index, (_, end) in reversed(list(enumerate(spans)))}
    seen: set[tuple[str, str]] = set()
    repeats = []
    stages = {mark.start for mark in document.marks if mark.kind == "stage"}
    for mark in document.marks:
        if mark.kind not in REPEATABLE:
            continue
        word = (mark.kind, document.text[mark.start : mark.end])
        if word in seen and mark.end in ends and ends[mark.end] > 0:
            repeats.append(Repeat(ends[mark.end], mark.kind, mark.start in stages))
        seen.add(word)
    state = np.full((len(ids), len(STATE)), UNKNOWN)
    named = [(mark.start, mark.value) for mark in document.marks if mark.kind == "name"]
    starts = [start for start, _ in named]
    for index, known in enumerate(knowledge_along(document, (end for _, end in spans))):
        values: dict[str, Any] = {slot: getattr(known, slot, None) for slot in STATE}
        following = bisect_left(starts, spans[index][1])
        if following < len(named) and named[following][1] in known.cast:
            values["upcoming"] = named[following][1]
        state[index] = [STATE_INDEX[slot].get(value, UNKNOWN) for slot, value in values.items()]
    return Row(document, ids, spans, tuple(repeats), state)


def batches(rows: list[Row], tokens: int, seed: int, pad: int) -> Iterator[Batch]:
    """Endless batches of about `tokens` tokens, similar lengths together; order set by `seed`."""
    epoch = 0
    while True:
        rng = random.Random(f"{seed}:{epoch}")  # noqa: S311
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i].ids) // 8, rng.random()))
        groups, group = [], []
        for index in order:
            if group and (len(group) + 1) * len(rows[index].ids) > tokens:
                groups.append(group)
                group = []
            group.append(index)
        groups.append(group)
        rng.shuffle(groups)
        yield from (collate([rows[i] for i in group], pad) for group in groups)
        epoch += 1


def collate(rows: list[Row], pad: int) -> Batch:
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), pad)
    weights = torch.zeros(len(rows), width)
    state = torch.full((len(rows), width, len(STATE)), UNKNOWN)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.from_numpy(row.ids)
        weights[index, 1 : len(row.ids)] = 1.0
        weights[index, [repeat.at for repeat in row.repeats]] = REPEAT_WEIGHT
        state[index, : len(row.ids)] = torch.from_numpy(row.state)
    return Batch(ids, weights, state)
