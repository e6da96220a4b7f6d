"""What an unpickled checkpoint holds, as named tensors and plain values, and the tensors as a safetensors file.

Nothing is opened or written here. `flatten` walks what `torch.load(weights_only=True)` returned: dictionaries, lists
and tensors in any nesting, with configuration beside them. A tensor's name is its path, joined by dots; one outer
dictionary with a usual name (`state_dict`, `model`, ...) around all tensors is taken off and remembered as `prefix`.
`encode` streams the file a tensor at a time, so that no second copy of the weights is ever in memory.

A pickle may share: one storage under many names, a dictionary inside itself, views with strides. safetensors has none
of it. Each tensor is written in full, and `notes` say what changed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from loupe.engine.errors import CorruptFile, UnknownFormat

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "network", "weights")
DEEPEST = 64
MOST_ENTRIES = 1_000_000
_CHUNK = 16 << 20
_NOTHING = object()
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint without its pickle: `tensors` by name, other `values` as JSON knows them, and what was changed."""

    tensors: dict[str, Tensor]
    values: Any
    prefix: str
    notes: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors, each written in full."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def summary(self) -> dict[str, Any]:
        """Number of tensors and parameters, and tensors by dtype."""
        dtypes = Counter(str(tensor.dtype).removeprefix("torch.") for tensor in self.tensors.values())
        parameters = sum(tensor.numel() for tensor in self.tensors.values())
        return {"count": len(self.tensors), "parameters": parameters, "dtypes": dict(sorted(dtypes.items()))}


def flatten(loaded: object) -> Checkpoint:
    """Tensors and plain values of a loaded checkpoint.

    Raises UnknownFormat (no tensor, a sparse or quantised one, two with one name), CorruptFile (nested without end).
    """
    walk = _Walk()
    values = walk.visit(loaded, ())
    if not walk.tensors:
        raise UnknownFormat("The file holds no tensor, so there are no weights to convert.")
    prefix = _wrapper(list(walk.tensors))
    tensors: dict[str, Tensor] = {}
    for path, tensor in walk.tensors.items():
        name = ".".join(path[len(prefix) :]) or "tensor"
        if name in tensors:
            raise UnknownFormat(f"Two tensors of the file would both be named {name!r}.")
        tensors[name] = _checked(name, tensor)
    notes = (*walk.notes, *_sharing(tensors), *_strides(tensors))
    return Checkpoint(tensors, {} if values is _NOTHING else values, ".".join(prefix), notes)


def encode(tensors: Mapping[str, Tensor]) -> Iterator[bytes]:
    """A safetensors file in pieces: eight bytes of length, the header as JSON, the tensors, widest dtypes first."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    raw += b" " * (-len(raw) % 8)
    yield len(raw).to_bytes(8, "little") + raw
    for _, tensor in ordered:
        yield from _bytes_of(tensor)


@dataclass(slots=True)
class _Walk:
    """One walk over a loaded object: tensors by path so far, notes, and how many entries were seen."""

    tensors: dict[tuple[str, ...], Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    entries: int = 0

    def visit(self, value: object, path: tuple[str, ...]) -> Any:
        """The plain part of a value; its tensors are collected. `_NOTHING` where only tensors were."""
        self.entries += 1
        if len(path) > DEEPEST or self.entries > MOST_ENTRIES:
            raise CorruptFile(f"The file nests deeper than {DEEPEST} levels or has over {MOST_ENTRIES} entries.")
        if isinstance(value, Tensor):
            self.tensors[path] = value
            return _NOTHING
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, list | tuple | set | frozenset):
            return self._sequence(list(value), path)
        return self._plain(value, path)

    def _mapping(self, value: Mapping[Any, Any], path: tuple[str, ...]) -> Any:
        if len({str(key) for key in value}) < len(value):
            raise UnknownFormat(f"Two keys at {_shown(path)} read the same, such as 0 and '0'.")
        kept = {str(key): self.visit(each, (*path, str(key))) for key, each in value.items()}
        plain = {key: each for key, each in kept.items() if each is not _NOTHING}
        return plain if plain or not kept else _NOTHING

    def _sequence(self, value: list[Any], path: tuple[str, ...]) -> Any:
        kept = [self.visit(each, (*path, str(index))) for index, each in enumerate(value)]
        if kept and all(each is _NOTHING for each in kept):
            return _NOTHING
        return [None if each is _NOTHING else each for each in kept]  # a gap, so that indices stay what they were

    def _plain(self, value: object, path: tuple[str, ...]) -> Any:
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, torch.dtype | torch.device | complex):
            return str(value)
        self.notes.append(f"{_shown(path)}: a {type(value).__name__} is neither tensor nor plain value; left out.")
        return _NOTHING


def _wrapper(paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The usual outer names that all paths share, such as ("state_dict",)."""
    depth = 0
    while all(len(path) > depth + 1 and path[depth] in WRAPPERS and path[depth] == paths[0][depth] for path in paths):
        depth += 1
    return paths[0][:depth]


def _checked(name: str, tensor: Tensor) -> Tensor:
    if name == "__metadata__" or not name.isprintable():
        raise UnknownFormat(f"A safetensors file cannot name a tensor {name!r}.")
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise UnknownFormat(f"{name} is a sparse, quantised or empty-shelled tensor; save it dense and try again.")
    if tensor.dtype not in _DTYPES:
        raise UnknownFormat(f"{name} is of {tensor.dtype}, which safetensors does not have; save it in another dtype.")
    return tensor.detach().resolve_conj().resolve_neg()


def _sharing(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    groups: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.numel():
            groups.setdefault(tensor.untyped_storage().data_ptr(), []).append(name)
    for names in groups.values():
        if len(names) > 1:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"{', '.join(names[:3])}{more} shared memory; each is written in full."


def _strides(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    strided = [name for name, tensor in tensors.items() if not tensor.is_contiguous()]
    if strided:
        more = f" and {len(strided) - 3} more" if len(strided) > 3 else ""
        yield f"{', '.join(strided[:3])}{more} had strides; made contiguous."


def _bytes_of(tensor: Tensor) -> Iterator[bytes]:
    view = tensor.contiguous().flatten().view(torch.uint8).numpy().data
    for start in range(0, len(view), _CHUNK):
        yield bytes(view[start : start + _CHUNK])


def _shown(path: tuple[str, ...]) -> str:
    return ".".join(path) or "the top"
