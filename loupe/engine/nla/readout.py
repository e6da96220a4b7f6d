"""The columns beside an explanation: what the lenses read from an activation, and what the model says next.

The logit lens applies the model's own final norm, head and softcap to the activation; the tuned lens corrects it
first. Next tokens are the model's own probabilities at that position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.lens import TopTokens, TunedLens, logit_lens, tuned_lens
from loupe.engine.models.tokens import Vocabulary
from loupe.engine.nla.results import Readout


@dataclass(frozen=True, slots=True, eq=False)
class Readouts:
    """Reads one activation at a time of `model` at `layer`. A k of 0 leaves its columns out."""

    model: LanguageModel
    layer: int
    lens_k: int
    next_k: int
    tuned: TunedLens | None = None
    _vocabulary: Vocabulary | None = field(init=False)

    def __post_init__(self) -> None:
        # looked up once: a tokenizer with thousands of added tokens takes tens of milliseconds to tell about them
        known = Vocabulary.of(self.model.tokenizer) if self.model.tokenizer else None
        object.__setattr__(self, "_vocabulary", known)

    def read(
        self, activation: Float[Tensor, " d_model"], normed: Float[Tensor, " d_model"]
    ) -> dict[str, tuple[Readout, ...]]:
        """Columns `logit_lens`, `tuned_lens` (where fitted) and `next_tokens`; `normed` is what the head reads."""
        found: dict[str, TopTokens] = {}
        if self.lens_k:
            found["logit_lens"] = logit_lens(self.model, activation[None], self.lens_k)
            if self.tuned is not None and self.layer in self.tuned.layers:
                found["tuned_lens"] = tuned_lens(self.model, self.tuned, activation[None], self.layer, self.lens_k)
        if self.next_k:
            found["next_tokens"] = self._next_tokens(normed)
        return {name: tuple(self._named(top)) for name, top in found.items()}

    @torch.no_grad()
    def _next_tokens(self, normed: Tensor) -> TopTokens:
        probabilities = self.model.head_logits(normed[None]).float().softmax(-1)
        top = probabilities.topk(self.next_k, dim=-1)
        return TopTokens(top.indices, top.values)

    def _named(self, top: TopTokens) -> Iterator[Readout]:
        for token, probability in zip(top.ids[0].tolist(), top.probabilities[0].tolist(), strict=True):
            raw = self._vocabulary.bytes_of(token) if self._vocabulary else b""
            yield Readout(raw.decode("utf-8", "replace") or f"<id {token}>", token, probability)
