"""Give a trained model wider MLPs without changing what it says.

Reading an activation takes more of a small model than telling a story does: which of five words an explanation quotes
next is a gate, the word a linear map behind it. New hidden units start with random inputs and no output, so that the
grown model computes what the model did, and training finds a use for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def widen_mlps(model: PreTrainedModel, width: int) -> None:
    """Widen every gated MLP of a Llama to `width` hidden units, in place.

    Raises ValueError when it would have to shrink one.
    """
    config: Any = model.config
    if width < config.intermediate_size:
        raise ValueError(f"The MLPs have {config.intermediate_size} units: {width} would lose some.")
    backbone: Any = model.get_decoder()
    for block in backbone.layers:
        mlp = block.mlp
        for name in ("gate_proj", "up_proj"):
            setattr(mlp, name, _more_rows(getattr(mlp, name), width))
        mlp.down_proj = _more_columns(mlp.down_proj, width)
        mlp.intermediate_size = width
    config.intermediate_size = width


def _more_rows(linear: nn.Linear, rows: int) -> nn.Linear:
    kept, inputs = linear.weight.shape
    new = torch.empty(rows - kept, inputs).normal_(std=inputs**-0.5)
    return _without_bias(torch.cat([linear.weight, new.to(linear.weight)]))


def _more_columns(linear: nn.Linear, columns: int) -> nn.Linear:
    outputs, kept = linear.weight.shape
    return _without_bias(torch.cat([linear.weight, linear.weight.new_zeros(outputs, columns - kept)], dim=1))


def _without_bias(weight: torch.Tensor) -> nn.Linear:
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias=False, dtype=weight.dtype)
    linear.weight.copy_(weight)
    return linear
