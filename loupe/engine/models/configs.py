"""A model folder before any weight is read: its config, the class that this names, and an empty model of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from loupe.engine.errors import UnknownFormat, UnsupportedModel
from loupe.engine.models.weights import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def skeleton(path: Path | str) -> PreTrainedModel:
    """A model folder's modules without weights (on the meta device), from its config alone; device-thread work.

    Raises UnknownFormat, CorruptFile, UnsupportedModel.
    """
    folder = model_folder(path)
    config = read_config(folder)
    try:
        with quietly(), torch.device("meta"):
            return auto_class(config).from_config(config, dtype=torch.float32)
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UnsupportedModel(f"{folder} ({config.model_type}) could not be built: {error}") from error


def model_folder(path: Path | str) -> Path:
    """The folder, when it is one. Raises UnknownFormat."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UnknownFormat(f"{folder} is not a folder. Models are loaded from local folders.")
    if not (folder / "config.json").is_file() and (folder / "adapter_config.json").is_file():
        raise UnknownFormat(f"{folder} is an adapter, not a model: load it as a donor of its base model.")
    return folder


def read_config(folder: Path) -> PreTrainedConfig:
    """Raises CorruptFile, UnsupportedModel."""
    from transformers import AutoConfig

    raw = read_json(folder / "config.json")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError) as error:
        kind = raw.get("model_type", "none")
        code = " It brings its own Python code, which Loupe does not run." if "auto_map" in raw else ""
        raise UnsupportedModel(f"{folder} has model_type {kind!r}, which transformers does not know.{code}") from error


def auto_class(config: PreTrainedConfig) -> Any:
    """The class that builds a decoder from this config: bare, or inside an image-text wrapper."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForCausalLM if type(config) in AutoModelForCausalLM._model_mapping else AutoModelForImageTextToText


@contextmanager
def quietly() -> Iterator[None]:
    """Transformers draws on stderr; progress belongs to whoever loads, and missing parts are checked here."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
