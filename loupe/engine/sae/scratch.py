"""Memory that kernels work in, each thread its own, kept from call to call because it is dear to get afresh."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

VECTOR = 64  # floats in four 512-bit registers: the stride of an unrolled loop

_local = threading.local()


def scratch(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """This thread's memory of that name; what lies in it is of no use."""
    kept: dict[str, Tensor] = _local.__dict__.setdefault("kept", {})
    found = kept.get(name)
    if found is None or found.shape != shape or found.dtype != dtype:
        found = kept[name] = torch.empty(shape, dtype=dtype)
    return found
