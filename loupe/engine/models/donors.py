"""Donor models: a fine-tune, or a PEFT adapter, whose activations are read through its base model's NLA.

An adapter is applied to a copy of the base, never to the base itself: another request may be reading that one. Its
layers stay beside the weights they adapt, as PEFT runs them, so nothing is rounded by a merge.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.engine.errors import CorruptFile, UnsupportedModel, WidthMismatch
from loupe.engine.jobs import Steps, finished
from loupe.engine.models.fingerprint import fingerprint_files
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model_steps, wrap_model
from loupe.engine.models.placement import Available
from loupe.engine.models.weights import check_safetensors, no_weights, read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_donor(base: LanguageModel, path: Path | str) -> LanguageModel:
    """Load a donor from a model folder or an adapter folder, in the base's dtype and where the base is.

    A donor without a tokenizer of its own uses the base's. Raises WidthMismatch (other d_model or number of blocks than
    the base), UnsupportedModel (an adapter that does not fit), and as `load_model`.
    """
    return finished(load_donor_steps(base, path))


def load_donor_steps(
    base: LanguageModel, path: Path | str, *, available: Available | None = None
) -> Steps[LanguageModel]:
    """The same, step by step, as `load_model_steps`."""
    folder = Path(path).expanduser()
    if is_adapter(folder):
        donor = yield from _adapted(base, folder, available)
    else:
        donor = yield from _beside(base, folder, available)
    _check_shape(base, donor)
    donor.tokenizer = donor.tokenizer or base.tokenizer
    return donor


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter rather than a model."""
    return (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file()


def adapter_weights(folder: Path) -> Path:
    """The one weight file of an adapter. Raises UnsafeFile (a pickle), UnknownFormat (none), CorruptFile."""
    # Without a single file of this name PEFT would look for one on the hub.
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise no_weights(folder, file.name)
    check_safetensors(file)
    return file


def _beside(base: LanguageModel, folder: Path, available: Available | None) -> Steps[LanguageModel]:
    where = base.placement or base.device
    return (yield from load_model_steps(folder, dtype=base.dtype, device=where, available=available))


def _adapted(base: LanguageModel, folder: Path, available: Available | None) -> Steps[LanguageModel]:
    read_json(folder / "adapter_config.json")
    weights = adapter_weights(folder)
    own = fingerprint_files([folder / "adapter_config.json", weights])
    fingerprint = hashlib.sha256(f"{base.fingerprint} + {own}".encode()).hexdigest()
    if base.path is not None:
        copied = (yield from _beside(base, base.path, available)).model
    else:
        copied = copy.deepcopy(base.model)
    adapted = _with_adapter(copied, base.family.name, folder)
    donor = wrap_model(adapted, base.tokenizer, folder, fingerprint=fingerprint)
    donor.model.requires_grad_(False)
    donor.dtype, donor.placement = base.dtype, base.placement
    return donor


def _with_adapter(model: PreTrainedModel, family: str, folder: Path) -> PreTrainedModel:
    from peft import PeftModel

    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            adapted: Any = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise UnsupportedModel(f"The adapter in {folder} does not fit {family}: {error}") from error
    # PEFT fills absent tensors at random and only warns.
    if missing := [str(one.message) for one in said if "missing adapter keys" in str(one.message)]:
        raise CorruptFile(f"The adapter in {folder} lacks tensors: {missing[0][:300]}")
    return adapted.get_base_model()


def _check_shape(base: LanguageModel, donor: LanguageModel) -> None:
    shapes = (("d_model", donor.d_model, base.d_model), ("number of blocks", donor.n_layers, base.n_layers))
    for what, theirs, ours in shapes:
        if theirs != ours:
            raise WidthMismatch(f"The donor has {what} {theirs}, its base {ours}: it is no fine-tune of it.")
