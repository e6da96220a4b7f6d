"""circuit-tracer transcoder sets: `config.yaml` and one `layer_{i}.safetensors` per block.

W_enc lies as [d_sae, d_model]. Codes are ReLU, JumpReLU where a threshold is stored, or TopK where the config says so.
Sets whose input hook is `ln2.hook_normalized` read the stream before the norm's gain; `for_model` folds it in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from loupe.engine.errors import CorruptFile, UnknownFormat
from loupe.engine.models.families import Family
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.formats.loaded import LoadedSAE, build, config_of, oriented, resolve, thresholds
from loupe.engine.sae.formats.names import place_of
from loupe.engine.sae.formats.tensors import read_settings, read_tensors
from loupe.engine.sae.kinds import Activation

CONFIG = "config.yaml"
_FILE = re.compile(r"layer_(\d+)\.safetensors")
_THRESHOLD = "activation_function.threshold"


def read_circuit_tracer(
    file: Path,
    *,
    hook_points: Sequence[HookPoint] = (),
    family: Family | None = None,
    dtype: torch.dtype = torch.float32,
) -> LoadedSAE:
    """Read one layer of a set. Raises UnknownFormat (cross-layer), BadOption, CorruptFile."""
    settings = read_settings(file.parent / CONFIG)
    if settings.get("model_kind", "transcoder_set") != "transcoder_set":
        raise UnknownFormat(
            f"{file.parent} is a {settings['model_kind']}: its decoders write to several layers at once."
        )
    found, layer = read_tensors(file), layer_of(file)
    if not {"W_enc", "W_dec", "b_enc", "b_dec"} <= found.keys():
        raise CorruptFile(f"{file} lacks tensors of a transcoder.")
    d_sae, d_in = len(found["b_enc"]), found["W_enc"].numel() // len(found["b_enc"])
    tensors = {name: found[name] for name in ("W_dec", "b_enc", "b_dec", "W_skip") if name in found}
    tensors["W_enc"] = oriented(found["W_enc"], d_sae, d_in, "W_enc").t()
    activation, sizes = _codes(settings, found)
    if activation is Activation.JUMPRELU:
        tensors["threshold"] = thresholds(found[_THRESHOLD], d_sae)
    sizes |= {"d_in": d_in, "d_sae": d_sae, "d_out": found["W_dec"].shape[1]}
    config = config_of(activation, True, "W_skip" in found, **sizes)
    reads = place_of(f"blocks.{layer}.{settings.get('feature_input_hook', 'mlp.hook_in')}", family)
    writes = place_of(f"blocks.{layer}.{settings.get('feature_output_hook', 'hook_mlp_out')}", family)
    points, _ = resolve([reads], hook_points, str(file))
    return LoadedSAE(
        build(config, tensors, name=str(file), dtype=dtype),
        points,
        str(settings.get("model_name") or ""),
        "circuit-tracer",
        _assumed(settings, activation),
        hook_point_out=writes.point,
        reads_before_gain=reads.before_gain and points[0] == reads.point,
        metadata=settings,
    )


def layer_of(file: Path) -> int:
    """The layer in a file's name. Raises UnknownFormat."""
    found = _FILE.fullmatch(file.name)
    if found is None:
        raise UnknownFormat(f"{file.name} is not a layer of a circuit-tracer set (layer_0.safetensors, ...).")
    return int(found[1])


def _codes(settings: dict[str, Any], found: dict[str, torch.Tensor]) -> tuple[Activation, dict[str, Any]]:
    if _THRESHOLD in found:
        return Activation.JUMPRELU, {}
    k = settings.get("k") or (int(found["k"]) if "k" in found else None)
    if settings.get("activation", "topk" if k else "relu") == "topk" and k:
        return Activation.TOPK, {"k": int(k)}
    return Activation.RELU, {}


def _assumed(settings: dict[str, Any], activation: Activation) -> tuple[str, ...]:
    notes = []
    if "activation" not in settings and activation is Activation.RELU:
        notes.append("No activation is named and no threshold stored: ReLU.")
    if "feature_input_hook" not in settings:
        notes.append("No input hook is named: the MLP's input.")
    return tuple(notes)
