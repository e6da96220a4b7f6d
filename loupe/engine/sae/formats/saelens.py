"""SAELens folders: written so that `SAE.load_from_disk` and `from_pretrained` of sae-lens 6 give the same features.

    cfg.json                architecture, widths, metadata (hook points under three names, model, versions)
    sae_weights.safetensors W_enc [d_in, d_sae], W_dec [d_sae, d_out], b_enc, b_dec; threshold, W_skip, b_gate ...
    sparsity.safetensors    log10 of how often each latent fires
    training_config.json, evals.json    ours, ignored by sae-lens

What is written is the inference form: scale folded in, BatchTopK and Matryoshka as JumpReLU with their threshold.
`metadata.loupe` keeps the config itself, so that our own reading loses nothing. Crosscoders and TopK transcoders have
no class in sae-lens; they are written the same way, under architectures that it refuses rather than misreads.
Readers: 6.x, and the flat config of versions before 6.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from loupe.engine.errors import BadOption, CorruptFile, UnknownFormat
from loupe.engine.models.families import Family
from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.sae.config import SAEConfig
from loupe.engine.sae.formats.loaded import (
    LoadedSAE,
    build,
    config_of,
    folded_scale,
    resolve,
    thresholds,
    without_norms,
)
from loupe.engine.sae.formats.names import Place, module_name, place_of, transformer_lens_name
from loupe.engine.sae.formats.tensors import read_settings, read_tensors
from loupe.engine.sae.kinds import Activation, Architecture
from loupe.engine.sae.sae import SAE

CONFIG, WEIGHTS, SPARSITY = "cfg.json", "sae_weights.safetensors", "sparsity.safetensors"
WRITTEN_AS_VERSION = "6.54.12"  # the version whose format this is; below 6.0.0 readers expect the flat config
_REFUSED_NORMS = {
    "layer_norm": "normalises each token to zero mean and unit variance before encoding",
    "constant_norm_rescale": "rescales each token to a norm of sqrt(d) before encoding",
    "covariance_whitening": "whitens activations before encoding",
}
_ACTIVATIONS = {
    "standard": Activation.RELU,
    "gated": Activation.GATED,
    "topk": Activation.TOPK,
    "batchtopk": Activation.BATCHTOPK,
    "matryoshka_batchtopk": Activation.BATCHTOPK,
    "jumprelu": Activation.JUMPRELU,
    "transcoder": Activation.RELU,
    "skip_transcoder": Activation.RELU,
    "jumprelu_transcoder": Activation.JUMPRELU,
    "jumprelu_skip_transcoder": Activation.JUMPRELU,
}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What an export says about the model an SAE belongs to; `family` names hook points as modules where known."""

    name: str
    class_name: str = ""
    fingerprint: str = ""
    revision: str = ""
    family: Family | None = None
    context_size: int | None = None
    prepend_bos: bool | None = None
    dataset: str = ""


def facts_of(lm: LanguageModel, name: str, **more: Any) -> ModelFacts:
    """The facts of a loaded model."""
    return ModelFacts(name, type(lm.model).__name__, lm.fingerprint, family=lm.family, **more)


def write_saelens(
    folder: Path,
    sae: SAE,
    hook_point: HookPoint | Sequence[HookPoint],
    model: ModelFacts,
    *,
    hook_point_out: HookPoint | None = None,
    density: Float[Tensor, " d_sae"] | None = None,
    store_dtype: torch.dtype | None = None,
    training: Mapping[str, Any] | None = None,
    card: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Fill `folder` (which exists) with an SAE. `density` is the share of tokens that each latent fires on.

    `store_dtype` is what large matrices are kept in; they are computed in float32 by whoever reads them. A transcoder
    needs `hook_point_out`. Raises BadOption.
    """
    points = (hook_point,) if isinstance(hook_point, HookPoint) else tuple(hook_point)
    _check_points(sae.config, points, hook_point_out)
    config = _config_json(sae, points, hook_point_out, model, metadata or {})
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(_weights(sae, store_dtype), folder / WEIGHTS, metadata={"format": "pt"})
    if density is not None:
        save_file({"sparsity": torch.log10(density.float().cpu() + 1e-10)}, folder / SPARSITY)
    for name, values in (("training_config.json", training), ("evals.json", card)):
        if values is not None:
            (folder / name).write_text(json.dumps(values, indent=2, default=str) + "\n", encoding="utf-8")


def sae_lens_reads(config: SAEConfig) -> bool:
    """Whether sae-lens has a class for this kind of SAE."""
    return _architecture(config) in _ACTIVATIONS


def _check_points(config: SAEConfig, points: tuple[HookPoint, ...], out: HookPoint | None) -> None:
    if len(points) != config.parts:
        raise BadOption(f"This {config.architecture} reads {config.parts} hook points; {len(points)} were given.")
    if config.is_transcoder and out is None:
        raise BadOption("A transcoder needs to know which hook point it writes: give hook_point_out.")


def _architecture(config: SAEConfig) -> str:
    activation = {Activation.BATCHTOPK: Activation.JUMPRELU}.get(config.activation, config.activation)  # type: ignore[arg-type]  # settled by the config
    if config.architecture is Architecture.CROSSCODER:
        return f"{activation}_crosscoder"
    if config.is_transcoder:
        kind = "skip_transcoder" if config.has_skip else "transcoder"
        return kind if activation is Activation.RELU else f"{activation}_{kind}"
    return "standard" if activation is Activation.RELU else str(activation)


def _config_json(
    sae: SAE, points: tuple[HookPoint, ...], out: HookPoint | None, model: ModelFacts, more: Mapping[str, Any]
) -> dict[str, Any]:
    config = sae.config
    written: dict[str, Any] = {
        "architecture": _architecture(config),
        "d_in": config.d_in,
        "d_sae": config.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": config.apply_b_dec_to_input,
        "normalize_activations": "none",
        "reshape_activations": "none",
    }
    if config.activation is Activation.TOPK:
        written |= {"k": config.k, "rescale_acts_by_decoder_norm": False}
    if config.is_transcoder:
        written["d_out"] = config.d_out
    written["metadata"] = {
        "sae_lens_version": WRITTEN_AS_VERSION,
        "sae_lens_training_version": None,
        **_where(points, out, model),
        "training_architecture": str(config.architecture),
        **more,
        "loupe": {"format": 1, "config": config.to_dict(), "hook_points": [str(p) for p in points]}
        | ({"hook_point_out": str(out)} if out else {})
        | ({"model_fingerprint": model.fingerprint} if model.fingerprint else {}),
    }
    return written


def _where(points: tuple[HookPoint, ...], out: HookPoint | None, model: ModelFacts) -> dict[str, Any]:
    said: dict[str, Any] = {
        "model_name": model.name,
        "model_class_name": model.class_name or "AutoModelForCausalLM",
        "model_revision": model.revision or None,
        "model_source": "hf",
        "hook_name": transformer_lens_name(points[0]),
        "hook_head_index": None,
        "hook_name_out": transformer_lens_name(out) if out else None,
        "context_size": model.context_size,
        "prepend_bos": model.prepend_bos,
        "dataset_path": model.dataset or None,
    }
    if model.family is not None:
        said["hf_hook_name"] = module_name(model.family, points[0])
        said["hf_hook_name_out"] = module_name(model.family, out) if out else None
    return {name: value for name, value in said.items() if value is not None}


def _weights(sae: SAE, dtype: torch.dtype | None) -> dict[str, Tensor]:
    kept = {}
    for name, value in sae.state_dict().items():
        narrow = dtype is not None and value.dim() == 2
        kept[name] = value.detach().cpu().to(dtype if narrow else value.dtype).contiguous()
    return kept


def read_saelens(
    folder: Path,
    *,
    hook_points: Sequence[HookPoint] = (),
    family: Family | None = None,
    dtype: torch.dtype = torch.float32,
) -> LoadedSAE:
    """Read a SAELens folder, of any version. Raises UnknownFormat, CorruptFile, BadOption, UnsafeFile."""
    raw, tensors = read_settings(folder / CONFIG), read_tensors(folder / WEIGHTS)
    if own := (raw.get("metadata") or {}).get("loupe"):
        return _read_own(folder, raw, own, tensors, dtype)
    return _read(folder, raw, tensors, hook_points, family, dtype)


def read_converted(
    file: Path,
    *,
    hook_points: Sequence[HookPoint] = (),
    family: Family | None = None,
    dtype: torch.dtype = torch.float32,
) -> LoadedSAE:
    """Read what `loupe convert` made of a pickle with its config inside: that is in the sidecar now."""
    values = read_settings(file.with_suffix(".json")).get("values") or {}
    inner = next((values[name] for name in ("cfg", "config") if isinstance(values.get(name), dict)), values)
    return _read(file.parent, inner, read_tensors(file), hook_points, family, dtype)


def _read(
    folder: Path,
    raw: dict[str, Any],
    tensors: dict[str, Tensor],
    hook_points: Sequence[HookPoint],
    family: Family | None,
    dtype: torch.dtype,
) -> LoadedSAE:
    legacy = "metadata" not in raw
    assumed = ["The config is of SAELens before 6.0; its keys were taken as that version meant them."] if legacy else []
    settings = _modernised(raw) if legacy else raw
    metadata = settings["metadata"]
    config = _prepared(folder, settings, tensors, assumed)
    said = _said(metadata, family, bool(hook_points))
    points, before_gain = resolve(said[:1], hook_points, str(folder))
    return LoadedSAE(
        build(config, tensors, name=str(folder), dtype=dtype),
        points,
        str(metadata.get("model_name") or ""),
        "saelens legacy" if legacy else "saelens",
        tuple(assumed),
        hook_point_out=said[1].point if len(said) > 1 else None,
        reads_before_gain=before_gain,
        metadata=metadata,
    )


def _read_own(
    folder: Path, raw: dict[str, Any], own: dict[str, Any], tensors: dict[str, Tensor], dtype: torch.dtype
) -> LoadedSAE:
    try:
        config = SAEConfig.from_dict(own["config"])
        points = tuple(HookPoint.parse(point) for point in own["hook_points"])
        out = HookPoint.parse(own["hook_point_out"]) if "hook_point_out" in own else None
    except (KeyError, TypeError, BadOption) as error:
        raise CorruptFile(f"{folder / CONFIG} contradicts itself: {error}") from error
    sae = build(config, tensors, name=str(folder / WEIGHTS), dtype=dtype)
    metadata = raw["metadata"]
    return LoadedSAE(sae, points, str(metadata.get("model_name") or ""), "loupe", (), out, metadata=metadata)


def _modernised(raw: dict[str, Any]) -> dict[str, Any]:
    """The flat config of versions before 6.0 in today's shape."""
    renamed = {
        "hook_point": "hook_name",
        "hook_point_head_index": "hook_head_index",
        "activation_fn_str": "activation_fn",
    }
    flat = {renamed.get(key, key): value for key, value in raw.items()}
    options = flat.get("activation_fn_kwargs") or {}
    if flat.get("activation_fn") == "topk":
        flat["architecture"], flat["k"] = "topk", options.get("k", flat.get("k"))
    flat.setdefault("architecture", "standard")
    norm = flat.get("normalize_activations")
    flat["normalize_activations"] = {True: "expected_average_only_in", False: "none", None: "none"}.get(norm, norm)
    if flat.get("activation_fn", "relu") not in ("relu", "topk"):
        raise UnknownFormat(f"An activation function {flat['activation_fn']!r} is not one that Loupe has.")
    if "hook_z" in str(flat.get("hook_name")):
        flat.setdefault("reshape_activations", "hook_z")
    return flat | {"metadata": flat}


def _prepared(folder: Path, settings: dict[str, Any], tensors: dict[str, Tensor], assumed: list[str]) -> SAEConfig:
    """The config, and `tensors` changed in place to the form without scales and norms."""
    architecture = str(settings.get("architecture", "standard"))
    if architecture not in _ACTIVATIONS:
        raise UnknownFormat(
            f"{folder} holds a {architecture!r} SAE, which Loupe cannot compute. It reads {', '.join(_ACTIVATIONS)}."
        )
    _refuse_reshaped(folder, settings)
    if "W_enc" not in tensors or "W_dec" not in tensors:
        raise CorruptFile(f"{folder} lacks W_enc or W_dec.")
    d_in, d_sae = tensors["W_enc"].shape
    activation = _ACTIVATIONS[architecture]
    _fold_finetuning(tensors, assumed)
    _fold_norms(folder, settings, architecture, tensors, assumed)
    threshold = tensors.pop("topk_threshold", tensors.get("threshold"))
    if threshold is not None:
        tensors["threshold"] = thresholds(threshold, d_sae)
    if activation is Activation.BATCHTOPK:
        assumed.append("A training checkpoint of BatchTopK: its running threshold decides which latents fire.")
    k = settings.get("k")
    return config_of(
        activation,
        "transcoder" in architecture,
        "skip" in architecture,
        d_in=d_in,
        d_sae=d_sae,
        **({"k": max(1, round(k))} if k and activation in (Activation.TOPK, Activation.BATCHTOPK) else {}),
        **({"d_out": tensors["W_dec"].shape[1]} if "transcoder" in architecture else {}),
        apply_b_dec_to_input=bool(settings.get("apply_b_dec_to_input", "transcoder" not in architecture)),
    )


def _refuse_reshaped(folder: Path, settings: dict[str, Any]) -> None:
    if settings.get("reshape_activations", "none") != "none":
        raise UnknownFormat(f"{folder} reads attention heads (hook_z), which is not a hook point of Loupe.")
    if settings["metadata"].get("hook_head_index") is not None:
        raise UnknownFormat(f"{folder} reads one attention head, which is not a hook point of Loupe.")
    norm = settings.get("normalize_activations", "none")
    if norm in _REFUSED_NORMS:
        raise UnknownFormat(f"{folder} {_REFUSED_NORMS[norm]} ({norm}), which cannot be folded into its weights.")


def _fold_finetuning(tensors: dict[str, Tensor], assumed: list[str]) -> None:
    for name in ("scaling_factor", "finetuning_scaling_factor"):
        factor = tensors.pop(name, None)
        if factor is not None and not torch.allclose(factor, torch.ones_like(factor)):
            tensors["W_dec"] = tensors["W_dec"] * factor[:, None]
            assumed.append("The finetuned scale of each latent was folded into its decoder row.")


def _fold_norms(
    folder: Path, settings: dict[str, Any], architecture: str, tensors: dict[str, Tensor], assumed: list[str]
) -> None:
    rescales = settings.get("rescale_acts_by_decoder_norm", architecture in ("batchtopk", "matryoshka_batchtopk"))
    scaler = folder / "activation_scaler.json"
    scale = read_settings(scaler).get("scaling_factor") if scaler.is_file() else None
    if scale:
        folded_scale(tensors, float(scale))
        if "topk_threshold" in tensors and rescales:
            tensors["topk_threshold"] = tensors["topk_threshold"] / scale
        assumed.append(f"A training checkpoint: the activation scale {scale:.6g} was folded into its weights.")
    elif settings.get("normalize_activations") == "expected_average_only_in":
        assumed.append("Activations were scaled in training, and the scale is taken to be folded into the weights.")
    if rescales:
        without_norms(tensors)


def _said(metadata: Mapping[str, Any], family: Family | None, overruled: bool) -> list[Place]:
    """The places that a config names: what is read, and for transcoders what is written."""
    found: list[Place] = []
    for plain, module in (("hook_name", "hf_hook_name"), ("hook_name_out", "hf_hook_name_out")):
        names = [str(metadata[key]) for key in (plain, module) if metadata.get(key)]
        if names and not (overruled and plain == "hook_name"):
            found.append(_agreed(names, family))
        elif plain == "hook_name" and overruled:
            found.append(Place(HookPoint(0)))  # stands in for what the caller gave
        elif plain == "hook_name":
            return []
    return found


def _agreed(names: list[str], family: Family | None) -> Place:
    """The place that a TransformerLens name and a module name both mean; one of them may be ambiguous by itself."""
    places, problem = [], None
    for name in names:
        try:
            places.append(place_of(name, family))
        except BadOption as error:
            problem = error
    if not places:
        assert problem is not None
        raise problem
    if len({place.point for place in places}) > 1:
        raise BadOption(f"The config contradicts itself: {names[0]!r} and {names[1]!r} are different places.")
    return places[0]
