# ruff: noqa: E501 - a document, not code
"""The starter's model card: data, recipe, cost and held-out scores, written from what the build measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loupe.engine.starter import lens_stage
from loupe.engine.starter.saes.card import card_section

CARD = """\
# The Loupe starter

A language model of 2.7 million parameters that tells simple stories, and a natural-language autoencoder that explains its
activations in words. Made from a seed by `loupe starter build`; small enough to try everything on a laptop, and made of the
public formats only, so that whatever works on it works on a real model. It is a demonstration model: it knows one small
world, and a text from outside that world is read and explained badly.

| folder | what it is |
|---|---|
| `model/` | a Llama of {blocks} blocks, d_model {d_model}, vocabulary {vocabulary} (byte-level BPE), fp16 |
| `lens/` | a tuned lens for the blocks before the last |
| `saes/` | sparse autoencoders of the residual stream, and a transcoder for every MLP |
| `nla/av` | the verbalizer: the whole model, fine-tuned; reads the output of block {layer} |
| `nla/ar` | the reconstructor: {ar_blocks} blocks and a value head |
| `nla/ar2` | a second reconstructor from another seed; only used to check the first |
| `runs/` | sample analyses of held-out stories |
| `scores.json` | the numbers below, in full |

## Data
A seeded generator writes stories, letters, diaries, recipes, chats and short scenes from templates, and knows for every
character of them what a reader has learnt so far: who is talked about, with whom, which thing, where, in what mood, what
happens. Explanations are written from that and from the model's own next-token probabilities, so none can
say what the text has not revealed. Held-out documents come from seeds that no stage trains on; their plots are the same.

## Recipe
Language model: the last two blocks start as copy heads and the first two look a fixed number of tokens back; while it
trains, linear heads at block {layer} must tell the state of the story from the residual stream (they are thrown away
afterwards). This is what makes so small a model carry names and things, and its activations readable.
Then linear heads ask the same activations for the last five tokens and the next one, so that they can be told.
Reconstructors: supervised on ground-truth explanations, from two seeds.
Verbalizer: supervised, with wider MLPs from the third round on; between two rounds the last places of its prompt learn to
spell the last tokens, so that a quote need only be copied; then policy gradient with the first reconstructor's cosine as
reward. Cost on two CPU cores that were shared with other work:

| stage | steps | minutes |
|---|---|---|
{costs}

## Held-out scores
`fve_nrm` = 1 - 2(1 - cos)/{denominator:.4f}; the denominator is the variance of the training activations after normalisation.
Tokens before the fifth are left out, as in the summaries of analyses.

| what | value |
|---|---|
{rows}

Agreement of greedy explanations with the ground truth: recall over tokens where the truth has a value, precision over
tokens where the explanation states one.

| slot | recall | precision |
|---|---|---|
{slots}
"""


def write_card(folder: Path, scores: dict[str, Any], log: Path) -> None:
    """Write `README.md` from the scores, the model's config and the build's log."""
    config = json.loads((folder / "model/config.json").read_text(encoding="utf-8"))
    reader = json.loads((folder / "nla/ar/config.json").read_text(encoding="utf-8"))
    text = CARD.format(
        blocks=config["num_hidden_layers"],
        d_model=config["hidden_size"],
        vocabulary=config["vocab_size"],
        layer=reader["num_hidden_layers"] - 1,
        ar_blocks=reader["num_hidden_layers"],
        denominator=scores["fve_denominator"],
        costs="\n".join(_costs(log)),
        rows="\n".join(f"| {name} | {value} |" for name, value in _rows(scores)),
        slots="\n".join(
            f"| {slot} | {value['recall']:.2f} | {value['precision']:.2f} |"
            for slot, value in scores["greedy"]["agreement"].items()
        ),
    )
    text += "\n" + card_section(scores["saes"])
    text += "\n" + lens_stage.card_section(json.loads((folder / "lens/lens.json").read_text(encoding="utf-8")))
    (folder / "README.md").write_text(text, encoding="utf-8")


def _costs(log: Path) -> list[str]:
    last: dict[str, dict[str, Any]] = {}
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        entry = json.loads(line)
        last[entry["stage"]] = entry
    return [f"| {name} | {entry['total']} | {entry['seconds'] / 60:.1f} |" for name, entry in last.items()]


def _rows(scores: dict[str, Any]) -> list[tuple[str, str]]:
    story, mini = scores["binding"]["story"], scores["binding"]["mini"]
    forced, greedy, best = scores["teacher_forced_loss"], scores["greedy"], scores["best_of_8"]
    first, second = scores["reconstructor"]["first"], scores["reconstructor"]["second"]
    model = scores["language_model"]
    return [
        ("language model: loss per token, perplexity, top-1",
         f"{model['nll']:.3f}, {model['perplexity']:.2f}, {model['top1']:.3f}"),
        ("binding in stories: right name, two or more competing, right thing",
         f"{story['name']:.3f}, {story['name_competing']:.3f}, {story['object']:.3f}"),
        ("binding in short scenes: the same",
         f"{mini['name']:.3f}, {mini['name_competing']:.3f}, {mini['object']:.3f}"),
        ("right name also where a plot could choose another",
         f"{story['name_anywhere']:.3f} (stories), {mini['name_anywhere']:.3f} (short scenes)"),
        ("reconstructor on ground-truth explanations: fve_nrm, second reconstructor",
         f"{first['fve_nrm']:.3f}, {second['fve_nrm']:.3f}"),
        ("the same with shuffled activations", f"{first['fve_nrm_shuffled']:.3f}"),
        ("verbalizer's loss with true, shuffled, zero activation",
         f"{forced['true']:.3f}, {forced['shuffled']:.3f}, {forced['zero']:.3f}"),
        (f"round trip, greedy: fve_nrm ({scores['positions']} tokens)", f"{greedy['fve_nrm']:.3f}"),
        ("the same, read by the second reconstructor", f"{greedy['fve_nrm_second_reconstructor']:.3f}"),
        ("the same with shuffled activations", f"{greedy['fve_nrm_shuffled']:.3f}"),
        (f"round trip, best of 8 at temperature {best['temperature']}: fve_nrm ({best['positions']} tokens)", f"{best['fve_nrm']:.3f}"),
        ("the same, read by the second reconstructor", f"{best['fve_nrm_second_reconstructor']:.3f}"),
        ("mean single sample", f"{best['fve_nrm_mean_sample']:.3f}"),
        ("names mentioned that the text has named so far (greedy)",
         f"{greedy['names']['in_text_so_far']:.3f} of {greedy['names']['mentioned']}"),
    ]  # fmt: skip
