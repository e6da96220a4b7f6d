"""What kind of file somebody wants converted, judged by its first bytes and its table of contents, never opened.

`loupe convert` is for PyTorch checkpoints: a zip archive, or the bare pickle of older versions. Everything else that
looks similar is told apart here: safetensors and plain numpy files need no conversion, a numpy file with object arrays
is a pickle in disguise, and a zip archive without its table of contents (which stands at the end) was cut off.
"""

from __future__ import annotations

import ast
import os
import zipfile
from io import BufferedReader, BytesIO

import numpy as np

from loupe.engine.errors import BadInput, CorruptFile, UnsafeFile

_ZIP, _NPY = b"PK\x03\x04", b"\x93NUMPY"
_LONGEST_HEADER = 1 << 16


def check_convertible(stream: BufferedReader | BytesIO, name: str) -> None:
    """Whether a file may be a PyTorch checkpoint; `stream` is read here and there, and left at its start.

    Raises BadInput (safetensors or plain numpy: nothing to convert), UnsafeFile (object arrays), CorruptFile (cut off).
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(16)
    stream.seek(0)
    if size < len(_ZIP):
        raise CorruptFile(f"{name} has {size} bytes: that is no checkpoint. Download it again.")
    if head.startswith(_ZIP):
        _check_archive(stream, name)
    elif head.startswith(_NPY):
        _refuse_numpy(name, has_objects=_has_objects(stream.read(_LONGEST_HEADER), name))
    elif head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        raise BadInput(f"{name} is safetensors already, whatever its name ends in: there is nothing to convert.")
    stream.seek(0)


def _check_archive(stream: BufferedReader | BytesIO, name: str) -> None:
    try:
        with zipfile.ZipFile(stream) as archive:
            arrays = [each for each in archive.namelist() if each.endswith(".npy")]
            if arrays and len(arrays) == len(archive.namelist()):
                _refuse_numpy(name, has_objects=any(_member_has_objects(archive, each, name) for each in arrays))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise CorruptFile(f"{name} is a damaged or cut-off archive ({error}): download it again.") from error


def _member_has_objects(archive: zipfile.ZipFile, member: str, name: str) -> bool:
    with archive.open(member) as stream:
        return _has_objects(stream.read(_LONGEST_HEADER), f"{name}/{member}")


def _has_objects(start: bytes, name: str) -> bool:
    """Whether an array's header (magic, version, length, a Python literal) announces Python objects."""
    begin = 10 if start[6:7] == b"\x01" else 12
    length = int.from_bytes(start[8:begin], "little")
    try:
        header = ast.literal_eval(start[begin : begin + length].decode("utf-8").strip())
        return np.lib.format.descr_to_dtype(header["descr"]).hasobject
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise CorruptFile(f"{name} has no readable array header: download it again.") from error


def _refuse_numpy(name: str, *, has_objects: bool) -> None:
    if has_objects:
        raise UnsafeFile(
            f"{name} holds arrays of Python objects, which are pickles of anything at all. Loupe does not open them, "
            "and does not convert them either: save it again with plain numbers."
        )
    raise BadInput(f"{name} is a plain numpy file: no pickle is in it, and there is nothing to convert.")
