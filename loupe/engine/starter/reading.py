"""Linear heads that read the story's state, and the words around, from the residual stream while the model trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from loupe.engine.starter.corpus import STATE, UNKNOWN, Row

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

COPIED_BY = {"who": (3,), "other": (4,), "upcoming": (0, 1, 2), "thing": (5,), "thing_adj": (5,), "place": (5,)}
READING_SCALE = 1.0
NEARBY = {0: 1.6, -1: 2.0, -2: 2.5, -3: 2.5, -4: 3.0, 1: 2.0}  # token offset: how loud its head listens
EVERY = 4  # the nearby tokens are asked for at one position in so many, to save time
NOISE = 0.15


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


class NearbyHeads(torch.nn.Module):
    """One head for each of the last tokens and for the next one, reading the residual stream `[b s d]`.

    The rows of a head are unit vectors times a fixed loudness, so that a low loss needs a share of the activation's
    norm and not merely a direction: otherwise the last token stays a tenth of the activation, and no explanation of it
    can be exact. A head is a map of the embedding: the identity for the token itself, what a look-back head writes for
    the tokens before, the vocabulary's own directions for the next.
    """

    def __init__(self, model: LlamaForCausalLM) -> None:
        super().__init__()
        embedding = model.model.embed_tokens.weight.detach()
        head: Any = model.lm_head.weight.detach() * model.model.norm.weight.detach()
        self.register_buffer("words", F.normalize(embedding - embedding.mean(0), dim=-1))
        self.register_buffer("predictions", F.normalize(head - head.mean(0), dim=-1))
        self.maps = torch.nn.ParameterList([torch.nn.Parameter(_map(model, offset)) for offset in NEARBY])

    def loss(self, hidden: torch.Tensor, ids: torch.Tensor, pad: int, phase: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum over offsets of the cross-entropy, and the share read right for each. ids `[b s]`."""
        scaled = F.rms_norm(hidden.float(), hidden.shape[-1:])
        read = [self._read(scaled, ids, pad, phase, number) for number in range(len(NEARBY))]
        return torch.stack([loss for loss, _ in read]).sum(), torch.stack([right for _, right in read])

    def _read(
        self, scaled: torch.Tensor, ids: torch.Tensor, pad: int, phase: int, number: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        offset, loudness = list(NEARBY.items())[number]
        places = torch.arange(max(0, -offset) + phase % EVERY, ids.shape[1] - max(0, offset), EVERY)
        targets = ids[:, places + offset]
        rows = (self.predictions if offset > 0 else self.words) @ self.maps[number]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = scaled[:, places] @ F.normalize(rows, dim=-1).T
        known = targets != pad
        logits, targets = loudness * logits[known].float(), targets[known]
        return F.cross_entropy(logits, targets), (logits.argmax(-1) == targets).float().mean()


def _map(model: LlamaForCausalLM, offset: int) -> torch.Tensor:
    """Where a nearby token's word is looked for at first, as a map `[d d]` of its embedding."""
    d, count = model.config.hidden_size, model.config.num_attention_heads
    if offset >= 0:
        return torch.eye(d)
    layers: Any = model.model.layers
    attention, head = layers[0].self_attn, -offset - 1
    rows = slice(head * d // count, (head + 1) * d // count)
    written = attention.o_proj.weight.detach()[:, rows] @ attention.v_proj.weight.detach()[rows]
    written = written * layers[0].input_layernorm.weight.detach()
    noise = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(head)))[0]
    return (NOISE * noise + 2 * d**0.5 * count**-0.5 * written / written.norm()).T.contiguous()


def _known_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=UNKNOWN, reduction="sum")
    return total / (targets != UNKNOWN).sum().clamp(min=1)
