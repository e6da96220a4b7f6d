"""Binding: whether the language model names the right one when someone or something must be named again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from loupe.engine.starter.corpus import Repeat, Row, collate
from loupe.engine.starter.world import lexicon

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GATE = {"name": 0.95, "name_competing": 0.90, "object": 0.95}


@torch.no_grad()
def measure_binding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[Row]) -> dict[str, float]:
    """Share of repeat positions where the right word is top-1 among all names (or all things).

    `name`, `object`: positions whose target was named before and which the text so far decides; `name_competing`: those
    where two or more characters have been named and the right one must beat the others. `name_anywhere` also counts
    positions that open a stage of the plot, where nobody can know who acts next. `*_count`: how many positions;
    `name_log_prob`: mean log-probability of the right name among all names (chance -4.4).
    """
    groups = {
        "name": torch.tensor([_id(tokenizer, word) for word in (*lexicon.WOMEN, *lexicon.MEN)]),
        "object": torch.tensor([_id(tokenizer, word) for word in lexicon.OBJECTS]),
    }
    hits: dict[str, list[float]] = {
        key: [] for key in ("name", "object", "name_competing", "name_anywhere", "name_log_prob")
    }
    for row in rows:
        logits = model(input_ids=collate([row], 0).ids).logits[0].float()
        for repeat in row.repeats:
            if repeat.kind in groups:
                _judge(hits, repeat, groups[repeat.kind], logits[repeat.at - 1], row)
    return {key: sum(values) / len(values) for key, values in hits.items() if values} | {
        f"{key}_count": float(len(hits[key])) for key in ("name", "object", "name_competing")
    }


def _judge(hits: dict[str, list[float]], repeat: Repeat, group: torch.Tensor, logits: torch.Tensor, row: Row) -> None:
    right = int(row.ids[repeat.at])
    if right not in group:
        return
    scores = logits[group]
    hit = float(group[scores.argmax()] == right)
    if repeat.kind == "name":
        hits["name_anywhere"].append(hit)
    if repeat.free:
        return
    hits[repeat.kind].append(hit)
    if repeat.kind == "name":
        seen = group[torch.isin(group, torch.from_numpy(row.ids[: repeat.at]))]
        hits["name_log_prob"].append(float(logits[right] - scores.logsumexp(0)))
        if len(seen) > 1:
            hits["name_competing"].append(float(seen[logits[seen].argmax()] == right))


def _id(tokenizer: PreTrainedTokenizerBase, word: str) -> int:
    (token,) = tokenizer.encode(word, add_special_tokens=False)
    return token
