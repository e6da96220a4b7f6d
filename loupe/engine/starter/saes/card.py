"""The paragraphs about SAEs in the starter's model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def card_section(scores: Mapping[str, Any]) -> str:
    """From what `score_saes` found."""
    cards = scores["cards"]
    concepts = "\n".join(
        f"| `{place}` | {concept} | {found['values']} | {found['mean_f1']:.2f} | {found['median_f1']:.2f} "
        f"| {found['mean_f1_random']:.2f} | {found['mean_f1_linear']:.2f} | {found['mean_chance']:.2f} "
        f"| {found['above_0.5']} | {found['above_0.8']} |"
        for place, table in scores["concepts"].items()
        for concept, found in table.items()
        if found["values"]
    )
    return CARD.format(
        tokens=next(iter(cards.values()))["tokens_trained"],
        judged=next(iter(cards.values()))["tokens"],
        cards="\n".join(_line(name, card) for name, card in cards.items()),
        concepts=concepts,
    )


def _line(name: str, card: Mapping[str, Any]) -> str:
    entropies = " / ".join(f"{card[ce]:.3f}" for ce in ("ce_clean", "ce_sae", "ce_mean", "ce_zero"))
    over_mean = (card["ce_mean"] - card["ce_sae"]) / (card["ce_mean"] - card["ce_clean"])
    return (
        f"| `saes/{name}` | {sum(card['density'])} | {card['k']} | {card['l0']:.1f} | {card['explained_variance']:.3f} "
        f"| {entropies} | {_ratio(card['ce_recovered'])} | {_ratio(over_mean)} | {card['dead_share']:.1%} "
        f"| {card['shrinkage']:.3f} |"
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


CARD = """\
## Sparse autoencoders
BatchTopK SAEs on the residual stream and BatchTopK transcoders for every MLP, trained together on {tokens} tokens of
documents that the language model has not seen; scores of the shipped fp16 weights on {judged} tokens of held-out
documents. Latents that had died by the end of training were left out, and thresholds
settled once more on further documents, with the weights as they ship; "dead" counts those that fired on none of the
tokens evaluated. CE is the model's loss per token as it is, with the SAE's reconstruction in place of the activation,
with its mean, and with zero; CE recovered is (zero - SAE) / (zero - clean), and the same over the mean.

| folder | latents | k | L0 | explained variance | CE clean / SAE / mean / zero | CE recovered | over the mean | dead | shrinkage |
|---|---|---|---|---|---|---|---|---|---|
{cards}

How well the best single feature tells, at every token, what the text has said last: F1 on documents it was not chosen
on, averaged over the values of a concept. Beside it the best of as many random directions, a linear probe on the whole
activation (one softmax over all values; a comparison, not a ceiling: single features may pass it), and always saying yes
("chance").

| SAE | concept | values | mean F1 | median F1 | random directions | linear probe | chance | above 0.5 | above 0.8 |
|---|---|---|---|---|---|---|---|---|---|
{concepts}
"""  # noqa: E501 - a table's head is one line
