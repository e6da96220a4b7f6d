"""How much memory a model will take, told from its files before anything is loaded.

Weights are counted from the safetensors headers: exact for the dtypes that are stored as they are, and for int8 and nf4
an estimate (matrices shrink, embeddings and norms stay). Keys and values are counted from the config.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loupe.engine.models.weights import check_safetensors, read_json, weight_files

_STORED = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0, "nf4": 0.5625}  # nf4: half a byte and its block scales
_KEPT = {"int8": 2.0, "nf4": 2.0}  # what quantising leaves alone stays in half precision


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters, and bytes in memory at the dtype that was asked for; `exact` unless a matrix is quantised."""

    parameters: int
    bytes: int
    exact: bool


def folder_size(folder: Path, dtype: str = "auto", device: str = "") -> Size:
    """Of a model folder, or of an adapter folder; "auto" is what it comes to on the device, unset as stored.

    Raises UnsafeFile, UnknownFormat, CorruptFile.
    """
    headers = _headers(folder)
    return tensors_size(headers, _come_to(dtype, headers, device))


def settled_dtype(dtype: str, folder: Path, device: str) -> str:
    """What "auto" comes to on a device: as stored, except that a CPU computes fp16 in fp32.

    A CPU multiplies fp16 several times slower than fp32. Raises as `folder_size`.
    """
    return _come_to(dtype, _headers(folder), device)


def _headers(folder: Path) -> list[dict[str, Any]]:
    adapter, head = folder / "adapter_model.safetensors", folder / "value_head.safetensors"
    files = [adapter] if adapter.is_file() else weight_files(folder)
    return [check_safetensors(file) for file in [*files, *([head] if head.is_file() else [])]]


def _come_to(dtype: str, headers: Iterable[dict[str, Any]], device: str) -> str:
    if dtype != "auto" or not device.startswith("cpu"):
        return dtype
    halves = {entry["dtype"] for header in headers for name, entry in header.items() if name != "__metadata__"}
    return "fp32" if "F16" in halves and "BF16" not in halves else dtype


def tensors_size(headers: Iterable[dict[str, Any]], dtype: str = "auto") -> Size:
    """Of the tensors that safetensors headers announce."""
    parameters, total = 0, 0.0
    for header in headers:
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            count = math.prod(entry["shape"])
            parameters += count
            total += count * _bytes_each(name, entry, dtype)
    return Size(parameters, math.ceil(total), dtype not in _KEPT)


def _bytes_each(name: str, entry: dict[str, Any], dtype: str) -> float:
    stored = _STORED.get(entry["dtype"], 1)
    if dtype == "auto" or entry["dtype"] not in _FLOATS:
        return stored
    is_matrix = len(entry["shape"]) == 2 and not any(part in name for part in ("embed", "wte", "lm_head"))
    return _BYTES[dtype] if is_matrix else _KEPT.get(dtype, _BYTES[dtype])


def cache_bytes_per_token(config: dict[str, Any], bytes_each: int = 2) -> int | None:
    """Keys and values of one token in all layers, from a config.json; None where it does not say."""
    text = config.get("text_config") or config
    layers = text.get("num_hidden_layers") or text.get("n_layer")
    heads = text.get("num_attention_heads") or text.get("n_head")
    width = text.get("hidden_size") or text.get("n_embd")
    if not layers or not heads or not width:
        return None
    head = text.get("head_dim") or width // heads
    return 2 * layers * (text.get("num_key_value_heads") or heads) * head * bytes_each


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder, raw. Raises UnknownFormat, CorruptFile."""
    return read_json(folder / "config.json")
