"""A verbalizer and a reconstructor that belong together, and to one layer of one model.

    pair = load_pair(lm, "nla/av", "nla/ar")
    activations = extract(lm, ids, pair.layer)
    rollouts = pair.verbalizer.verbalize(activations)
    scores = pair.reconstructor.score([...], activations)

Choice: the pair does not hold the model whose activations it reads. A donor (a fine-tune of the base model) of the same
width is read through the same pair.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from loupe.engine.errors import BadOption, DepthDrift, WidthMismatch
from loupe.engine.models.fingerprint import file_sha256
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.nla.extraction import check_layer
from loupe.engine.nla.extraction import extract as extract
from loupe.engine.nla.metrics import Denominator
from loupe.engine.nla.reconstructor import HEAD_NAME, Reconstructor, load_reconstructor
from loupe.engine.nla.sidecar import SIDECAR_NAME, Role, load_sidecar
from loupe.engine.nla.verbalizer import Verbalizer, load_verbalizer


@dataclass(frozen=True, slots=True, eq=False)
class NLAPair:
    """Both halves, the layer K whose block output they read, and the denominator of `fve_nrm` if one is known.

    `fingerprints` identify what was loaded: verbalizer, reconstructor with its head, and both sidecars (empty for
    parts in memory).
    """

    verbalizer: Verbalizer
    reconstructor: Reconstructor
    layer: int
    denominator: Denominator | None = None
    fingerprints: tuple[tuple[str, str], ...] = ()


def load_pair(
    model: LanguageModel,
    av_path: Path | str,
    ar_path: Path | str,
    layer: int | None = None,
    *,
    injection_scale: float | None = None,
    fve_denominator: float | None = None,
    dtype: str = "auto",
    device: str | torch.device | None = None,
) -> NLAPair:
    """Load both checkpoints and check them against each other and against the model.

    `layer` is needed only where neither sidecar says; a layer that contradicts them is an error, like every other
    contradiction. `injection_scale` overrides the verbalizer's sidecar; `fve_denominator` is used where the sidecars
    have none. Raises SidecarError and its leaves, WidthMismatch, LayerOutOfRange, and what loading models raises.
    """
    where = (model.placement or model.device) if device is None else device
    check_sidecars(model, av_path, ar_path, layer)
    verbalizer = load_verbalizer(av_path, injection_scale=injection_scale, dtype=dtype, device=where)
    fallback = verbalizer.sidecar
    reconstructor, _ = load_reconstructor(ar_path, fallback=fallback, layer=layer, dtype=dtype, device=where)
    return join_pair(model, verbalizer, reconstructor, av_path, ar_path, fve_denominator=fve_denominator)


def check_sidecars(model: LanguageModel, av_path: Path | str, ar_path: Path | str, layer: int | None = None) -> None:
    """Both sidecars, and the layer given, name one layer that the model has. Raises SidecarError, LayerOutOfRange."""
    sidecars = load_sidecar(av_path, Role.VERBALIZER), load_sidecar(ar_path, Role.RECONSTRUCTOR)
    known = {"av sidecar": sidecars[0].layer, "ar sidecar": sidecars[1].layer, "given": layer}
    if layer is not None:
        check_layer(model, layer)
    said = {place: value for place, value in known.items() if value is not None}
    if len(set(said.values())) > 1:
        raise DepthDrift(f"The pair contradicts itself about the layer it reads: {said}.")


def join_pair(
    model: LanguageModel,
    verbalizer: Verbalizer,
    reconstructor: Reconstructor,
    av_path: Path | str,
    ar_path: Path | str,
    *,
    fve_denominator: float | None = None,
) -> NLAPair:
    """Two loaded halves as a pair for one model; each half may serve in other pairs too. Raises WidthMismatch."""
    from_sidecars = (load_sidecar(ar_path, Role.RECONSTRUCTOR).fve_denominator, verbalizer.sidecar.fve_denominator)
    pair = NLAPair(
        verbalizer,
        reconstructor,
        reconstructor.layer,
        _denominator(from_sidecars, fve_denominator),
        (
            ("verbalizer", verbalizer.lm.fingerprint),
            ("reconstructor", reconstructor.trunk.fingerprint),
            ("reconstructor_head", file_sha256(Path(ar_path) / HEAD_NAME)),
            ("verbalizer_sidecar", _file_sha256(Path(av_path) / SIDECAR_NAME)),
            ("reconstructor_sidecar", _file_sha256(Path(ar_path) / SIDECAR_NAME)),
        ),
    )
    check_pair(model, pair)
    return pair


def check_pair(model: LanguageModel, pair: NLAPair) -> None:
    """Widths agree and the layer exists in the model that is read. Raises WidthMismatch, LayerOutOfRange."""
    widths = {
        "model": model.d_model,
        "verbalizer": pair.verbalizer.lm.d_model,
        "reconstructor": pair.reconstructor.trunk.d_model,
    }
    if len(set(widths.values())) > 1:
        raise WidthMismatch(f"Model and pair must have the same d_model, got {widths}.")
    check_layer(model, pair.layer)


def _denominator(from_sidecars: tuple[float | None, ...], given: float | None) -> Denominator | None:
    for value, source in (*((value, "sidecar") for value in from_sidecars), (given, "given")):
        if value is None:
            continue
        if value <= 0:
            raise BadOption(f"The fve denominator must be positive, the {source} says {value}.")
        return Denominator(value, source)
    return None


def _file_sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
