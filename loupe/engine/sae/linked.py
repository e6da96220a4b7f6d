"""The kernels of `compiled` as a shared library: linked once, so that training needs no compiler in memory.

Numba keeps what it compiled, but needs all of itself and of LLVM to load it again: 110 MiB and most of a second in
every process. A linker makes of the same code a library that any process just opens. It is made beside the server
(`warming`), per source, processor and version of numba; where there is no linker, `kernels` are numba's own. Either way
they are the same code: results are the same bits.

A function of the library follows numba's calling convention: where to put the result, where an exception, then the
arguments, an array as (owner, owner, size, item size, address, lengths, strides).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

SOURCES = (Path(__file__).with_name("compiled.py"), Path(__file__))
ELEMENTS = {"f": np.dtype(np.float32), "i": np.dtype(np.int32), "l": np.dtype(np.int64)}
BITS = (np.dtype(np.int16), np.dtype(np.int32))
RESULTS = {"none": ctypes.c_void_p, "float64": ctypes.c_double, "int32": ctypes.c_int32, "int64": ctypes.c_int64}
# What numba's reference counting would call for an array of its own; these arrays belong to Python.
NO_OWNER = "define void @NRT_MemInfo_call_dtor(ptr %owner) {\n ret void\n}"


class Kernel:
    """A function of the library. Raises TypeError for arguments of another kind than it was compiled for."""

    def __init__(self, function: Any, signature: list[str], result: str) -> None:
        self._arrays = [(np.dtype(code[:-1]), int(code[-1])) if len(code) > 1 else None for code in signature]
        self._result, self._function = RESULTS[result], function
        kinds: list[Any] = [ctypes.c_void_p, ctypes.c_void_p]
        for code, array in zip(signature, self._arrays, strict=True):
            kinds += [ctypes.c_float if code == "f" else ctypes.c_int64] if array is None else _array(array[1])
        function.argtypes, function.restype = kinds, ctypes.c_int32

    def __call__(self, *args: Any) -> Any:
        result, failure, flat = self._result(), ctypes.c_void_p(), []
        for array, given in zip(self._arrays, _leaves(args), strict=True):
            if array is None:
                flat.append(given)
                continue
            if (given.dtype, given.ndim) != array or not given.flags.c_contiguous:
                raise TypeError(f"A kernel was given {given.dtype} {given.shape} where it takes {array}, row by row.")
            address = given.__array_interface__["data"][0]
            flat += (None, None, given.size, given.itemsize, address, *given.shape, *given.strides)
        if self._function(ctypes.byref(result), ctypes.byref(failure), *flat):
            raise RuntimeError("A compiled kernel failed.")
        return None if self._result is ctypes.c_void_p else result.value


def _array(dimensions: int) -> list[Any]:
    return [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p] + [
        ctypes.c_int64
    ] * 2 * dimensions


def _leaves(args: tuple[Any, ...]) -> Iterator[Any]:
    for arg in args:
        if isinstance(arg, tuple):
            yield from _leaves(arg)
        else:
            yield arg


class _Kernels:
    """`kernels.name`: from the library where it is there, else numba's. Those for pre-activations go by their width."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found = _opened(name)
        if found is None:
            from loupe.engine.sae import compiled

            found = getattr(compiled, name)
        setattr(self, name, found)
        return found


kernels = _Kernels()


def is_linked() -> bool:
    """Whether this installation's library lies ready."""
    return _place().with_suffix(".json").is_file()


def can_link() -> bool:
    """Whether a library can be made here, and nobody failed at it."""
    return sys.platform == "linux" and _linker() is not None and not _place().with_suffix(".failed").exists()


def _opened(name: str) -> Callable[..., Any] | None:
    place = _place()
    try:
        told = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))[name]
        library = ctypes.CDLL(str(place))
    except (OSError, KeyError, ValueError):
        return None
    by_width = {each["width"]: Kernel(library[each["symbol"]], each["signature"], each["result"]) for each in told}
    return by_width[0] if 0 in by_width else lambda bits, *rest: by_width[bits.itemsize](bits, *rest)


def link() -> bool:
    """Compile every kernel, for pre-activations of both widths, and link them; imports the compiler. False: failed."""
    from loupe.engine.sae import compiled

    place, linker = _place(), _linker()
    assert linker is not None
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        told: dict[str, list[dict[str, Any]]] = {}
        files = []
        for name, signature in compiled.SIGNATURES.items():
            for bits in BITS if "b" in signature else BITS[:1]:
                codes = [_written(code, bits) for code in signature.split()]
                files.append(str(Path(folder) / f"{name}{bits.itemsize}.o"))
                symbol, result = _compiled(getattr(compiled, name).py_func, codes, Path(files[-1]))
                facts = {"symbol": symbol, "result": result, "width": bits.itemsize if "b" in signature else 0}
                told.setdefault(name, []).append(facts | {"signature": [each for each in codes if each not in "()"]})
        library = Path(folder) / place.name
        command = [linker, "-shared", "-z", "noexecstack", "-o", str(library), *files]
        if subprocess.run(command, capture_output=True).returncode:  # noqa: S603 - the system's linker, our files
            place.with_suffix(".failed").touch()
            return False
        for older in place.parent.glob("kernels-*"):
            older.unlink(missing_ok=True)
        library.replace(place)
        (Path(folder) / "told.json").write_text(json.dumps(told), encoding="utf-8")
        (Path(folder) / "told.json").replace(place.with_suffix(".json"))
    return True


def _written(code: str, bits: np.dtype) -> str:
    """A code with its element as NumPy writes it: `<f42` is an array of float32 with two dimensions."""
    if len(code) == 1:
        return code
    return (bits if code[0] == "b" else ELEMENTS[code[0]]).str + code[1]


def _compiled(function: Any, codes: list[str], file: Path) -> tuple[str, str]:
    """Write an object file with one kernel; its symbol and what it returns."""
    import llvmlite.binding as llvm
    import numba

    from loupe.engine.sae.compiled import OPTIONS

    options: Any = OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    jitted = numba.njit(**options)(function)
    jitted.compile(_types(numba, iter(codes)))
    (found,) = jitted.overloads.values()
    symbol = found.fndesc.llvm_func_name
    module = llvm.parse_assembly(str(found.library._final_module))
    module.link_in(llvm.parse_assembly(NO_OWNER))
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration and each.name != symbol:
            each.linkage = "internal"
    triple, processor, features = found.library._codegen.magic_tuple()
    target = llvm.Target.from_triple(triple)
    machine = target.create_target_machine(processor, features, opt=3, reloc="pic", codemodel="default")
    unused = llvm.create_new_module_pass_manager()
    unused.add_global_dead_code_eliminate_pass()
    unused.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    file.write_bytes(machine.emit_object(module))
    return symbol, str(found.fndesc.restype)


def _types(numba: Any, codes: Iterator[str]) -> tuple[Any, ...]:
    """Numba's types of codes, up to the bracket that closes."""
    found = []
    for code in codes:
        if code == ")":
            break
        if code == "(":
            found.append(numba.types.Tuple(_types(numba, codes)))
        elif code in "nf":
            found.append(numba.int64 if code == "n" else numba.float32)
        else:
            found.append(numba.types.Array(numba.from_dtype(np.dtype(code[:-1])), int(code[-1]), "C"))
    return tuple(found)


@functools.cache
def _place() -> Path:
    """The library's file, its description and the note of a failure beside it, whether they exist or not."""
    facts = [importlib.metadata.version("numba"), platform.machine(), _processor()]
    digest = hashlib.sha256(b"".join([*(source.read_bytes() for source in SOURCES), repr(facts).encode()]))
    folder = Path(__file__).with_name("__pycache__")
    if not os.access(folder if folder.exists() else folder.parent, os.W_OK):
        folder = platformdirs.user_cache_path("loupe")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"kernels-{digest.hexdigest()[:16]}.so"


def _processor() -> str:
    """What this processor can do, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return " ".join(
        sorted({line for line in lines if line.split(":")[0].strip() in ("flags", "Features", "model name")})
    )


def _linker() -> str | None:
    return next((found for name in ("ld", "ld.lld", "gold") if (found := shutil.which(name))), None)
