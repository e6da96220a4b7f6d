"""A fitted lens as a folder, a fit as a checkpoint, and the lenses of the public tuned-lens library.

    tuned_lens.safetensors   blocks.K.weight, blocks.K.bias (engine/models/lens.py)
    lens.json                the card: model and its fingerprint, recipe, held-out scores

A checkpoint is one safetensors file, `fit.safetensors`, with everything that is not a tensor in its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from loupe.engine.context import ArtefactDraft
from loupe.engine.errors import CorruptFile
from loupe.engine.models.lens import CARD_FILE, LENS_FILE, TunedLens
from loupe.engine.models.weights import check_safetensors

FIT_FILE = "fit.safetensors"


@dataclass(frozen=True, slots=True)
class FitState:
    """Everything a fit needs to go on: its recipe, whose model (fingerprint), its step, stream cursor and tensors."""

    recipe: dict[str, Any]
    model: str
    step: int
    stream: dict[str, Any]
    tensors: Mapping[str, Tensor]


def write_lens(folder: Path, lens: TunedLens, card: Mapping[str, Any]) -> None:
    """Write lens and card into a folder."""
    tensors = {f"blocks.{layer}.weight": lens.weights[layer].contiguous() for layer in lens.layers}
    tensors |= {f"blocks.{layer}.bias": lens.biases[layer].contiguous() for layer in lens.layers}
    (folder / LENS_FILE).write_bytes(save(tensors))
    (folder / CARD_FILE).write_text(json.dumps(dict(card), indent=1) + "\n", encoding="utf-8")


def write_state(draft: ArtefactDraft, state: FitState) -> None:
    """Put a checkpoint into a draft."""
    rest = {"recipe": state.recipe, "model": state.model, "step": state.step, "stream": state.stream}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    draft.write(FIT_FILE, save(tensors, metadata={"loupe": json.dumps(rest)}))


def read_state(folder: Path) -> FitState:
    """The checkpoint in a folder. Raises CorruptFile."""
    file = folder / FIT_FILE
    if not file.is_file():
        raise CorruptFile(f"{folder} holds no {FIT_FILE}: it is no checkpoint of a tuned lens.")
    check_safetensors(file)
    try:
        with safe_open(file, framework="pt") as opened:
            rest = json.loads((opened.metadata() or {})["loupe"])
        return FitState(rest["recipe"], rest["model"], rest["step"], rest["stream"], load_file(file))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CorruptFile(f"{file} is no checkpoint of a tuned lens ({error}).") from error
