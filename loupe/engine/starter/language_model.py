"""The starter's language model: a five-block Llama that learns in minutes to carry names and things through a text.

It starts from values that let it copy (`starting_values`). The class and the file are stock Llama.

While it trains, linear reading heads at the block the NLA will explain must tell who is being talked about, with whom,
which thing, where, in what mood and what happens: a small model otherwise keeps such knowledge only where the next word
needs it, and an explanation of any other token would have nothing to read. A second, shorter stage (`settle`) adds
heads that must tell the last five tokens and the next one there. All heads are thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from loupe.engine.nla.training.checkpoint import restore, store
from loupe.engine.optimizing import Optimizer, Schedule
from loupe.engine.starter.corpus import STATE, Batch, Row, batches
from loupe.engine.starter.reading import COPIED_BY, NEARBY, NearbyHeads, ReadingHeads
from loupe.engine.starter.starting_values import set_starting_values

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

CHECKPOINT_EVERY = 200
Steps = Iterator[tuple[int, int, float, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class LanguageModelRecipe:
    """Size and training budget of the starter's language model."""

    d_model: int = 192
    blocks: int = 5
    heads: int = 6
    d_mlp: int = 384
    first_document: int = 0
    documents: int = 60_000
    held_out: int = 200
    tokens: int = 6_400_000
    tokens_per_step: int = 2_000
    read_block: int = 3
    reading_weight: float = 0.08
    matrix_lr: float = 0.014
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SettlingRecipe:
    """Budget of the second stage, which makes nearby tokens readable too."""

    first_document: int = 60_000
    documents: int = 40_000
    tokens: int = 2_800_000
    tokens_per_step: int = 2_000
    reading_weight: float = 0.08
    nearby_weight: float = 0.05
    matrix_lr: float = 0.008
    other_lr: float = 1.5e-3
    head_lr: float = 1e-3
    seed: int = 7


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
    )
    model = LlamaForCausalLM(config)
    set_starting_values(model)
    return model


def new_reading_heads(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, block: int) -> ReadingHeads:
    """Heads for the story's state, at their starting values."""
    ids = {slot: [tokenizer.encode(word)[0] for word in STATE[slot]] for slot in COPIED_BY}
    return ReadingHeads(model, block, ids)


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    reading: ReadingHeads,
    rows: list[Row],
    recipe: LanguageModelRecipe,
    checkpoint: Path,
    held_out: list[Row],
) -> Steps:
    """Train in place, yielding `(step, steps, loss, other measures)`; continues from `checkpoint` if it exists."""
    steps = recipe.tokens // recipe.tokens_per_step
    whole = torch.nn.ModuleDict({"model": model, "reading": reading})
    optimizer = Optimizer(whole, Schedule(steps), matrix_lr=recipe.matrix_lr)
    first = restore(checkpoint, whole, optimizer)
    pad: Any = tokenizer.pad_token_id
    for step, batch in zip(range(steps), batches(rows, recipe.tokens_per_step, recipe.seed, pad), strict=False):
        if step < first:
            continue
        loss, hidden = next_token_loss(model, batch, recipe.read_block)
        misread = reading.loss(hidden, batch.state[:, :-1])
        (loss + recipe.reading_weight * misread).backward()
        optimizer.step(step)
        measures = {"reading_loss": float(misread.detach())}
        if (step + 1) % CHECKPOINT_EVERY == 0:
            measures |= reading.accuracy(model, held_out[:50], recipe.read_block)
        yield step + 1, steps, float(loss.detach()), measures
        if (step + 1) % CHECKPOINT_EVERY == 0:
            store(checkpoint, whole, optimizer, step + 1)


def settle(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    reading: ReadingHeads,
    block: int,
    rows: list[Row],
    recipe: SettlingRecipe,
    checkpoint: Path,
    held_out: list[Row],
) -> Steps:
    """Train on in place with the heads for nearby tokens, yielding as `train` does."""
    steps = recipe.tokens // recipe.tokens_per_step
    nearby = NearbyHeads(model)
    whole = torch.nn.ModuleDict({"model": model, "reading": reading, "nearby": nearby})
    schedule = Schedule(steps, warmup=20, hold=0.4)
    optimizer = Optimizer(whole, schedule, matrix_lr=recipe.matrix_lr, other_lr=recipe.other_lr, head_lr=recipe.head_lr)
    first = restore(checkpoint, whole, optimizer)
    pad: Any = tokenizer.pad_token_id
    for step, batch in zip(range(steps), batches(rows, recipe.tokens_per_step, recipe.seed, pad), strict=False):
        if step < first:
            continue
        loss, hidden = next_token_loss(model, batch, block)
        misread = reading.loss(hidden, batch.state[:, :-1])
        misheard, right = nearby.loss(hidden, batch.ids[:, :-1], pad, step)
        (loss + recipe.reading_weight * misread + recipe.nearby_weight * misheard).backward()
        optimizer.step(step)
        measures = {"reading_loss": float(misread.detach())}
        measures |= {f"reads_token{offset:+d}": value for offset, value in zip(NEARBY, right.tolist(), strict=True)}
        if (step + 1) % CHECKPOINT_EVERY == 0:
            measures |= reading.accuracy(model, held_out[:50], block)
        yield step + 1, steps, float(loss.detach()), measures
        if (step + 1) % CHECKPOINT_EVERY == 0:
            store(checkpoint, whole, optimizer, step + 1)


def next_token_loss(model: LlamaForCausalLM, batch: Batch, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted next-token cross-entropy, and the residual stream after a block. Causality hides the padding."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(input_ids=batch.ids[:, :-1], use_cache=False, output_hidden_states=True)
    nll = F.cross_entropy(output.logits.float().transpose(1, 2), batch.ids[:, 1:], reduction="none")
    weights = batch.weights[:, 1:]
    return (nll * weights).sum() / weights.sum(), output.hidden_states[block + 1]
