"""The starter's tuned lens, by the same job that users run, on documents that the language model has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from loupe.engine.context import JobContext
from loupe.engine.jobs import Progress
from loupe.engine.lens.files import write_lens
from loupe.engine.lens.fitting import FitLens, LensPoint
from loupe.engine.lens.recipe import LensRecipe
from loupe.engine.models.loading import load_model
from loupe.engine.starter.corpus import HELD_OUT_SEED, plain_rows
from loupe.engine.starter.stages import StageProgress, Workshop

MODEL_NAME = "loupe-starter"
FIRST_DOCUMENT = 210_000_000
JUDGED_DOCUMENT, JUDGED_DOCUMENTS = HELD_OUT_SEED + 3_000_000, 200
RECIPE = LensRecipe(steps=600, batch_rows=512, lr=0.8, buffer_rows=65_536, seed=51)


def scaled(recipe: LensRecipe, scale: float) -> LensRecipe:
    """For tests and trials."""
    return replace(recipe, steps=max(4, int(recipe.steps * scale)), batch_rows=256, buffer_rows=4096)


def lens(workshop: Workshop, recipe: LensRecipe, documents: int) -> Iterator[StageProgress]:
    """Fit and judge; leaves `lens/tuned_lens.safetensors` (fp16) and the card beside it."""
    lm = load_model(workshop.result("language_model"), dtype="fp32")
    assert lm.tokenizer is not None
    rows = plain_rows(lm.tokenizer, range(FIRST_DOCUMENT, FIRST_DOCUMENT + documents))
    judged = min(JUDGED_DOCUMENTS, documents)
    held_out = plain_rows(lm.tokenizer, range(JUDGED_DOCUMENT, JUDGED_DOCUMENT + judged))
    steps = FitLens(lm, rows, held_out, recipe, model=MODEL_NAME, store_dtype=torch.float16).run(JobContext())
    while True:
        try:
            event = next(steps)
        except StopIteration as finished:
            fitted = finished.value
            break
        if isinstance(event, Progress) and isinstance(event.item, LensPoint):
            measures = {f"kl_block_{layer}": kl for layer, kl in event.item.kl.items()}
            yield StageProgress("lens", event.done, recipe.steps, measures)
    with workshop.publishing("lens") as folder:
        write_lens(folder, fitted.lens, fitted.card)


def card_section(card: Mapping[str, Any]) -> str:
    """The paragraphs about the lens in the starter's model card, from `lens/lens.json`."""
    rows = "\n".join(
        f"| {score['layer']} | {score['kl_logit_lens']:.3f} | {score['kl']:.3f} "
        f"| {score['agrees_logit_lens']:.3f} | {score['agrees']:.3f} |"
        for score in card["scores"]
    )
    return CARD.format(tokens=card["tokens"], judged=card["scores"][0]["tokens"], rows=rows)


CARD = """\
## Tuned lens
`lens/` corrects the output of every block but the last, whose logit lens is the model's own prediction. Fitted on
{tokens} tokens of documents that the language model has not seen; judged on {judged} tokens of held-out documents.
KL is that of the model's prediction from the lens's, in nats per token; "same top token" is how often both agree.

| block | KL, logit lens | KL, tuned lens | same top token, logit lens | same top token, tuned lens |
|---|---|---|---|---|
{rows}
"""
