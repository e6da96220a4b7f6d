"""An SAE as it came from a file, and the small steps that every format shares: checked tensors in, an SAE out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.errors import BadOption, CorruptFile
from loupe.engine.models.hooks import HookPoint, Site
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.sae.config import SAEConfig
from loupe.engine.sae.formats.names import Place
from loupe.engine.sae.kinds import Activation
from loupe.engine.sae.sae import SAE

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedSAE:
    """An SAE with where it belongs and what had to be assumed to read it.

    `hook_points` are what it reads: one, or several for a crosscoder; `hook_point_out` is what a transcoder writes.
    `reads_before_gain`: it expects the normalised stream without the norm's gain; `for_model` makes it fit.
    `metadata` is what else the file says, as plain values.
    """

    sae: SAE
    hook_points: tuple[HookPoint, ...]
    model_name: str
    source_format: str
    assumptions: tuple[str, ...] = ()
    hook_point_out: HookPoint | None = None
    reads_before_gain: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hook_point(self) -> HookPoint:
        """What it reads; the first of a crosscoder's."""
        return self.hook_points[0]


@dataclass(slots=True)
class Wiring:
    """Where an SAE reads and writes, while a format is being read: what the file says, unless somebody says better."""

    reads: Place
    writes: HookPoint | None = None


def build(config: SAEConfig, tensors: Tensors, *, name: str, dtype: torch.dtype = torch.float32) -> SAE:
    """An SAE from tensors under this project's names. Raises CorruptFile (missing, of another shape, not finite)."""
    with torch.device("meta"):
        empty = SAE(config, dtype=dtype)
    wanted = dict(empty.state_dict())
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise CorruptFile(f"{name} lacks {', '.join(missing)}: a {config.architecture} SAE has it.")
    sae = SAE(config, dtype=dtype)
    with torch.no_grad():
        for key, target in sae.state_dict(keep_vars=True).items():
            value = tensors[key]
            if value.shape != target.shape:
                raise CorruptFile(f"{name}: {key} is {list(value.shape)}, expected {list(target.shape)}.")
            if not torch.isfinite(value).all():
                raise CorruptFile(f"{name}: {key} holds values that are not finite.")
            target.copy_(value)
    return sae.requires_grad_(False).eval()


def thresholds(value: Tensor | float, d_sae: int) -> Float[Tensor, " d_sae"]:
    """One threshold per latent, from one per latent or one for all."""
    tensor = torch.as_tensor(value, dtype=torch.float32).flatten()
    return tensor.expand(d_sae).clone() if len(tensor) == 1 else tensor


def without_norms(tensors: dict[str, Tensor]) -> None:
    """Make decoder rows unit and the code as if they always had been: what `rescale_acts_by_decoder_norm` means."""
    norms = tensors["W_dec"].norm(dim=-1)
    safe = norms.clamp_min(torch.finfo(norms.dtype).tiny)
    tensors["W_enc"] = tensors["W_enc"] * norms
    tensors["b_enc"] = tensors["b_enc"] * norms
    tensors["W_dec"] = tensors["W_dec"] / safe[:, None]


def folded_scale(tensors: dict[str, Tensor], scale: float) -> None:
    """Let an SAE that was trained on `scale` times the activations read and write them raw; the code stays the same."""
    tensors["W_enc"] = tensors["W_enc"] * scale
    tensors["W_dec"] = tensors["W_dec"] / scale
    tensors["b_dec"] = tensors["b_dec"] / scale


def oriented(matrix: Tensor, rows: int, columns: int, name: str) -> Float[Tensor, "rows columns"]:
    """A matrix that some versions of a format store transposed. Raises CorruptFile when neither way fits."""
    if matrix.shape == (rows, columns):
        return matrix
    if matrix.shape == (columns, rows):
        return matrix.t()
    raise CorruptFile(f"{name} is {list(matrix.shape)}, expected [{rows}, {columns}] or its transpose.")


def for_model(loaded: LoadedSAE, lm: LanguageModel) -> LoadedSAE:
    """The same SAE made to fit this model: an SAE that reads before the norm's gain gets the gain folded in.

    Raises BadOption (a width that is not the model's, a norm that cannot be measured), LayerOutOfRange.
    """
    sae, layers = loaded.sae, [point.layer for point in loaded.hook_points]
    per_point = sae.d_in // sae.config.parts
    if per_point != lm.d_model:
        raise BadOption(
            f"This SAE reads vectors of {per_point}, and the residual stream of this model has {lm.d_model}."
        )
    if max(layers) >= lm.n_layers:
        raise BadOption(f"This SAE belongs to block {max(layers)}; this model has blocks 0 to {lm.n_layers - 1}.")
    if not loaded.reads_before_gain:
        return loaded
    gain, bias = _gain(lm, loaded.hook_point.layer)
    config = sae.config
    state = {key: value.detach().clone() for key, value in sae.state_dict().items()}
    if config.apply_b_dec_to_input:
        raise BadOption("An SAE that centres its input and reads before the norm's gain cannot be folded.")
    state["b_enc"] = state["b_enc"] - (bias / gain).to(state["W_enc"].dtype) @ state["W_enc"]
    state["W_enc"] = state["W_enc"] / gain.to(state["W_enc"].dtype)[:, None]
    fitted = build(config, state, name="the folded SAE", dtype=sae.W_enc.dtype)
    note = f"The gain of the norm before the MLP of block {loaded.hook_point.layer} was folded into W_enc."
    return LoadedSAE(
        fitted,
        loaded.hook_points,
        loaded.model_name,
        loaded.source_format,
        (*loaded.assumptions, note),
        loaded.hook_point_out,
        reads_before_gain=False,
        metadata=loaded.metadata,
    )


@torch.no_grad()
def _gain(lm: LanguageModel, layer: int) -> tuple[Tensor, Tensor]:
    """Gain and bias of the norm before the MLP, measured: alternating signs are normalised already."""
    tap = lm.family.layout.resid_mid
    if tap is None or tap.side != "in" or not tap.module:
        raise BadOption(f"The norm before the MLP of {lm.family.name} could not be found, so its gain is not known.")
    norm = lm.blocks[layer].get_submodule(tap.module)
    signs = torch.ones(lm.d_model, dtype=lm.torch_dtype, device=lm.device)
    signs[1::2] = -1
    large = 1e3 * signs  # so that the norm's epsilon does not show
    up, down = norm(large[None])[0].float(), norm(-large[None])[0].float()
    gain, bias = (up - down) / 2 * signs.float(), (up + down) / 2
    if lm.d_model % 2 or (gain == 0).any():
        raise BadOption("A gain of exactly 0 hides a direction that this SAE reads; it cannot be used on this model.")
    return gain.cpu(), bias.cpu()


def config_of(activation: Activation, transcodes: bool, skip: bool, **sizes: Any) -> SAEConfig:
    """The config of an SAE or transcoder that a file describes by its parts."""
    from loupe.engine.sae.config import Architecture

    if skip or transcodes:
        architecture = Architecture.SKIP_TRANSCODER if skip else Architecture.TRANSCODER
        return SAEConfig(architecture, activation=activation, **sizes)
    own = {
        Activation.RELU: Architecture.STANDARD,
        Activation.GATED: Architecture.GATED,
        Activation.TOPK: Architecture.TOPK,
        Activation.BATCHTOPK: Architecture.BATCHTOPK,
        Activation.JUMPRELU: Architecture.JUMPRELU,
    }
    return SAEConfig(own[activation], **sizes)


def resolve(
    said: Sequence[Place], given: Sequence[HookPoint], where: str, *, before_gain: bool = False
) -> tuple[tuple[HookPoint, ...], bool]:
    """What the caller says wins over what the file says. Raises BadOption when neither says anything."""
    if given:
        return tuple(given), before_gain
    if not said:
        sites = ", ".join(Site)
        raise BadOption(f"{where} does not say which hook point it belongs to: name a block and one of {sites}.")
    return tuple(place.point for place in said), any(place.before_gain for place in said)
