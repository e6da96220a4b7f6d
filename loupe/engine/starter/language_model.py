"""The starter's language model: a five-block Llama that learns in minutes to carry names and things through a text.

A model this small never learns by itself to copy a name it has read: nothing rewards attending to names before the copy
works, nor copying before attention finds them. So the last two blocks *start* as copy heads. With embedding E ~ N(0, 1)
and a random rotation R, the head starts as 0.05 E R, values as a random rotation Q and outputs as R'Q': whatever a late
head attends to raises its own logit from step 0, for every token at once, and only *where to look* is left to learn.
The class and the file are stock Llama; only the starting values differ.

While it trains, linear reading heads at the block the NLA will explain must tell who is being talked about, with whom,
which thing, where, in what mood and what happens: a small model otherwise keeps such knowledge only where the next word
needs it, and an explanation of any other token would have nothing to read. The heads are thrown away afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from loupe.engine.nla.training.checkpoint import restore, store
from loupe.engine.optimizing import Optimizer, Schedule
from loupe.engine.starter.corpus import STATE, UNKNOWN, Batch, Row, batches

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

CHECKPOINT_EVERY = 200
COPY_BLOCKS = 2
LOOK_BACK = ((1, 2, 3, 4), (1, 2))  # token offsets of the first heads of the first blocks
LOOK_BACK_BIAS = 6.0
LATEST = {2: (3, 4, 5), 3: (3, 4, 5), 4: (4, 5)}  # block: heads that start by preferring what came latest
LATEST_PAIRS = slice(4, 8)  # rotary pairs whose wave is as long as a sentence
STEADY_PAIRS = slice(10, 16)  # pairs that hardly turn within a document, free to ask for a kind of token
LATEST_BIAS = 3.4
COPIED_BY = {"who": (3,), "other": (4,), "upcoming": (0, 1, 2), "thing": (5,), "thing_adj": (5,), "place": (5,)}
READING_SCALE = 1.0
HEAD_SCALE = 0.05


@dataclass(frozen=True, slots=True)
class LanguageModelRecipe:
    """Size and training budget of the starter's language model."""

    d_model: int = 192
    blocks: int = 5
    heads: int = 6
    d_mlp: int = 384
    documents: int = 60_000
    tokens: int = 6_400_000
    tokens_per_step: int = 2_000
    read_block: int = 3
    reading_weight: float = 0.08
    matrix_lr: float = 0.014
    seed: int = 0


def new_model(recipe: LanguageModelRecipe, vocabulary: int, eos: int, pad: int) -> LlamaForCausalLM:
    """A Llama with copy-initialised late blocks; untied head."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.d_model,
        intermediate_size=recipe.d_mlp,
        num_hidden_layers=recipe.blocks,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
        attention_bias=True,
        attn_implementation="sdpa",
    )
    model = LlamaForCausalLM(config)
    _copy_init(model, recipe)
    return model


@torch.no_grad()
def _copy_init(model: LlamaForCausalLM, recipe: LanguageModelRecipe) -> None:
    d = recipe.d_model
    embedding = model.model.embed_tokens.weight.normal_()
    rotation = torch.nn.init.orthogonal_(torch.empty(d, d))
    model.lm_head.weight.copy_(HEAD_SCALE * embedding @ rotation)
    for index, block in enumerate(model.model.layers):
        for weight in (block.self_attn.q_proj, block.self_attn.k_proj, block.mlp.gate_proj, block.mlp.up_proj):
            weight.weight.normal_(std=d**-0.5)
        block.mlp.down_proj.weight.normal_(std=recipe.d_mlp**-0.5 / math.sqrt(2 * recipe.blocks))
        if index >= recipe.blocks - COPY_BLOCKS:
            values = torch.nn.init.orthogonal_(torch.empty(d, d))
            block.self_attn.v_proj.weight.copy_(values)
            block.self_attn.o_proj.weight.copy_(rotation.T @ values.T)
        else:
            block.self_attn.v_proj.weight.normal_(std=d**-0.5)
            block.self_attn.o_proj.weight.normal_(std=d**-0.5 / math.sqrt(2 * recipe.blocks))
    for block, offsets in zip(model.model.layers, LOOK_BACK, strict=False):
        for head, offset in enumerate(offsets):
            _look_back(block.self_attn, head, d // recipe.heads, offset)
    for index, heads in LATEST.items():
        for head in heads:
            _prefer_latest(model.model.layers[index].self_attn, head, d // recipe.heads)


def _prefer_latest(attention: torch.nn.Module, head: int, width: int) -> None:
    """Let a head start with a gentle slope towards recent tokens, and constant queries for a kind of token to answer.

    "The latest name" is then one feature of the keys away.
    """
    query, key = torch.zeros(width), torch.zeros(width)
    for half in (0, width // 2):
        query[half:][STEADY_PAIRS] = LATEST_BIAS
    query[LATEST_PAIRS] = LATEST_BIAS
    key[LATEST_PAIRS] = LATEST_BIAS
    rows = slice(head * width, (head + 1) * width)
    attention.q_proj.weight[rows].mul_(0.5)
    attention.k_proj.weight[rows].mul_(0.5)
    attention.q_proj.bias[rows] = query
    attention.k_proj.bias[rows] = key


def _look_back(attention: torch.nn.Module, head: int, width: int, offset: int) -> None:
    """Let a head start by attending `offset` tokens back.

    Constant queries and keys meet as sum_m cos(w_m (distance - offset)) under rotary frequencies w_m: a peak there.
    """
    rows = slice(head * width, (head + 1) * width)
    phases = offset * 10_000.0 ** -(torch.arange(width // 2) / (width // 2))
    attention.q_proj.weight[rows].mul_(0.1)
    attention.k_proj.weight[rows].mul_(0.1)
    attention.q_proj.bias[rows] = LOOK_BACK_BIAS * torch.cat([torch.ones(width // 2), torch.zeros(width // 2)])
    attention.k_proj.bias[rows] = LOOK_BACK_BIAS * torch.cat([phases.cos(), phases.sin()])


class ReadingHeads(torch.nn.Module):
    """One linear head for each slot of the story's state, reading the residual stream `[b s d]` after a copy block.

    A head whose slot is a word starts as the decoder of what one group of the block's attention heads copies, so that,
    as with the copy heads themselves, only where to look is left to learn.
    """

    def __init__(self, model: LlamaForCausalLM, recipe: LanguageModelRecipe, word_ids: dict[str, list[int]]) -> None:
        super().__init__()
        d = recipe.d_model
        self.heads = torch.nn.ModuleList(torch.nn.Linear(d, len(values)) for values in STATE.values())
        attention = model.model.layers[recipe.read_block].self_attn
        for (slot, ids), linear in zip(word_ids.items(), self.heads, strict=False):
            copied = torch.zeros(d, d)
            for head in COPIED_BY[slot]:
                rows = slice(head * d // recipe.heads, (head + 1) * d // recipe.heads)
                copied += attention.o_proj.weight.detach()[:, rows] @ attention.v_proj.weight.detach()[rows]
            words = model.get_input_embeddings().weight.detach()[ids] @ copied.T
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


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Row],
    recipe: LanguageModelRecipe,
    checkpoint: Path,
    held_out: list[Row],
) -> Iterator[tuple[int, int, float, dict[str, float]]]:
    """Train in place, yielding `(step, steps, loss, other measures)`; continues from `checkpoint` if it exists."""
    steps = recipe.tokens // recipe.tokens_per_step
    torch.manual_seed(recipe.seed + 1)
    ids = {slot: [tokenizer.encode(word)[0] for word in STATE[slot]] for slot in COPIED_BY}
    whole = torch.nn.ModuleDict({"model": model, "reading": ReadingHeads(model, recipe, ids)})
    optimizer = Optimizer(whole, Schedule(steps), matrix_lr=recipe.matrix_lr)
    first = restore(checkpoint, whole, optimizer)
    for step, batch in zip(
        range(steps), batches(rows, recipe.tokens_per_step, recipe.seed, tokenizer.pad_token_id), strict=False
    ):
        if step < first:
            continue
        loss, reading = losses(model, whole["reading"], batch, recipe.read_block)
        (loss + recipe.reading_weight * reading).backward()
        optimizer.step(step)
        measures = {"reading_loss": float(reading.detach())}
        if (step + 1) % CHECKPOINT_EVERY == 0:
            measures |= whole["reading"].accuracy(model, held_out[:50], recipe.read_block)
        yield step + 1, steps, float(loss.detach()), measures
        if (step + 1) % CHECKPOINT_EVERY == 0:
            store(checkpoint, whole, optimizer, step + 1)


def losses(
    model: LlamaForCausalLM, reading: ReadingHeads, batch: Batch, block: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted next-token cross-entropy, and the reading loss at a block. Causality hides the padding on the right."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(input_ids=batch.ids[:, :-1], use_cache=False, output_hidden_states=True)
    nll = F.cross_entropy(output.logits.float().transpose(1, 2), batch.ids[:, 1:], reduction="none")
    weights = batch.weights[:, 1:]
    return (nll * weights).sum() / weights.sum(), reading.loss(output.hidden_states[block + 1], batch.state[:, :-1])
