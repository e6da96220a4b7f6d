"""Running a decoder over a *tree* of tokens: many sequences that share beginnings, each token computed once.

A packed forward takes N tokens in one row, each with its own position and its own set of visible earlier tokens, after
a context of tokens whose keys and values are already known. Everything a natural-language autoencoder shares is a case
of this: the reconstructor's template, equal texts, a text and the same text without one word, and every position of a
text continued from a replaced activation while it sees the original context before it.

The model is the Hugging Face backbone, unchanged. What is passed in is a float mask over (context + tokens), explicit
positions, and a cache that concatenates the context; sliding windows are cut out of the mask by position.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache

LayerKV = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Context:
    """Keys and values of known tokens, per layer [1, kv_heads, tokens, head_dim], and their positions [tokens]."""

    layers: tuple[LayerKV, ...]
    positions: Int[Tensor, " tokens"]

    def __len__(self) -> int:
        return len(self.positions)

    def select(self, index: Int[Tensor, " kept"]) -> Context:
        """The context made of some of the tokens, in the given order."""
        layers = tuple((_picked(k, index), _picked(v, index)) for k, v in self.layers)
        return Context(layers, self.positions[index])

    def joined(self, other: Context) -> Context:
        """This context followed by another one."""
        layers = tuple(
            (torch.cat([k, more_k], 2), torch.cat([v, more_v], 2))
            for (k, v), (more_k, more_v) in zip(self.layers, other.layers, strict=True)
        )
        return Context(layers, torch.cat([self.positions, other.positions]))


def _picked(states: Tensor, index: Tensor) -> Tensor:
    return states.index_select(2, index.to(states.device))  # blocks may be spread over devices


class PathCache(Cache):
    """A cache of one row: a context that is only read, then whatever this forward adds."""

    def __init__(self, context: Context | None) -> None:
        super().__init__(layers=[])
        self.context = context
        self.added: dict[int, LayerKV] = {}

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> LayerKV:
        self.added[layer_idx] = key_states, value_states
        if self.context is None:
            return key_states, value_states
        keys, values = self.context.layers[layer_idx]
        return torch.cat([keys, key_states], 2), torch.cat([values, value_states], 2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return len(self.context) if self.context else 0

    def layers_added(self) -> tuple[LayerKV, ...]:
        """What the forward added, by layer; empty entries for blocks that did not run."""
        if not self.added:
            return ()
        nothing = tuple(states[:, :, :0] for states in next(iter(self.added.values())))
        return tuple(self.added.get(layer, (nothing[0], nothing[1])) for layer in range(max(self.added) + 1))


def run_path(
    backbone: nn.Module,
    embeds: Float[Tensor, "tokens d_model"],
    positions: Int[Tensor, " tokens"],
    visible: Bool[Tensor, "tokens reach"],
    context: Context | None = None,
) -> tuple[Float[Tensor, "tokens d_model"], Context]:
    """One packed forward. `visible[i, j]` says whether token i sees entry j of (context + tokens).

    Returns the backbone's output (after its final norm, where it has one) and the tokens' own keys and values.
    """
    reach = torch.cat([context.positions, positions]) if context else positions
    past = PathCache(context)
    out = backbone(
        inputs_embeds=embeds[None],
        position_ids=positions[None],
        attention_mask=attention_masks(backbone, visible[None], positions[None], reach[None], embeds.dtype),
        past_key_values=past,
        use_cache=True,
    )
    return out.last_hidden_state[0], Context(past.layers_added(), positions)


def attention_masks(
    backbone: nn.Module,
    visible: Bool[Tensor, "batch queries keys"],
    query_positions: Int[Tensor, "batch queries"],
    key_positions: Int[Tensor, "batch keys"],
    dtype: torch.dtype,
) -> Tensor | dict[str, Tensor]:
    """The additive mask in the form this backbone takes: one tensor, or one per layer type."""
    window = sliding_window(backbone)
    if window is None:
        mask = additive(visible, dtype)
        return {"full_attention": mask, "sliding_attention": mask} if takes_mask_per_type(type(backbone)) else mask
    near = visible & (query_positions[:, :, None] - key_positions[:, None, :] < window)
    if not takes_mask_per_type(type(backbone)):
        return additive(near, dtype)
    return {"full_attention": additive(visible, dtype), "sliding_attention": additive(near, dtype)}


def additive(visible: Bool[Tensor, "batch queries keys"], dtype: torch.dtype) -> Float[Tensor, "batch 1 queries keys"]:
    """0 where visible, the most negative number elsewhere."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]


def sliding_window(backbone: nn.Module) -> int | None:
    """How far back the model's sliding layers see (a token at distance `window` is out), or None."""
    return getattr(backbone.config, "sliding_window", None)


@cache
def takes_mask_per_type(backbone: type[nn.Module]) -> bool:
    """Whether this class takes a dict of masks by layer type; read from its source, as transformers itself does."""
    module = sys.modules[backbone.__module__]
    return "(causal_mask_mapping := attention_mask, dict)" in inspect.getsource(module)


def causal(count: int, before: int = 0, device: torch.device | str = "cpu") -> Bool[Tensor, "count reach"]:
    """Every token sees the `before` context entries, itself and the tokens ahead of it."""
    return torch.ones(count, before + count, dtype=torch.bool, device=device).tril(before)


def weights_version(modules: Sequence[nn.Module]) -> tuple[int, ...]:
    """A value that changes with every in-place change of a weight, so that caches over weights can be dropped."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return (sum(p._version for p in parameters), hash(tuple(p.data_ptr() for p in parameters)))
