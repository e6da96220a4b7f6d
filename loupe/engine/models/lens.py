"""What the residual stream would say if the model ended here.

The logit lens puts a residual vector through the model's own final norm, head and softcap; at the last block it is the
model's own prediction. The tuned lens (Belrose et al. 2023, arXiv 2303.08112) first adds an affine correction fitted
for the block: `h + W h + b`.

A tuned-lens folder holds `tuned_lens.safetensors` with, for each fitted block K, `blocks.K.weight` [d_model, d_model]
and `blocks.K.bias` [d_model], read from the output of block K (`resid_post`). A folder of the public tuned-lens library
is read too, once `loupe convert` has made `params.safetensors` of its `params.pt`: there translator i reads the *input*
of block i, which is block K = i - 1 here; translator 0, which reads the embeddings, belongs to no block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loupe.engine.errors import BadOption, CorruptFile, LayerOutOfRange, UnknownFormat, WidthMismatch
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.weights import check_safetensors, read_json, refuse_pickle

LENS_FILE, CARD_FILE = "tuned_lens.safetensors", "lens.json"
PUBLIC_FILE = "params.safetensors"
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
    """Affine corrections for some blocks of a model: `weights[K]` [d_model, d_model] and `biases[K]` [d_model].

    `fingerprint` is the sha256 of the file they came from, empty for a lens in memory.
    """

    weights: dict[int, Tensor]
    biases: dict[int, Tensor]
    fingerprint: str = ""

    @classmethod
    def load(cls, folder: Path | str, layers: Collection[int] | None = None) -> TunedLens:
        """From a folder (formats above); with `layers`, only what it has for those blocks is read.

        Raises UnknownFormat, UnsafeFile, CorruptFile.
        """
        file = lens_file(Path(folder))
        if file is None:
            for other in sorted(Path(folder).glob("*")):
                refuse_pickle(other)
            raise UnknownFormat(f"{folder} has no {LENS_FILE}: expected a folder with a fitted tuned lens.")
        names = _tensor_names(file)
        with file.open("rb") as stream:
            fingerprint = hashlib.file_digest(stream, "sha256").hexdigest()
        wanted = {layer: pair for layer, pair in names.items() if layer >= 0 and (layers is None or layer in layers)}
        from safetensors import safe_open

        with safe_open(file, framework="pt") as opened:
            weights = {layer: opened.get_tensor(weight) for layer, (weight, _) in wanted.items()}
            biases = {layer: opened.get_tensor(bias) for layer, (_, bias) in wanted.items() if bias}
        for layer in weights.keys() - biases.keys():  # of the public library, fitted with `bias: false`
            biases[layer] = weights[layer].new_zeros(weights[layer].shape[0])
        return cls(weights, biases, fingerprint)

    @property
    def layers(self) -> tuple[int, ...]:
        """The blocks that were fitted, ascending."""
        return tuple(sorted(self.weights))

    def only(self, layer: int, device: torch.device) -> TunedLens:
        """The correction of one block in fp32 on a device, for many calls of `correct`."""
        weights, biases = self.weights[layer].to(device).float(), self.biases[layer].to(device).float()
        return TunedLens({layer: weights}, {layer: biases}, self.fingerprint)

    def check_width(self, lm: LanguageModel) -> None:
        """Raises WidthMismatch where this lens was fitted to a model of another width."""
        for bias in self.biases.values():
            if len(bias) != lm.d_model:
                raise WidthMismatch(f"The tuned lens has d_model {len(bias)}, this model {lm.d_model}.")

    def correct(self, hidden: Float[Tensor, "*rows d_model"], layer: int) -> Float[Tensor, "*rows d_model"]:
        """`h + W h + b`, in fp32. Raises LayerOutOfRange for a block that was not fitted, WidthMismatch."""
        if layer not in self.weights:
            raise LayerOutOfRange(f"This tuned lens was fitted for blocks {self.layers}, not for {layer}.")
        weight, bias = self.weights[layer].to(hidden.device).float(), self.biases[layer].to(hidden.device).float()
        if hidden.shape[-1] != bias.shape[-1]:
            raise WidthMismatch(f"The tuned lens has d_model {bias.shape[-1]}, the activation {hidden.shape[-1]}.")
        hidden = hidden.float()
        return hidden + hidden @ weight.T + bias


def lens_file(folder: Path) -> Path | None:
    """The weights of the lens in a folder, ours or the public library's; None where there is none. Opens no weights."""
    if (ours := folder / LENS_FILE).is_file():
        return ours
    public, config = folder / PUBLIC_FILE, folder / "config.json"
    if public.is_file() and config.is_file() and "lens_type" in read_json(config):
        return public
    return None


def lens_card(folder: Path) -> dict[str, Any] | None:
    """What is known of a lens fitted here: its model, recipe and held-out scores. Raises CorruptFile."""
    card = folder / CARD_FILE
    return read_json(card) if card.is_file() else None


def tuned_lens(
    lm: LanguageModel, lens: TunedLens, hidden: Float[Tensor, "*rows d_model"], layer: int, k: int
) -> TopTokens:
    """The top k next tokens of the corrected residual stream of block `layer`. Raises as `logit_lens` and `correct`."""
    _check_width(lm, hidden)
    return logit_lens(lm, lens.correct(hidden, layer), k)


def _tensor_names(file: Path) -> dict[int, tuple[str, str]]:
    """By block, the names of weight and bias in a lens file, as its header says. Raises CorruptFile.

    Block -1 is what the public library calls 0; a bias that was not fitted is "".
    """
    header = {name: entry for name, entry in check_safetensors(file).items() if name != "__metadata__"}
    public = file.name == PUBLIC_FILE
    form = "K.weight [d, d] and K.bias [d]" if public else "blocks.K.weight [d, d] and blocks.K.bias [d]"
    found: dict[str, dict[int, str]] = {"weight": {}, "bias": {}}
    for name in header:
        match (f"blocks.{name}" if public else name).split("."):
            case ["blocks", layer, "weight" | "bias" as part] if layer.isdecimal():
                found[part][int(layer) - public] = name
            case _:
                raise CorruptFile(f"{file} holds {name!r}; expected {form} only.")
    weights, biases = found["weight"], found["bias"]
    shapes = {part: [header[name].get("shape") for name in found[part].values()] for part in found}
    widths = {size for shape in shapes["weight"] for size in shape or [None]}
    is_square = len(widths) == 1 and shapes["weight"] == [[*widths, *widths]] * len(weights)
    is_whole = weights.keys() == biases.keys() or (public and not biases)
    if not (is_square and is_whole) or shapes["bias"] != [[*widths]] * len(biases):
        raise CorruptFile(f"{file} must hold {form} for every K it has.")
    return {layer: (name, biases.get(layer, "")) for layer, name in weights.items()}


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
