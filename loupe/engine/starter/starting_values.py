"""Starting values that let a small Llama carry names and things through a text; the class and the file stay stock.

A model this small never learns by itself to copy a name it has read: nothing rewards attending to names before the copy
works, nor copying before attention finds them. So three kinds of heads start half way.

- Copy: with embedding E ~ N(0, 1) and a random rotation R, the vocabulary head starts as 0.05 E R, and the last blocks'
  values as a random rotation Q and outputs as R'Q'. Whatever such a head attends to raises its own logit from step 0,
  for every token at once: only *where to look* is left to learn.
- Look back: heads of the first blocks attend a fixed number of tokens back, which tells every token its neighbours.
- Latest: some later heads slope towards recent tokens, so that "the latest name" is one feature of the keys away.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

COPY_BLOCKS = 2
HEAD_SCALE = 0.05
LOOK_BACK = ((1, 2, 3, 4), (1, 2))  # token offsets of the first heads of the first blocks
LOOK_BACK_BIAS = 6.0
LATEST = {2: (3, 4, 5), 3: (3, 4, 5), 4: (4, 5)}  # block: heads that start by preferring what came latest
LATEST_PAIRS = slice(4, 8)  # rotary pairs whose wave is as long as a sentence
STEADY_PAIRS = slice(10, 16)  # pairs that hardly turn within a document, free to ask for a kind of token
LATEST_BIAS = 3.4


@torch.no_grad()
def set_starting_values(model: LlamaForCausalLM) -> None:
    """Overwrite the random weights of a fresh model with untied head and attention biases."""
    config, blocks = model.config, _blocks(model)
    width = config.hidden_size // config.num_attention_heads
    rotation = _embed(model)
    for block in blocks:
        _random(block, len(blocks))
    for block in blocks[-COPY_BLOCKS:]:
        _copy(block.self_attn, rotation)
    for block, offsets in zip(blocks, LOOK_BACK, strict=False):
        for head, offset in enumerate(offsets):
            _look_back(block.self_attn, head, width, offset)
    for index, heads in LATEST.items():
        for head in heads:
            _prefer_latest(blocks[index].self_attn, head, width)


def _blocks(model: Any) -> list[Any]:
    return list(model.model.layers)


def _embed(model: Any) -> torch.Tensor:
    embedding = model.model.embed_tokens.weight.normal_()
    rotation = torch.nn.init.orthogonal_(torch.empty(embedding.shape[1], embedding.shape[1]))
    model.lm_head.weight.copy_(HEAD_SCALE * embedding @ rotation)
    return rotation


def _random(block: Any, blocks: int) -> None:
    attention, mlp = block.self_attn, block.mlp
    inputs = (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj)
    for linear in (*inputs, attention.o_proj, mlp.down_proj):
        damping = 1 if linear in inputs else math.sqrt(2 * blocks)
        linear.weight.normal_(std=linear.in_features**-0.5 / damping)


def _copy(attention: Any, rotation: torch.Tensor) -> None:
    values = torch.nn.init.orthogonal_(torch.empty_like(rotation))
    attention.v_proj.weight.copy_(values)
    attention.o_proj.weight.copy_(rotation.T @ values.T)


def _prefer_latest(attention: Any, head: int, width: int) -> None:
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


def _look_back(attention: Any, head: int, width: int, offset: int) -> None:
    """Let a head start by attending `offset` tokens back.

    Constant queries and keys meet as sum_m cos(w_m (distance - offset)) under rotary frequencies w_m: a peak there.
    """
    rows = slice(head * width, (head + 1) * width)
    phases = offset * 10_000.0 ** -(torch.arange(width // 2) / (width // 2))
    attention.q_proj.weight[rows].mul_(0.1)
    attention.k_proj.weight[rows].mul_(0.1)
    attention.q_proj.bias[rows] = LOOK_BACK_BIAS * torch.cat([torch.ones(width // 2), torch.zeros(width // 2)])
    attention.k_proj.bias[rows] = LOOK_BACK_BIAS * torch.cat([phases.cos(), phases.sin()])
