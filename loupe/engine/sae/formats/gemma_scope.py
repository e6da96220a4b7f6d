"""Gemma Scope 1 (`params.npz`) and 2 (`params.safetensors` with `config.json`): JumpReLU, no centring.

What the first set is (layer, site, model) stands only in the names of its folders, so those are read:
`gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71/params.npz`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from loupe.engine.errors import CorruptFile, UnknownFormat
from loupe.engine.models.families import Family
from loupe.engine.models.hooks import HookPoint, Site
from loupe.engine.sae.formats.loaded import LoadedSAE, build, config_of, oriented, resolve
from loupe.engine.sae.formats.names import Place, place_of
from loupe.engine.sae.formats.tensors import read_settings, read_tensors
from loupe.engine.sae.kinds import Activation

ARCHIVE, PARAMETERS, CONFIG = "params.npz", "params.safetensors", "config.json"
_CLASSIC = "JumpReLU without centring of the input, as all of Gemma Scope."


def read_gemma_scope(
    folder: Path,
    *,
    hook_points: Sequence[HookPoint] = (),
    family: Family | None = None,
    dtype: torch.dtype = torch.float32,
) -> LoadedSAE:
    """Read a folder of either set. Raises UnknownFormat (attention, embedding, cross-layer), BadOption, CorruptFile."""
    file = folder / (ARCHIVE if (folder / ARCHIVE).is_file() else PARAMETERS)
    tensors = {_renamed(name): value for name, value in read_tensors(file).items()}
    settings = read_settings(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    _refuse_other(folder, tensors)
    path = "/".join(folder.resolve().parts[-6:]).lower()
    said, out, assumed = _where(path, settings, family, transcodes=_transcodes(path, settings))
    points, before_gain = resolve(said, hook_points, str(folder))
    if hook_points and said and said[0].before_gain:
        before_gain = hook_points[0] == said[0].point
    skip = tensors.pop("affine_skip_connection", None)
    if skip is not None:
        tensors["W_skip"] = skip.t()
    sizes: dict[str, Any] = {"d_in": tensors["W_enc"].shape[0], "d_sae": tensors["W_enc"].shape[1]}
    if out is not None:
        sizes["d_out"] = tensors["W_dec"].shape[1]
    config = config_of(Activation.JUMPRELU, out is not None, skip is not None, apply_b_dec_to_input=False, **sizes)
    return LoadedSAE(
        build(config, tensors, name=str(file), dtype=dtype),
        points,
        _model(path, settings),
        "gemma scope 2" if file.name == PARAMETERS else "gemma scope",
        (_CLASSIC, *assumed),
        hook_point_out=out,
        reads_before_gain=before_gain,
        metadata=settings,
    )


def _renamed(name: str) -> str:
    return "W_" + name[2:] if name.startswith("w_") else name


def _refuse_other(folder: Path, tensors: dict[str, Tensor]) -> None:
    if missing := {"W_enc", "W_dec", "b_enc", "b_dec", "threshold"} - tensors.keys():
        raise CorruptFile(f"{folder} lacks {', '.join(sorted(missing))} of a Gemma Scope SAE.")
    if tensors["W_dec"].dim() == 3:
        raise UnknownFormat(f"{folder} is a cross-layer transcoder: its decoders write to several layers at once.")
    tensors["W_enc"] = oriented(tensors["W_enc"], tensors["W_enc"].shape[0], len(tensors["b_enc"]), "W_enc")


def _transcodes(path: str, settings: dict[str, Any]) -> bool:
    return "transcoder" in path or bool(settings.get("hf_hook_point_out"))


def _where(
    path: str, settings: dict[str, Any], family: Family | None, *, transcodes: bool
) -> tuple[list[Place], HookPoint | None, list[str]]:
    if "embedding" in path:
        raise UnknownFormat("This SAE reads token embeddings, which is not a hook point of Loupe.")
    if settings.get("hf_hook_point_in"):
        out = settings.get("hf_hook_point_out")
        place = place_of(str(settings["hf_hook_point_in"]), family)
        return [place], place_of(str(out), family).point if out else None, []
    layer = re.search(r"layer_(\d+)", path)
    if layer is None:
        return [], None, []
    number = int(layer[1])
    assumed = [f"Site and layer ({number}) were read from the names of the folders."]
    if transcodes:
        return [Place(HookPoint(number, Site.MLP_IN), before_gain=True)], HookPoint(number, Site.MLP_OUT), assumed
    if re.search(r"-att\b|attn_out", path):
        raise UnknownFormat("This SAE reads attention heads (hook_z), which is not a hook point of Loupe.")
    if re.search(r"-mlp\b|mlp_out", path):
        return [Place(HookPoint(number, Site.MLP_OUT))], None, assumed
    if re.search(r"-res\b|resid_post", path):
        return [Place(HookPoint(number))], None, assumed
    return [], None, []


def _model(path: str, settings: dict[str, Any]) -> str:
    if settings.get("model_name"):
        return str(settings["model_name"])
    found = re.search(r"gemma-scope-(\d+b)-(pt|it)", path)
    if found is None:
        return ""
    return f"google/gemma-2-{found[1]}" + ("-it" if found[2] == "it" else "")
