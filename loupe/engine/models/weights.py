"""The weight files of a model folder, looked at before anything opens them.

Only safetensors are ever loaded. A folder is judged by names and headers alone, so that a pickle is refused and a
truncated file is found in milliseconds, whatever its size. Layout of a safetensors file: eight bytes of header length
(little endian), the header as JSON, then the data; the largest `data_offsets` entry is the length of the data.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loupe.engine.errors import CorruptFile, UnknownFormat, UnsafeFile

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers loads from a folder, shards included, each as long as it says it is.

    Raises UnsafeFile when the weights are pickles, UnknownFormat when there are none, CorruptFile when a shard is
    missing or a file is truncated.
    """
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        files = [single]
    elif index.is_file():
        files = _shards(index)
    else:
        raise no_weights(folder, single.name)
    for file in files:
        check_safetensors(file)
    return files


def check_safetensors(file: Path) -> dict[str, Any]:
    """The header of a safetensors file (tensor name to dtype, shape, offsets), once its length fits the file.

    Raises UnsafeFile for a pickle by name, CorruptFile when the file is truncated or is no safetensors file.
    """
    refuse_pickle(file)
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise CorruptFile(f"{file} is not a whole safetensors file: {size} bytes cannot hold its header.")
        header = _header(file, stream.read(length))
    data = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    if size != 8 + length + data:
        raise CorruptFile(f"{file} has {size} bytes and its header announces {8 + length + data}: download it again.")
    return header


def refuse_pickle(file: Path) -> None:
    """Raises UnsafeFile for a file whose name says pickle. Opening one can run any code it contains."""
    if file.suffix.lower() in _PICKLES:
        raise UnsafeFile(
            f"{file} is a pickle, and opening a pickle can run code. Only safetensors are loaded; "
            f"`loupe convert {file}` makes safetensors from it, after your consent."
        )


def no_weights(folder: Path, expected: str) -> UnknownFormat:
    """The error for a folder without its weight file; raises UnsafeFile when there is a pickle instead."""
    for file in sorted(folder.iterdir(), key=lambda file: ("model" not in file.name, file.name)):
        refuse_pickle(file)
    return UnknownFormat(f"{folder} holds no {expected}.")


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises UnknownFormat when it is missing, CorruptFile when it does not parse."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnknownFormat(f"{file.parent} has no {file.name}: expected a Hugging Face model folder.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CorruptFile(f"{file} is not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise CorruptFile(f"{file} holds a {type(value).__name__}, expected a JSON object.")
    return value


def _header(file: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw)
        for entry in (entry for name, entry in header.items() if name != "__metadata__"):
            assert isinstance(entry["data_offsets"][1], int) and isinstance(entry["dtype"], str)
            assert all(isinstance(extent, int) and extent >= 0 for extent in entry["shape"])
    except (ValueError, AttributeError, KeyError, IndexError, TypeError, AssertionError) as error:
        raise CorruptFile(f"{file} has no readable safetensors header.") from error
    return header


def _shards(index: Path) -> list[Path]:
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    files = [index.parent / name for name in names]
    if outside := [name for name in names if Path(name).name != name]:
        raise CorruptFile(f"{index} points outside its folder: {outside[0]!r}.")
    if missing := [file.name for file in files if not file.is_file()]:
        raise CorruptFile(f"{index} lists {len(files)} shards and {', '.join(missing)} is not there.")
    if not files:
        raise CorruptFile(f"{index} lists no shard.")
    return files
