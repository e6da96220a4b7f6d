"""Linear heads that read the story's state from the residual stream while the language model trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from loupe.engine.starter.corpus import STATE, UNKNOWN, Row

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

COPIED_BY = {"who": (3,), "other": (4,), "upcoming": (0, 1, 2), "thing": (5,), "thing_adj": (5,), "place": (5,)}
READING_SCALE = 1.0


class ReadingHeads(torch.nn.Module):
    """One linear head for each slot of the story's state, reading the residual stream `[b s d]` after a copy block.

    A head whose slot is a word starts as the decoder of what one group of the block's attention heads copies, so that,
    as with the copy heads themselves, only where to look is left to learn.
    """

    def __init__(self, model: LlamaForCausalLM, block: int, word_ids: dict[str, list[int]]) -> None:
        super().__init__()
        d, count = model.config.hidden_size, model.config.num_attention_heads
        heads = [torch.nn.Linear(d, len(values)) for values in STATE.values()]
        self.heads = torch.nn.ModuleList(heads)
        layers: Any = model.model.layers
        embedding = model.model.embed_tokens.weight.detach()
        attention = layers[block].self_attn
        for (slot, ids), linear in zip(word_ids.items(), heads, strict=False):
            copied = torch.zeros(d, d)
            for head in COPIED_BY[slot]:
                rows = slice(head * d // count, (head + 1) * d // count)
                copied += attention.o_proj.weight.detach()[:, rows] @ attention.v_proj.weight.detach()[rows]
            words = embedding[ids] @ copied.T
            linear.weight.data.copy_(READING_SCALE * words / words.norm(dim=-1, keepdim=True))
            linear.bias.data.zero_()

    def loss(self, hidden: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Sum over slots of the mean cross-entropy where the slot is known. state `[b s slots]`."""
        scaled = F.rms_norm(hidden.float(), hidden.shape[-1:])
        return torch.stack([_known_loss(head(scaled), state[..., i]) for i, head in enumerate(self.heads)]).sum()

    @torch.no_grad()
    def accuracy(self, model: LlamaForCausalLM, rows: list[Row], block: int) -> dict[str, float]:
        """Share of tokens at which each slot's head is right, where the slot is known."""
        hits: dict[str, list[bool]] = {slot: [] for slot in STATE}
        for row in rows:
            hidden = model(input_ids=torch.from_numpy(row.ids)[None], output_hidden_states=True).hidden_states[
                block + 1
            ]
            scaled = F.rms_norm(hidden[0].float(), hidden.shape[-1:])
            for index, (slot, head) in enumerate(zip(STATE, self.heads, strict=True)):
                truth = torch.from_numpy(row.state[:, index])
                hits[slot] += (head(scaled).argmax(-1) == truth)[truth != UNKNOWN].tolist()
        return {f"reads_{slot}": sum(values) / max(1, len(values)) for slot, values in hits.items()}


def _known_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=UNKNOWN, reduction="sum")
    return total / (targets != UNKNOWN).sum().clamp(min=1)
