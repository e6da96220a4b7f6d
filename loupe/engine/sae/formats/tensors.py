"""Tensors from safetensors and object-free npz files; everything that could run code when opened is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from loupe.engine.errors import CorruptFile, UnknownFormat, UnsafeFile
from loupe.engine.models.weights import check_safetensors, refuse_pickle


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors or .npz file, floating ones in float32.

    Raises UnsafeFile (a pickle, or arrays of objects), CorruptFile (truncated), UnknownFormat (another file).
    """
    refuse_pickle(file)
    if file.suffix == ".npz":
        found = _read_npz(file)
    elif file.suffix == ".safetensors":
        check_safetensors(file)
        found = load_file(file)
    else:
        raise UnknownFormat(f"{file} is neither safetensors nor npz.")
    return {name: value.float() if value.is_floating_point() else value for name, value in found.items()}


def read_settings(file: Path) -> dict[str, Any]:
    """A JSON or YAML mapping. Raises CorruptFile."""
    try:
        text = file.read_text(encoding="utf-8")
        value = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise CorruptFile(f"{file} cannot be read ({type(error).__name__}): download it again.") from error
    if not isinstance(value, dict):
        raise CorruptFile(f"{file} holds a {type(value).__name__}; settings by name were expected.")
    return value


def _read_npz(file: Path) -> dict[str, Tensor]:
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.ascontiguousarray(archive[name])) for name in archive.files}
    except ValueError as error:
        if "allow_pickle" not in str(error) and "Object arrays" not in str(error):
            raise CorruptFile(f"{file} cannot be read ({error}): download it again.") from error
        raise UnsafeFile(
            f"{file} holds arrays of Python objects, which are pickles: opening them can run code. `loupe convert` "
            "takes PyTorch checkpoints only; save these arrays again with plain numbers."
        ) from error
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, TypeError) as error:
        raise CorruptFile(f"{file} is damaged or cut off ({type(error).__name__}): download it again.") from error
