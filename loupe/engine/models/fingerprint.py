"""What a model is, as one sha256: two folders with the same fingerprint compute the same.

A run stores the fingerprints of everything it used. The file fingerprint covers config.json and the weight files;
the tokenizer is left out because a run stores its token ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from loupe.engine.models.weights import refuse_pickle, weight_files

if TYPE_CHECKING:
    from torch import nn


def file_sha256(file: Path) -> str:
    """The sha256 of a file's bytes, in hex. Raises UnsafeFile for a pickle."""
    refuse_pickle(file)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint_files(files: Iterable[Path]) -> str:
    """One sha256 over the names and contents of files, in order of their names."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        total.update(f"{file.name}\0{file_sha256(file)}\n".encode())
    return total.hexdigest()


def fingerprint_folder(folder: Path) -> str:
    """The fingerprint of a model folder: config.json and its weight files.

    Raises UnsafeFile (pickled weights), UnknownFormat (no weights), CorruptFile (truncated weights).
    """
    return fingerprint_files([folder / "config.json", *weight_files(folder)])


def fingerprint_model(model: nn.Module) -> str:
    """The fingerprint of a model in memory: its config, and name, dtype, shape and bytes of every tensor."""
    total = hashlib.sha256()
    config = getattr(model, "config", None)
    total.update(config.to_json_string(use_diff=False).encode() if config is not None else b"")
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name}\0{tensor.dtype}\0{list(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
