"""dictionary_learning: `ae.pt`, made safetensors by `loupe convert`, beside `config.json`.

The classes are told apart by their tensors. A TopK checkpoint carries a threshold that is not used; a BatchTopK one
whose threshold was never set (below zero) fires wherever the pre-activation is positive, as the library itself does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loupe.engine.errors import BadOption, UnknownFormat
from loupe.engine.models.families import Family
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.config import SAEConfig
from loupe.engine.sae.formats.loaded import LoadedSAE, build, config_of, resolve, thresholds
from loupe.engine.sae.formats.names import Place, place_of
from loupe.engine.sae.formats.tensors import read_settings, read_tensors
from loupe.engine.sae.kinds import Activation, Architecture

CONFIG = "config.json"


def read_dictionary_learning(
    file: Path,
    *,
    hook_points: Sequence[HookPoint] = (),
    family: Family | None = None,
    dtype: torch.dtype = torch.float32,
) -> LoadedSAE:
    """Read one dictionary. Raises UnknownFormat (a class that Loupe does not have), BadOption, CorruptFile."""
    found = read_tensors(file)
    trainer = _trainer(file)
    assumed: list[str] = []
    tensors, config = _read(found, str(trainer.get("dict_class") or ""), assumed)
    points, _ = resolve(_places(trainer, family, bool(hook_points), assumed), hook_points, str(file))
    return LoadedSAE(
        build(config, tensors, name=str(file), dtype=dtype),
        points,
        str(trainer.get("lm_name") or ""),
        "dictionary_learning",
        tuple(assumed),
        metadata=trainer,
    )


def is_dictionary(names: set[str]) -> bool:
    """Whether tensors of these names are one of the library's dictionaries."""
    linear = {"encoder.weight", "decoder.weight"} <= names
    matrices = {"W_enc", "W_dec", "b_enc", "b_dec"} <= names and ("group_sizes" in names or "threshold" in names)
    return linear or matrices


def _trainer(file: Path) -> dict[str, Any]:
    config = file.parent / CONFIG
    if not config.is_file():
        config = file.parent.parent / CONFIG  # checkpoints lie one folder below
    return read_settings(config).get("trainer") or {} if config.is_file() else {}


def _read(found: dict[str, Tensor], kind: str, assumed: list[str]) -> tuple[dict[str, Tensor], SAEConfig]:
    if "group_sizes" in found:
        return _matryoshka(found, assumed)
    if "gate_bias" in found:
        return _gated(found)
    if "encoder.weight" in found:
        return _linear(found, kind, assumed)
    d_in, d_sae = found["W_enc"].shape
    kept = {name: found[name] for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
    kept["threshold"] = thresholds(found["threshold"], d_sae)
    assumed.append("A JumpReLU dictionary: the input is not centred by b_dec, as the library does it.")
    return kept, config_of(Activation.JUMPRELU, False, False, d_in=d_in, d_sae=d_sae, apply_b_dec_to_input=False)


def _linear(found: dict[str, Tensor], kind: str, assumed: list[str]) -> tuple[dict[str, Tensor], SAEConfig]:
    d_sae, d_in = found["encoder.weight"].shape
    kept = {
        "W_enc": found["encoder.weight"].t(),
        "b_enc": found["encoder.bias"],
        "W_dec": found["decoder.weight"].t(),
        "b_dec": found.get("b_dec", found.get("bias", found.get("decoder.bias", torch.zeros(d_in)))),
    }
    if "k" not in found:
        centred = "bias" in found or "b_dec" in found
        return kept, config_of(Activation.RELU, False, False, d_in=d_in, d_sae=d_sae, apply_b_dec_to_input=centred)
    k = int(found["k"])
    batched = "BatchTopK" in kind or (not kind and float(found.get("threshold", torch.tensor(-1.0))) >= 0)
    if not kind:
        assumed.append(
            f"No config.json names the class; read as {'BatchTopK' if batched else 'TopK'} by its threshold."
        )
    if not batched:
        return kept, config_of(Activation.TOPK, False, False, d_in=d_in, d_sae=d_sae, k=k)
    kept["threshold"] = _threshold(found, d_sae, assumed)
    return kept, config_of(Activation.BATCHTOPK, False, False, d_in=d_in, d_sae=d_sae, k=k)


def _gated(found: dict[str, Tensor]) -> tuple[dict[str, Tensor], SAEConfig]:
    d_sae, d_in = found["encoder.weight"].shape
    kept = {
        "W_enc": found["encoder.weight"].t(),
        "W_dec": found["decoder.weight"].t(),
        "b_dec": found["decoder_bias"],
        "b_gate": found["gate_bias"],
        "b_mag": found["mag_bias"],
        "r_mag": found["r_mag"],
    }
    return kept, config_of(Activation.GATED, False, False, d_in=d_in, d_sae=d_sae)


def _matryoshka(found: dict[str, Tensor], assumed: list[str]) -> tuple[dict[str, Tensor], SAEConfig]:
    d_in, d_sae = found["W_enc"].shape
    ends = torch.cumsum(found["group_sizes"].long(), 0).tolist()
    kept = {name: found[name] for name in ("W_enc", "W_dec", "b_enc", "b_dec")}
    kept["threshold"] = _threshold(found, d_sae, assumed)
    shares = tuple(end / d_sae for end in ends)
    config = SAEConfig(Architecture.MATRYOSHKA, d_in, d_sae, k=int(found["k"]), prefixes=shares)
    return kept, config


def _threshold(found: dict[str, Tensor], d_sae: int, assumed: list[str]) -> Tensor:
    value = float(found.get("threshold", torch.tensor(-1.0)))
    if value < 0:
        assumed.append("The threshold was never set in training: every positive latent fires, as the library does it.")
    return thresholds(value, d_sae)


def _places(trainer: dict[str, Any], family: Family | None, overruled: bool, assumed: list[str]) -> list[Place]:
    if overruled:
        return []
    name, layer = str(trainer.get("submodule_name") or ""), trainer.get("layer")
    if name:
        try:
            return [place_of(name, family)]
        except BadOption:
            if not name.startswith("resid_post") or not isinstance(layer, int):
                raise
    if not isinstance(layer, int):
        return []
    if name and not name.startswith("resid_post"):
        raise UnknownFormat(f"The config names the submodule {name!r}, which is not a hook point of Loupe.")
    assumed.append(
        f"The output of block {layer}: the config names the layer, and resid_post is the library's own site."
    )
    return [Place(HookPoint(layer))]
