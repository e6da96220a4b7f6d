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
from loupe.engine.models.fingerprint import fingerprint_files
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model, wrap_model
from loupe.engine.models.weights import check_safetensors, no_weights, read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_donor(base: LanguageModel, path: Path | str) -> LanguageModel:
    """Load a donor from a model folder or an adapter folder, in the base's dtype and on its device.

    A donor without a tokenizer of its own uses the base's. Raises WidthMismatch (other d_model or number of blocks than
    the base), UnsupportedModel (an adapter that does not fit), and as `load_model`.
    """
    folder = Path(path).expanduser()
    donor = _adapted(base, folder) if is_adapter(folder) else load_model(folder, dtype=base.dtype, device=base.device)
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


def _adapted(base: LanguageModel, folder: Path) -> LanguageModel:
    read_json(folder / "adapter_config.json")
    weights = adapter_weights(folder)
    own = fingerprint_files([folder / "adapter_config.json", weights])
    fingerprint = hashlib.sha256(f"{base.fingerprint} + {own}".encode()).hexdigest()
    donor = wrap_model(_with_adapter(base, folder), base.tokenizer, folder, fingerprint=fingerprint)
    donor.model.requires_grad_(False)
    donor.dtype = base.dtype
    return donor


def _with_adapter(base: LanguageModel, folder: Path) -> PreTrainedModel:
    from peft import PeftModel

    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            adapted: Any = PeftModel.from_pretrained(_copy(base), str(folder), is_trainable=False)
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise UnsupportedModel(f"The adapter in {folder} does not fit {base.family.name}: {error}") from error
    # PEFT fills absent tensors at random and only warns.
    if missing := [str(one.message) for one in said if "missing adapter keys" in str(one.message)]:
        raise CorruptFile(f"The adapter in {folder} lacks tensors: {missing[0][:300]}")
    return adapted.get_base_model()


def _copy(base: LanguageModel) -> PreTrainedModel:
    return load_model(base.path, dtype=base.dtype, device=base.device).model if base.path else copy.deepcopy(base.model)


def _check_shape(base: LanguageModel, donor: LanguageModel) -> None:
    shapes = (("d_model", donor.d_model, base.d_model), ("number of blocks", donor.n_layers, base.n_layers))
    for what, theirs, ours in shapes:
        if theirs != ours:
            raise WidthMismatch(f"The donor has {what} {theirs}, its base {ours}: it is no fine-tune of it.")
