"""How far a lens is from the model's own prediction, on held-out tokens, beside the logit lens."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.lens import TunedLens
from loupe.engine.sae.stream import ActivationStream, RowStream

LOGIT_ELEMENTS = 1 << 21  # numbers in one table of logits; a handful of such tables exist at a time


@dataclass(frozen=True, slots=True)
class LensScore:
    """One block on held-out tokens, beside the logit lens there. `kl` in nats per token; `agrees` is how often the most
    probable token is the model's own."""

    layer: int
    tokens: int
    kl: float
    kl_logit_lens: float
    agrees: float
    agrees_logit_lens: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def judge(lm: LanguageModel, lens: TunedLens, stream: RowStream) -> Generator[None, None, tuple[LensScore, ...]]:
    """Every block of a lens on all tokens of a held-out stream (one epoch of it); yields between pieces."""
    assert isinstance(stream, ActivationStream)
    at_once = rows_at_once(lm)
    sums = {layer: torch.zeros(4, dtype=torch.float64) for layer in lens.layers}
    tokens = 0
    while True:
        rows = yield from stream.next_part(at_once)
        last = rows[stream.points[-1]]
        tokens += len(last)
        for layer in lens.layers:
            sums[layer] += _compared(lm, lens, layer, rows[HookPoint(layer)], last)
            yield
        if stream.at_epoch_end:
            break
    return tuple(
        LensScore(layer, tokens, *(value / tokens for value in total.tolist())) for layer, total in sums.items()
    )


@torch.no_grad()
def _compared(lm: LanguageModel, lens: TunedLens, layer: int, hidden: Tensor, last: Tensor) -> Tensor:
    target = log_probabilities(lm, last)
    kls, agreements = [], []
    for seen in (lens.correct(hidden, layer), hidden):
        read = log_probabilities(lm, seen)
        kls.append((target.exp() * (target - read)).sum().double())
        agreements.append((read.argmax(-1) == target.argmax(-1)).sum().double())
    return torch.stack([*kls, *agreements]).cpu()


def rows_at_once(lm: LanguageModel) -> int:
    """Tokens whose logits make one table."""
    return max(1, LOGIT_ELEMENTS // lm.vocab_size)


def log_probabilities(lm: LanguageModel, hidden: Float[Tensor, "rows d"]) -> Float[Tensor, "rows vocab"]:
    """By the model's own final norm and head."""
    return lm.unembed(hidden.to(lm.torch_dtype)).float().log_softmax(-1)
