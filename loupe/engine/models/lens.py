"""What the residual stream would say if the model ended here.

The logit lens puts a residual vector through the model's own final norm, head and softcap; at the last block it is the
model's own prediction. The tuned lens (Belrose et al. 2023, arXiv 2303.08112) first adds an affine correction fitted
for the block: `h + W h + b`.

A tuned-lens folder holds `tuned_lens.safetensors` with, for each fitted block K, `blocks.K.weight` [d_model, d_model]
and `blocks.K.bias` [d_model], read from the output of block K (`resid_post`). In the public tuned-lens library,
translator i reads the *input* of block i, which is block K = i - 1 here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loupe.engine.errors import BadOption, CorruptFile, LayerOutOfRange, UnknownFormat, WidthMismatch
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.weights import check_safetensors, refuse_pickle

LENS_FILE = "tuned_lens.safetensors"
_ROWS_AT_ONCE = 64  # a row of logits is vocabulary wide; 64 of them at 152 k tokens are 39 MB


class TopTokens(NamedTuple):
    """The k most probable tokens of each row, most probable first."""

    ids: Int[Tensor, "*rows k"]
    probabilities: Float[Tensor, "*rows k"]


def logit_lens(
    lm: LanguageModel, hidden: Float[Tensor, "*rows d_model"], k: int, *, apply_norm: bool = True
) -> TopTokens:
    """The top k next tokens read directly from the residual stream.

    `apply_norm=False` leaves the final norm out, as some older tools do; the softcap applies in both cases.
    Probabilities are fp32. Raises BadOption (a k outside 1..vocab_size), WidthMismatch (another width than d_model).
    """
    if not 1 <= k <= lm.vocab_size:
        raise BadOption(f"k is {k}: expected 1 to {lm.vocab_size}.")
    _check_width(lm, hidden)
    rows = hidden.reshape(-1, hidden.shape[-1]).split(_ROWS_AT_ONCE)
    tops = [_top(lm, part, k, apply_norm=apply_norm) for part in rows]
    shape = (*hidden.shape[:-1], k)
    return TopTokens(
        torch.cat([top.ids for top in tops]).reshape(shape),
        torch.cat([top.probabilities for top in tops]).reshape(shape),
    )


@dataclass(frozen=True, slots=True)
class TunedLens:
    """Affine corrections for some blocks of a model: `weights[K]` [d_model, d_model] and `biases[K]` [d_model]."""

    weights: dict[int, Tensor]
    biases: dict[int, Tensor]

    @classmethod
    def load(cls, folder: Path | str) -> TunedLens:
        """From a folder (format above). Raises UnknownFormat, UnsafeFile, CorruptFile."""
        file = Path(folder) / LENS_FILE
        if not file.is_file():
            for other in sorted(Path(folder).glob("*")):
                refuse_pickle(other)
            raise UnknownFormat(f"{folder} has no {LENS_FILE}: expected a folder with a fitted tuned lens.")
        check_safetensors(file)
        from safetensors.torch import load_file

        weights, biases = {}, {}
        for name, tensor in load_file(file).items():
            match name.split("."):
                case ["blocks", layer, "weight"] if layer.isdecimal():
                    weights[int(layer)] = tensor
                case ["blocks", layer, "bias"] if layer.isdecimal():
                    biases[int(layer)] = tensor
                case _:
                    raise CorruptFile(f"{file} holds {name!r}; expected blocks.K.weight and blocks.K.bias only.")
        widths = {size for tensor in (*weights.values(), *biases.values()) for size in tensor.shape}
        if weights.keys() != biases.keys() or len(widths) != 1:
            raise CorruptFile(f"{file} must hold blocks.K.weight [d, d] and blocks.K.bias [d] for every K it has.")
        return cls(weights, biases)

    @property
    def layers(self) -> tuple[int, ...]:
        """The blocks that were fitted, ascending."""
        return tuple(sorted(self.weights))

    def correct(self, hidden: Float[Tensor, "*rows d_model"], layer: int) -> Float[Tensor, "*rows d_model"]:
        """`h + W h + b`, in fp32. Raises LayerOutOfRange for a block that was not fitted, WidthMismatch."""
        if layer not in self.weights:
            raise LayerOutOfRange(f"This tuned lens was fitted for blocks {self.layers}, not for {layer}.")
        weight, bias = self.weights[layer].to(hidden.device).float(), self.biases[layer].to(hidden.device).float()
        if hidden.shape[-1] != bias.shape[-1]:
            raise WidthMismatch(f"The tuned lens has d_model {bias.shape[-1]}, the activation {hidden.shape[-1]}.")
        hidden = hidden.float()
        return hidden + hidden @ weight.T + bias


def tuned_lens(
    lm: LanguageModel, lens: TunedLens, hidden: Float[Tensor, "*rows d_model"], layer: int, k: int
) -> TopTokens:
    """The top k next tokens of the corrected residual stream of block `layer`. Raises as `logit_lens` and `correct`."""
    _check_width(lm, hidden)
    return logit_lens(lm, lens.correct(hidden, layer), k)


def _check_width(lm: LanguageModel, hidden: Tensor) -> None:
    if hidden.shape[-1] != lm.d_model:
        raise WidthMismatch(f"The activation has width {hidden.shape[-1]}, this model d_model {lm.d_model}.")


@torch.no_grad()
def _top(lm: LanguageModel, hidden: Float[Tensor, "rows d_model"], k: int, *, apply_norm: bool) -> TopTokens:
    hidden = hidden.to(lm.device, lm.torch_dtype)
    logits = lm.unembed(hidden) if apply_norm else lm.head_logits(lm.project_out(hidden))
    probabilities = torch.softmax(logits.float(), -1)
    top = probabilities.topk(k, -1)
    return TopTokens(top.indices, top.values)
