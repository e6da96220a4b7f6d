"""A verbalizer's prompt with an activation in it, as training feeds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Prompt:
    """The verbalizer's prompt as token ids, the index of the slot in it, and the norm of what is injected there."""

    ids: tuple[int, ...]
    slot: int
    injection_scale: float


def embedded(
    model: PreTrainedModel, prompt: Prompt, ids: Int[Tensor, "b s"], vectors: Float[Tensor, "b d_model"]
) -> Float[Tensor, "b s d_model"]:
    """The embeddings of rows that begin with the prompt, each row's activation, rescaled, in the slot."""
    words = model.get_input_embeddings()(ids)
    scaled = vectors.float() / (vectors.float().norm(dim=-1, keepdim=True).clamp(min=1e-12) / prompt.injection_scale)
    return torch.cat([words[:, : prompt.slot], scaled[:, None], words[:, prompt.slot + 1 :]], dim=1)
