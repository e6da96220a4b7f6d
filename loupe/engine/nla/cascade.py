"""Attention of many rows over one shared beginning, without a copy of that beginning per row.

Every row sees the same prompt up to the slot, then its own tokens. Queries of all rows meet the shared keys in one
matrix product, their own keys in a batched one; the two sets of scores go through one softmax. That is ordinary
attention, in another order of operations: each row reads P fewer cached tokens per step, and holds P fewer.

`CascadeCache` is the Hugging Face side (it stores what a forward adds), `cascade_attention` the mathematical one. They
are connected for the length of one forward by `cascading`, which also names the attention function in the config and
restores what was there. Models whose attention is not taken from transformers' registry (falcon) get their beginning
copied into each row instead: see `shares_beginning`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.cache_utils import Cache

from loupe.engine.nla.paths import Context, LayerKV

NAME = "loupe_cascade"
_active: ContextVar[Context | None] = ContextVar("shared beginning of the running forward", default=None)


class CascadeCache(Cache):
    """Base of the caches below; in the Hugging Face sense it is empty, since positions and masks are given."""

    def __init__(self) -> None:
        super().__init__(layers=[])

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0


class SuffixCache(CascadeCache):
    """Keeps what one forward adds, per layer [rows, kv_heads, tokens, head_dim], after `beginning` where given."""

    def __init__(self, beginning: Context | None = None) -> None:
        super().__init__()
        self.beginning = beginning
        self.added: dict[int, LayerKV] = {}

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> LayerKV:
        if self.beginning is not None:
            rows = len(key_states)
            keys, values = self.beginning.layers[layer_idx]
            key_states = torch.cat([keys.expand(rows, -1, -1, -1), key_states], 2)
            value_states = torch.cat([values.expand(rows, -1, -1, -1), value_states], 2)
        self.added[layer_idx] = key_states, value_states
        return key_states, value_states


def shares_beginning(backbone: nn.Module) -> bool:
    """Whether this model takes its attention function from the registry."""
    return bool(getattr(type(backbone), "_can_set_attn_implementation", bool)())


@contextmanager
def cascading(backbone: nn.Module, beginning: Context) -> Iterator[None]:
    """Within the block, forwards of `backbone` attend to `beginning` as well; afterwards everything is as before."""
    config: Any = backbone.config
    usual = config._attn_implementation
    token = _active.set(beginning)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = usual
        _active.reset(token)


def cascade_attention(
    module: nn.Module,
    query: Float[Tensor, "rows heads queries head_dim"],
    key: Float[Tensor, "rows kv_heads keys head_dim"],
    value: Float[Tensor, "rows kv_heads keys head_dim"],
    attention_mask: Float[Tensor, "rows 1 queries reach"],
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Float[Tensor, " heads"] | None = None,
    **kwargs: Any,
) -> tuple[Float[Tensor, "rows queries heads head_dim"], None]:
    """Attention over (shared beginning + own keys). `attention_mask` covers both.

    `softcap` and the sinks `s_aux` (gpt_oss) have the meaning they have in transformers.
    """
    beginning = _active.get()
    assert beginning is not None, "cascade attention runs inside `cascading` only"
    shared_key, shared_value = beginning.layers[cast(int, module.layer_idx)]
    rows, heads, queries, width = query.shape
    kv_heads, shared = shared_key.shape[1], shared_key.shape[2]
    query = (query * (scaling if scaling is not None else width**-0.5)).reshape(rows, kv_heads, -1, width)
    scores = _scores(query, shared_key[0], key, softcap)
    scores = scores.view(rows, heads, queries, -1).add_(attention_mask)
    weights = _softmax(scores, s_aux).to(value.dtype).view(rows, kv_heads, -1, shared + key.shape[2])
    out = _mix(weights, shared_value[0], value)
    return out.reshape(rows, heads, queries, width).transpose(1, 2).contiguous(), None


def _scores(query: Tensor, shared_key: Tensor, key: Tensor, softcap: float | None) -> Tensor:
    """[rows, kv_heads, group * queries, shared + own]"""
    rows, kv_heads, count, width = query.shape
    across_rows = query.transpose(0, 1).reshape(kv_heads, rows * count, width)
    shared = torch.matmul(across_rows, shared_key.transpose(1, 2)).view(kv_heads, rows, count, -1).transpose(0, 1)
    own = torch.matmul(query, key.transpose(2, 3))
    scores = torch.cat([shared, own], dim=-1)
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


def _softmax(scores: Tensor, sinks: Tensor | None) -> Tensor:
    if sinks is None:
        return torch.softmax(scores, dim=-1, dtype=torch.float32)
    column = sinks.view(1, -1, 1, 1).expand(*scores.shape[:3], 1).to(scores.dtype)
    return torch.softmax(torch.cat([scores, column], dim=-1), dim=-1, dtype=torch.float32)[..., :-1]


def _mix(weights: Tensor, shared_value: Tensor, value: Tensor) -> Tensor:
    rows, kv_heads, count, _ = weights.shape
    shared = shared_value.shape[1]
    across_rows = weights[..., :shared].transpose(0, 1).reshape(kv_heads, rows * count, shared)
    mixed = torch.matmul(across_rows, shared_value).view(kv_heads, rows, count, -1).transpose(0, 1)
    return mixed + torch.matmul(weights[..., shared:], value)


AttentionInterface.register(NAME, cascade_attention)
