"""The verbalizer: from an activation to words, one rollout per (vector, number).

Choices:

- Everything before the slot is the same for every vector of every user: its keys and values are computed once per
  checkpoint (`beginning`), and dropped when a weight changes.
- The slot and what follows it in the prompt are computed once per vector, then expanded to its rollouts
  (`batching.py`).
- A rollout ends at an end-of-sequence token, at the closing explanation tag, or at `max_new_tokens`.
- Noise belongs to (seed, position key, rollout, step), so a rollout does not depend on who shares the batch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from loupe.engine.errors import BadInput, BadOption, UnsupportedModel, WidthMismatch
from loupe.engine.jobs import Steps, finished
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import Place, Where, load_model_steps
from loupe.engine.nla.cascade import CascadeCache, SuffixCache, cascading, shares_beginning
from loupe.engine.nla.paths import Context, LayerKV, attention_masks, causal, run_path, weights_version
from loupe.engine.nla.prompt import build_prompt, embed_scale_of, injected_rows, prompt_rows
from loupe.engine.nla.reconstructor import _require_tokenizer, check_width
from loupe.engine.nla.sidecar import Role, Sidecar, load_sidecar, require_injection_scale

if TYPE_CHECKING:
    from loupe.engine.nla.batching import VerbalizerBatch
    from loupe.engine.nla.ticket import RolloutText

EXPLANATION_OPEN = "<explanation>"
EXPLANATION_CLOSE = "</explanation>"
_EXPLANATION = re.compile(f"{EXPLANATION_OPEN}(.*?){EXPLANATION_CLOSE}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How rollouts are drawn. Temperature 0 is greedy; `top_p` 1 keeps the whole vocabulary.

    Raises BadOption: temperature in [0, 10], top_p in (0, 1], max_new_tokens in [1, 4096], rollouts in [1, 1024].
    """

    rollouts: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    max_new_tokens: int = 200

    def __post_init__(self) -> None:
        _within("rollouts", self.rollouts, 1, 1024)
        _within("temperature", self.temperature, 0, 10)
        _within("top_p", self.top_p, 1e-6, 1)
        _within("max_new_tokens", self.max_new_tokens, 1, 4096)


@dataclass(frozen=True, slots=True)
class Prefilled:
    """The slot and everything after it, run for some vectors: the logits of the first new token and what was cached."""

    logits: Float[Tensor, "vectors vocab"]
    layers: tuple[LayerKV, ...]

    @property
    def length(self) -> int:
        """Cached tokens per vector (the beginning is not among them where it is shared)."""
        return self.layers[0][0].shape[2]


class Verbalizer:
    """A language model that was trained to describe the vector in its prompt's slot.

    `injection_scale` overrides the sidecar's. Weights may go on being trained between calls. Raises SidecarError and
    its leaves, WidthMismatch, UnsupportedModel (an unlisted family that does not pass an injected row on to block 0).
    """

    def __init__(self, lm: LanguageModel, sidecar: Sidecar, *, injection_scale: float | None = None) -> None:
        require_injection(lm)
        self.lm = lm
        self.sidecar = sidecar
        self.injection_scale = require_injection_scale(sidecar, injection_scale)
        self.tokenizer = _require_tokenizer(lm)
        check_width(lm, sidecar)
        self.prompt = build_prompt(self.tokenizer, sidecar)
        self.embed_scale = embed_scale_of(lm.config)
        self.end_ids = frozenset(_end_ids(lm))
        self.shares_beginning = shares_beginning(lm.backbone)
        self._kept: tuple[tuple[int, ...], Context] | None = None
        self._batch: VerbalizerBatch | None = None

    @property
    def name(self) -> str:
        """The folder it came from, or its family where it was made in memory."""
        return self.lm.path.name if self.lm.path else self.lm.family.name

    @property
    def suffix_length(self) -> int:
        """Prompt tokens from the slot on."""
        return len(self.prompt.ids) - self.prompt.slot

    @property
    def bytes_per_token(self) -> int:
        """Memory of one cached token of one row, all layers."""
        beginning = self.beginning()
        return sum(tensor[0, :, 0].nbytes for pair in beginning.layers for tensor in pair)

    @torch.no_grad()
    def beginning(self) -> Context:
        """Keys and values of everything before the slot, computed once per state of the weights."""
        version = weights_version([self.lm.model])
        if self._kept is None or self._kept[0] != version:
            count, device = self.prompt.slot, self.lm.device
            rows = self._prompt_rows(self.prompt.ids[:count])
            _, context = run_path(
                self.lm.backbone, rows, torch.arange(count, device=device), causal(count, device=device)
            )
            self._kept = version, context
        return self._kept[1]

    @torch.no_grad()
    def prefill(self, vectors: Float[Tensor, "vectors d_model"]) -> Prefilled:
        """Run slot and suffix for raw vectors, after the shared beginning. Raises WidthMismatch, BadInput."""
        self.check_vectors(vectors)
        rows = injected_rows(vectors.to(self.lm.device), self.injection_scale)
        suffix = self._prompt_rows(self.prompt.ids[self.prompt.slot :]).expand(len(vectors), -1, -1).clone()
        suffix[:, 0] = rows.to(suffix.dtype)
        beginning = self.beginning()
        before, count, device = len(beginning), self.suffix_length, self.lm.device
        past = SuffixCache(None if self.shares_beginning else beginning)
        hidden = self.run(
            suffix,
            torch.arange(before, before + count, device=device).expand(len(vectors), -1),
            causal(count, before, device=device).expand(len(vectors), -1, -1),
            torch.arange(before + count, device=device).expand(len(vectors), -1),
            past,
            beginning,
        )
        layers = tuple(past.added[layer] for layer in range(self.lm.n_layers))
        return Prefilled(self.lm.head_logits(hidden[:, -1]).float(), layers)

    def check_vectors(self, vectors: Tensor) -> None:
        """Raises WidthMismatch, or BadInput for NaN and infinity."""
        if vectors.ndim != 2 or vectors.shape[1] != self.lm.d_model:
            raise WidthMismatch(f"Vectors of shape {list(vectors.shape)} do not fit d_model {self.lm.d_model}.")
        if not torch.isfinite(vectors).all():
            raise BadInput("An activation holds NaN or infinity and cannot be verbalized.")

    @property
    def batch(self) -> VerbalizerBatch:
        """The batch that all jobs of this verbalizer share; touched by the device thread alone."""
        if self._batch is None:
            from loupe.engine.nla.batching import VerbalizerBatch

            self._batch = VerbalizerBatch(self)
        return self._batch

    def run(
        self,
        embeds: Float[Tensor, "rows queries d_model"],
        positions: Int[Tensor, "rows queries"],
        visible: Bool[Tensor, "rows queries reach"],
        key_positions: Int[Tensor, "rows reach"],
        past: CascadeCache,
        beginning: Context,
    ) -> Float[Tensor, "rows queries d_model"]:
        """One forward of rows that all continue the beginning; `reach` counts (beginning + own keys)."""
        backbone = self.lm.backbone
        masks = attention_masks(backbone, visible, positions, key_positions, embeds.dtype)
        with cascading(backbone, beginning) if self.shares_beginning else nullcontext():
            return backbone(
                inputs_embeds=embeds,
                position_ids=positions,
                attention_mask=masks,
                past_key_values=past,
                use_cache=True,
            ).last_hidden_state

    def verbalize(
        self,
        vectors: Float[Tensor, "vectors d_model"],
        sampling: Sampling | None = None,
        *,
        position_keys: Sequence[int] | None = None,
        max_rows: int | None = None,
        **options: Any,
    ) -> list[list[RolloutText]]:
        """All rollouts of all vectors, in order; `position_keys` (default 0, 1, ...) name the vectors' noise.

        How to sample is a `Sampling`, or its fields by name. Raises BadOption, WidthMismatch, BadInput.
        """
        from loupe.engine.nla.batching import VerbalizerBatch

        batch = VerbalizerBatch(self, max_rows=max_rows)
        ticket = batch.submit(vectors, sampling or Sampling(**options), position_keys)
        while batch.advance():
            ticket.raise_if_failed()
        ticket.raise_if_failed()
        return [ticket.rollouts(index) for index in range(len(vectors))]

    def _prompt_rows(self, ids: Sequence[int]) -> Tensor:
        rows = prompt_rows(ids, self.lm.embedding_table, self.embed_scale)
        return rows.to(self.lm.torch_dtype)


def load_verbalizer(
    folder: Path | str,
    *,
    injection_scale: float | None = None,
    dtype: str = "auto",
    device: Place = "cpu",
) -> Verbalizer:
    """Load an AV checkpoint and check everything its sidecar says. Raises as Verbalizer and `load_model` do."""
    return finished(load_verbalizer_steps(folder, injection_scale=injection_scale, dtype=dtype, device=device))


def load_verbalizer_steps(
    folder: Path | str, *, injection_scale: float | None = None, **where: Unpack[Where]
) -> Steps[Verbalizer]:
    """The same, step by step, as `load_model_steps`."""
    sidecar = load_sidecar(folder, Role.VERBALIZER)
    require_injection_scale(sidecar, injection_scale)
    lm = yield from load_model_steps(folder, **where)
    return Verbalizer(lm, sidecar, injection_scale=injection_scale)


def require_injection(lm: LanguageModel) -> None:
    """Raises UnsupportedModel when an unlisted family changes the rows it is given before block 0 reads them."""
    if not lm.family.listed and lm.certificate is not None and not lm.certificate.injects:
        raise UnsupportedModel(
            f"{lm.family.name} changes inputs_embeds before block 0 reads them, so an injected vector would not arrive "
            "as it is: no verbalizer can be read with this architecture. Models of it can still be read as base models."
        )


def parse_explanation(raw: str) -> str | None:
    """What stands between the first pair of explanation tags, stripped; None without such a pair."""
    match = _EXPLANATION.search(raw)
    return match.group(1).strip() if match else None


def _end_ids(lm: LanguageModel) -> set[int]:
    holders = (getattr(lm.model, "generation_config", None), lm.config, lm.tokenizer)
    found: set[int] = set()
    for value in (getattr(holder, "eos_token_id", None) for holder in holders):
        found |= set(value) if isinstance(value, list | tuple) else {value} if isinstance(value, int) else set()
    return found


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadOption(f"{name} must be between {low} and {high}, got {value}.")
