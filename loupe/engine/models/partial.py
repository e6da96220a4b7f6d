"""Running some of a model's blocks on a residual stream of one's own.

`run_blocks` calls the model's own forward on a shallow copy of the backbone whose block list is a slice and whose
embedding-side and head-side parts do nothing. Masks, rotary positions and caches are therefore the model's business
still, and the copy shares every weight. What this cannot express (a model that rescales `inputs_embeds` inside its
forward) shows in the certificate, and callers then intervene on a whole forward instead.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loupe.engine.errors import LayerOutOfRange
from loupe.engine.models.language_model import LanguageModel


def run_blocks(
    lm: LanguageModel,
    hidden: Float[Tensor, "batch seq d_model"],
    start: int,
    stop: int | None = None,
    **inputs: Any,
) -> Float[Tensor, "batch seq d_model"]:
    """The output of block `stop - 1` (default: the last) for `hidden` as the input of block `start`.

    `inputs` are the backbone's own: `attention_mask` (also 4-D, or a dict of 4-D masks by layer type), `position_ids`,
    `past_key_values`, `use_cache`. A cache is read and extended at the true indices of the blocks that run; models
    count past tokens at index 0, so give `position_ids` and a 4-D mask when block 0 of the cache is empty.
    No final norm is applied: `lm.unembed` does that. Raises LayerOutOfRange.
    """
    stop = lm.n_layers if stop is None else stop
    if not 0 <= start <= stop <= lm.n_layers:
        raise LayerOutOfRange(f"Blocks {start} to {stop} were asked for; this model has 0 to {lm.n_layers}.")
    if start == stop:
        return hidden
    window = _window(lm, start, stop)
    out = window(inputs_embeds=hidden, **{"use_cache": False, **inputs}).last_hidden_state
    return out.to(hidden.device)  # the last of the blocks may be elsewhere


class _Zero(nn.Module):
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return torch.zeros(())


def _window(lm: LanguageModel, start: int, stop: int) -> nn.Module:
    family, backbone = lm.family, lm.backbone
    window = copy.copy(backbone)
    window.__dict__["_modules"] = dict(backbone._modules)
    window.__dict__["config"] = _window_config(lm.config, start, stop)

    def put(path: str | None, module: nn.Module | None) -> None:
        if path is not None:
            window._modules[path.removeprefix(f"{family.backbone}.")] = module

    put(family.blocks, nn.ModuleList(lm.blocks[start:stop]))
    put(family.final_norm, nn.Identity())
    put(family.positions, _Zero())
    put(family.project_in, None)
    put(family.project_out, None)
    return window


def _window_config(config: Any, start: int, stop: int) -> Any:
    window = copy.copy(config)
    window.num_hidden_layers = stop - start
    if getattr(config, "layer_types", None):
        window.layer_types = config.layer_types[start:stop]
    return window
