"""One entrance for every format: look at what lies there, read it, say what was assumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from loupe.engine.errors import UnknownFormat
from loupe.engine.models.families import Family
from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.weights import check_safetensors, refuse_pickle
from loupe.engine.sae.formats import circuit_tracer, dictionary_learning, gemma_scope, saelens, sparsify
from loupe.engine.sae.formats.loaded import LoadedSAE
from loupe.engine.sae.formats.tensors import read_settings, read_tensors

KNOWN = (
    "SAELens (cfg.json and sae_weights.safetensors), Gemma Scope (params.npz or params.safetensors), "
    "dictionary_learning (ae.safetensors, from ae.pt by `loupe convert`), sparsify (cfg.json and sae.safetensors), "
    "circuit-tracer (config.yaml and layer_N.safetensors)"
)
_DEEPEST = 5


def read_sae(
    path: Path | str,
    *,
    hook_points: Sequence[HookPoint] = (),
    family: Family | None = None,
    dtype: torch.dtype = torch.float32,
) -> LoadedSAE:
    """Read the SAE in a folder or file, whatever its format.

    `hook_points` overrule what the files say; `family` (of the model that it belongs to) makes module names certain.
    Raises UnknownFormat, UnsafeFile (a pickle: `loupe convert` is named), CorruptFile, BadOption (no hook point, or an
    ambiguous one).
    """
    place = Path(path)
    options = {"hook_points": hook_points, "family": family, "dtype": dtype}
    if place.is_file():
        return _read_file(place, **options)  # type: ignore[arg-type]  # the three options above
    if not place.is_dir():
        raise UnknownFormat(f"{place} does not exist.")
    if (place / saelens.CONFIG).is_file() and (place / saelens.WEIGHTS).is_file():
        return saelens.read_saelens(place, **options)  # type: ignore[arg-type]
    if (place / sparsify.CONFIG).is_file() and (place / sparsify.WEIGHTS).is_file():
        return sparsify.read_sparsify(place, **options)  # type: ignore[arg-type]
    if (place / gemma_scope.ARCHIVE).is_file() or (place / gemma_scope.PARAMETERS).is_file():
        return gemma_scope.read_gemma_scope(place, **options)  # type: ignore[arg-type]
    return _read_only_file(place, **options)  # type: ignore[arg-type]


def find_saes(path: Path | str) -> tuple[Path, ...]:
    """Every folder or file below `path` that `read_sae` would try, in the order of their names."""
    root = Path(path)
    if root.is_file():
        return (root,)
    found: list[Path] = []
    for folder in (root, *sorted(each for each in root.rglob("*") if each.is_dir())):
        if len(folder.relative_to(root).parts) <= _DEEPEST:
            found.extend(_in_folder(folder))
    return tuple(found)


def _in_folder(folder: Path) -> list[Path]:
    names = {each.name for each in folder.iterdir() if each.is_file()}
    if saelens.WEIGHTS in names or sparsify.WEIGHTS in names or names & {gemma_scope.ARCHIVE, gemma_scope.PARAMETERS}:
        return [folder]
    if circuit_tracer.CONFIG in names:
        layers = [folder / name for name in names if name.startswith("layer_") and name.endswith(".safetensors")]
        return sorted(layers, key=circuit_tracer.layer_of)
    files = [folder / name for name in sorted(names) if name.endswith(".safetensors")]
    return [file for file in files if _is_converted(file) or _is_dictionary(file)]


def _is_dictionary(file: Path) -> bool:
    return dictionary_learning.is_dictionary(set(check_safetensors(file)))


def _is_converted(file: Path) -> bool:
    """Whether `loupe convert` made it of an SAE whose config stood in the pickle."""
    sidecar = file.with_suffix(".json")
    if not sidecar.is_file() or not {"W_enc", "W_dec", "b_enc", "b_dec"} <= set(check_safetensors(file)):
        return False
    values = read_settings(sidecar).get("values")
    return isinstance(values, dict) and "hook_" in str(values)


def _read_file(file: Path, **options: object) -> LoadedSAE:
    refuse_pickle(file)
    if file.name in (saelens.WEIGHTS, saelens.CONFIG, sparsify.WEIGHTS, gemma_scope.ARCHIVE, gemma_scope.PARAMETERS):
        return read_sae(file.parent, **options)  # type: ignore[arg-type]
    if file.suffix == ".safetensors" and (file.parent / circuit_tracer.CONFIG).is_file():
        return circuit_tracer.read_circuit_tracer(file, **options)  # type: ignore[arg-type]
    if file.suffix == ".safetensors" and _is_converted(file):
        return saelens.read_converted(file, **options)  # type: ignore[arg-type]
    if file.suffix == ".safetensors" and _is_dictionary(file):
        return dictionary_learning.read_dictionary_learning(file, **options)  # type: ignore[arg-type]
    if file.suffix == ".npz":
        read_tensors(file)  # says what is unsafe or damaged
    raise UnknownFormat(f"{file} is not an SAE that Loupe recognises. It reads {KNOWN}.")


def _read_only_file(folder: Path, **options: object) -> LoadedSAE:
    candidates = _in_folder(folder)
    if len(candidates) == 1:
        return _read_file(candidates[0], **options)
    if candidates:
        names = ", ".join(each.name for each in candidates[:4])
        raise UnknownFormat(f"{folder} holds {len(candidates)} SAEs ({names}, ...): name one of them.")
    if inside := [each for each in find_saes(folder) if each != folder]:
        names = ", ".join(str(each.relative_to(folder)) for each in inside[:3])
        raise UnknownFormat(f"{folder} holds {len(inside)} SAEs in folders below ({names}, ...): name one of them.")
    for file in sorted(each for each in folder.iterdir() if each.is_file()):
        refuse_pickle(file)
    raise UnknownFormat(f"{folder} holds no SAE that Loupe recognises. It reads {KNOWN}.")
