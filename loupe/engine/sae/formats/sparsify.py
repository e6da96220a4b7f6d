"""sparsify (eai-sparsify): one folder per module path, `cfg.json` and `sae.safetensors`; TopK SAEs and transcoders.

W_dec lies as [d_sae, d]; older readers expect it transposed, so the shape decides. `num_latents: 0` means d times the
expansion factor. The input is centred unless it transcodes. A folder's name is a module path relative to the base
model (`layers.10`, `h.3.attn`): the output of that module, or for a transcoder its input and output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from loupe.engine.errors import CorruptFile, UnknownFormat
from loupe.engine.models.families import Family
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.formats.loaded import LoadedSAE, build, config_of, oriented, resolve
from loupe.engine.sae.formats.names import Place, place_of
from loupe.engine.sae.formats.tensors import read_settings, read_tensors
from loupe.engine.sae.kinds import Activation

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"


def read_sparsify(
    folder: Path,
    *,
    hook_points: Sequence[HookPoint] = (),
    family: Family | None = None,
    dtype: torch.dtype = torch.float32,
) -> LoadedSAE:
    """Read one folder. Raises UnknownFormat (groupmax), BadOption, CorruptFile."""
    settings, found = read_settings(folder / CONFIG), read_tensors(folder / WEIGHTS)
    if settings.get("activation", "topk") != "topk":
        raise UnknownFormat(f"{folder} uses {settings['activation']} codes, which Loupe cannot compute; it reads topk.")
    if not {"encoder.weight", "encoder.bias", "W_dec", "b_dec"} <= found.keys():
        raise CorruptFile(f"{folder / WEIGHTS} lacks tensors of a sparsify SAE.")
    d_sae, d_in = found["encoder.weight"].shape
    transcodes = bool(settings.get("transcode"))
    tensors = {
        "W_enc": found["encoder.weight"].t(),
        "b_enc": found["encoder.bias"],
        "W_dec": oriented(found["W_dec"], d_sae, d_in, "W_dec"),
        "b_dec": found["b_dec"],
    }
    if "W_skip" in found:
        tensors["W_skip"] = found["W_skip"]
    config = config_of(
        Activation.TOPK,
        transcodes,
        "W_skip" in found,
        d_in=d_in,
        d_sae=d_sae,
        k=int(settings.get("k", 32)),
        apply_b_dec_to_input=not transcodes,
    )
    reads, writes, assumed = _where(folder.name, transcodes, family, bool(hook_points))
    points, _ = resolve(reads, hook_points, str(folder))
    if "W_skip" in found and not transcodes:
        assumed.append("A skip connection around an SAE that reads and writes one place, as its config says.")
    return LoadedSAE(
        build(config, tensors, name=str(folder / WEIGHTS), dtype=dtype),
        points,
        _model(folder),
        "sparsify",
        tuple(assumed),
        hook_point_out=writes if transcodes else (points[0] if "W_skip" in found else None),
        metadata=settings,
    )


def _where(
    name: str, transcodes: bool, family: Family | None, overruled: bool
) -> tuple[list[Place], HookPoint | None, list[str]]:
    if not transcodes:
        if overruled:
            return [], None, []
        return [place_of(name, family)], None, [f"The folder's name, {name}, is the module whose output is read."]
    written = place_of(f"{name}.output", family).point
    read = [] if overruled else [place_of(f"{name}.input", family)]
    return read, written, [f"The folder's name, {name}, is the module whose input is read and output written."]


def _model(folder: Path) -> str:
    config = folder.parent / "config.json"
    settings: dict[str, Any] = read_settings(config) if config.is_file() else {}
    return str(settings.get("model") or "")
