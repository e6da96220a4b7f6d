"""Open one checkpoint, write its tensors, report, end. Runs in a fresh isolated interpreter with walls around it.

The open file comes as standard input, so its name means nothing here and nobody can put another in its place. Into the
given folder go `tensors.safetensors` and `report.json` (what was found, or what went wrong). The parent believes none
of it: it checks both before anything gets a name.
"""

import hashlib
import json
import logging
import os
import re
import sys
import warnings
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

TENSORS, REPORT = "tensors.safetensors", "report.json"
GROWTH, ROOM = 4, 64 << 20  # the tensors of a file may be four times its size: shared ones are written in full
SPARE_MEMORY = 2 << 30


@dataclass(frozen=True, slots=True)
class Order:
    """What the parent asks for: the folder to write to, the sha256 and size that were consented to, a time limit."""

    folder: str
    sha256: str
    size_bytes: int
    cpu_seconds: int


def main() -> None:
    """Carry out the order in the last argument (JSON)."""
    order = Order(**json.loads(sys.argv[-1]))
    folder = Path(order.folder)
    from loupe.app.opening.kernel import raise_kernel_walls

    walls = raise_kernel_walls(folder)  # before torch, which may start threads
    import torch

    from loupe.app.opening.walls import limit_resources, raise_python_walls
    from loupe.engine.models import convert  # noqa: F401 - imports are done before the walls are closed
    from loupe.storage import fs  # noqa: F401 - the same

    torch.set_num_threads(1)
    logging.disable()
    warnings.simplefilter("ignore")
    most = GROWTH * order.size_bytes + ROOM
    memory = 3 * order.size_bytes + SPARE_MEMORY
    limit_resources(memory_bytes=memory, cpu_seconds=order.cpu_seconds, file_bytes=most)
    attempts = raise_python_walls(folder)
    report = _report(order, folder, attempts)
    _write(folder / REPORT, [json.dumps(report | {"walls": [*walls, "audit_hook"]}).encode()])
    os._exit(0)  # no exit handler of anybody runs


def _report(order: Order, folder: Path, attempts: list[str]) -> dict[str, Any]:
    try:
        found = _convert(order, folder)
        if attempts:
            raise PermissionError
    except BaseException as error:  # whatever a stranger's file brings about, the parent reads it in the report
        return {"error": _explained(error, attempts)}
    return found


def _convert(order: Order, folder: Path) -> dict[str, Any]:
    import torch

    from loupe.engine.errors import CorruptFile
    from loupe.engine.models.convert import encode, flatten

    with open(0, "rb", closefd=False) as file:
        if _sha256(file) != order.sha256:
            raise CorruptFile("The file changed after it was looked at. Run the command again.")
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    checkpoint = flatten(loaded)
    if checkpoint.size_bytes > GROWTH * order.size_bytes + ROOM // 2:
        raise CorruptFile(f"A file of {order.size_bytes} bytes cannot hold {checkpoint.size_bytes} bytes of tensors.")
    _write(folder / TENSORS, encode(checkpoint.tensors))
    return {
        "tensors": checkpoint.summary(),
        "prefix": checkpoint.prefix,
        "values": checkpoint.values,
        "notes": list(checkpoint.notes),
    }


def _explained(error: BaseException, attempts: list[str]) -> dict[str, str]:
    """An error as code and sentence; torch has no exceptions of its own for what can be wrong with a file."""
    from loupe.engine.errors import LoupeError
    from loupe.storage.fs import is_full

    text = str(error)
    forbidden = re.search(r"GLOBAL ([\w.]+)", text)
    if attempts:
        return _told(
            "unsafe_file", f"While it was opened, the file tried to do this: {', '.join(sorted(set(attempts)))}."
        )
    if isinstance(error, LoupeError):
        return _told(error.code, text)
    if is_full(error):
        return _told("store_full", "There was no space left.")
    if isinstance(error, MemoryError) or "alloc" in text.lower():
        return _told("corrupt_file", "It needs far more memory than a checkpoint of its size.")
    if forbidden:
        return _told("unsafe_file", f"It contains {forbidden[1]}, which is neither a tensor nor plain data.")
    if "Unsupported operand" in text or "magic number" in text:
        return _told("unknown_format", "It is no PyTorch checkpoint.")
    if "weights_only" in text or "Weights only" in text:
        return _told("unsafe_file", "It is more than weights (a whole program, or objects that are not tensors).")
    return _told("corrupt_file", f"It is no whole PyTorch checkpoint ({type(error).__name__}): download it again.")


def _told(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}


def _sha256(file: BufferedReader) -> str:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def _write(path: Path, chunks: Any) -> None:
    from loupe.storage.fs import REAL, write_file

    write_file(REAL, path, chunks)
