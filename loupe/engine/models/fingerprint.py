"""What a model is, as one sha256: two folders with the same fingerprint compute the same.

A run stores the fingerprints of everything it used. The file fingerprint covers config.json and the weight files;
the tokenizer is left out because a run stores its token ids.

Hashing reads every byte, which takes seconds for a large model and must not happen on the device thread. A file's hash
is therefore remembered while its size, inode and time of change stay the same: whoever is about to load a folder calls
`fingerprint_folder` in a thread of its own, and the load itself then finds the answer here.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from loupe.engine.models.weights import refuse_pickle, weight_files

if TYPE_CHECKING:
    from torch import nn


_SETTLED_NS = 2_000_000_000  # a file changed a moment ago may change again within the clock's grain
_known: dict[tuple[str, int, int, int], str] = {}


def file_sha256(file: Path) -> str:
    """The sha256 of a file's bytes, in hex; remembered while the file is untouched. Raises UnsafeFile for a pickle."""
    refuse_pickle(file)
    with file.open("rb") as stream:
        about = os.fstat(stream.fileno())
        key = (str(file.resolve()), about.st_size, about.st_mtime_ns, about.st_ino)
        if key not in _known or time.time_ns() - about.st_mtime_ns < _SETTLED_NS:
            _known[key] = hashlib.file_digest(stream, "sha256").hexdigest()
        return _known[key]


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
