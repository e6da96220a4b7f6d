"""Pickled checkpoints into safetensors: looked at, consented to, opened by a process that can do nothing else, named.

Whoever calls gets a `Source` first (which file, which sha256), shows it, and calls `convert` with the sha256 that was
agreed to. The file stays open in between and is handed on as it is, so nothing else can take its place. The child
writes into a hidden folder beside the target; what it wrote is checked as if a stranger had sent it, synced and only
then renamed, the tensors last: a `NAME.safetensors` that exists is whole.
"""

import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from loupe.app.errors import Conflict, ConsentMissing, NotFound
from loupe.app.opening.child import REPORT, TENSORS, Order
from loupe.app.services.system import version
from loupe.engine.errors import CorruptFile, LoupeError, UnknownFormat, UnsafeFile
from loupe.engine.models.containers import check_convertible
from loupe.engine.models.weights import check_safetensors
from loupe.storage.errors import StoreFull
from loupe.storage.fs import REAL, FileSystem, sync_path, translated, write_file

log = logging.getLogger(__name__)
LARGEST_REPORT = 64 << 20
_START = "import sys; sys.path.append(sys.argv[1]); from loupe.app.opening.child import main; main()"
_KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL")
_ERRORS: dict[str, type[LoupeError]] = {each.code: each for each in (UnsafeFile, CorruptFile, UnknownFormat)}
OnProgress = Callable[[float, float | None], None]


@dataclass(frozen=True, slots=True)
class Source:
    """A file to convert, open, with what a person must see before agreeing."""

    path: Path
    sha256: str
    size_bytes: int
    file: BufferedReader


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written: the tensors, the sidecar beside them and its contents; `walls` held the process in."""

    weights: Path
    sidecar: Path
    contents: dict[str, Any]
    walls: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "weights": str(self.weights),
            "sidecar": str(self.sidecar),
            "walls": list(self.walls),
            **{name: self.contents[name] for name in ("source", "tensors", "prefix", "notes")},
        }


class _Tensors(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int
    parameters: int
    dtypes: dict[str, int]


class _Error(BaseModel):
    model_config = ConfigDict(extra="forbid")
    code: str
    message: str


class _Report(BaseModel):
    """What the child says, believed only in shape."""

    model_config = ConfigDict(extra="forbid")
    walls: tuple[str, ...]
    error: _Error | None = None
    tensors: _Tensors | None = None
    prefix: str = ""
    values: Any = None
    notes: tuple[str, ...] = ()


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """A checkpoint and its sha256, open for as long as the block lasts.

    Raises NotFound, BadInput (nothing to convert), UnsafeFile (arrays of objects), CorruptFile (cut off).
    """
    if not path.is_file():
        raise NotFound(f"{path} is not a file. Name the checkpoint itself, such as pytorch_model.bin.")
    with path.open("rb") as file:
        check_convertible(file, str(path))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        yield Source(path, digest, path.stat().st_size, file)


def targets(source: Path, folder: Path, *, force: bool) -> tuple[Path, Path]:
    """Where tensors and sidecar of a file go. Raises Conflict when one is there and may not be replaced."""
    named = folder / f"{source.stem}.safetensors", folder / f"{source.stem}.json"
    if there := [each for each in named if each.exists() or each.is_symlink()]:
        if not force:
            raise Conflict(f"{there[0]} exists already. --force replaces it; --to names another folder.")
        if unfit := [each for each in there if not each.is_file()]:
            raise Conflict(f"{unfit[0]} exists and is not a file.")
    return named


def convert(
    source: Source,
    folder: Path,
    *,
    consent: str,
    force: bool = False,
    on_progress: OnProgress = lambda done, total: None,
    fs: FileSystem = REAL,
) -> Converted:
    """Write `NAME.safetensors` and `NAME.json` into a folder. `on_progress`: bytes written, and roughly how many.

    Raises ConsentMissing, Conflict, NotFound, UnsafeFile, CorruptFile, UnknownFormat, StoreFull, StoreFailed.
    """
    if consent.strip().lower() != source.sha256:
        raise ConsentMissing(
            f"The consent is for the sha256 {consent.strip()}, but that of {source.path} is {source.sha256}."
        )
    if not folder.is_dir():
        raise NotFound(f"{folder} is not a folder to write to.")
    targets(source.path, folder, force=force)
    with translated("convert a checkpoint", folder, source.size_bytes):
        aside = Path(tempfile.mkdtemp(prefix=".loupe-convert-", dir=folder)).resolve()
        try:
            report = _open_apart(source, aside, on_progress)
            return _named(source, folder, aside, report, force=force, fs=fs)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _open_apart(source: Source, aside: Path, on_progress: OnProgress) -> _Report:
    cpu_seconds = 120 + source.size_bytes // 10**7
    order = Order(str(aside), source.sha256, source.size_bytes, cpu_seconds)
    package_root = Path(__file__).parents[3]
    command = [sys.executable, "-I", "-B", "-c", _START, str(package_root), json.dumps(asdict(order))]
    source.file.seek(0)
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and code, no shell
            command, stdin=source.file, stdout=subprocess.DEVNULL, stderr=said, env=_environment(), cwd=aside
        )
        try:
            _wait(child, time.monotonic() + 10 * cpu_seconds, aside, source.size_bytes, on_progress)
        finally:
            child.kill()
            child.wait()
        said.seek(max(0, said.seek(0, os.SEEK_END) - 2000))
        log.debug("the process that opened a checkpoint ended", extra={"fields": {"stderr": repr(said.read())}})
    return _read_report(source, aside / REPORT, child.returncode)


def _environment() -> dict[str, str]:
    """Nothing of ours: no key, token or proxy is in the environment of a process that opens a stranger's file."""
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def _wait(child: subprocess.Popen[bytes], deadline: float, aside: Path, roughly: int, on_progress: OnProgress) -> None:
    while time.monotonic() < deadline:
        try:
            child.wait(timeout=0.1)
            return
        except subprocess.TimeoutExpired:
            written = aside / TENSORS
            on_progress(written.stat().st_size if written.exists() else 0, roughly)


def _read_report(source: Source, file: Path, exit_status: int) -> _Report:
    try:
        if file.is_symlink() or file.stat().st_size > LARGEST_REPORT:
            raise CorruptFile(f"{source.path}: it holds too much besides tensors. Nothing was written.")
        report = _Report.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise CorruptFile(f"{source.path}: {_ended(exit_status)} Nothing was written.") from error
    if report.error is None:
        return report
    if report.error.code == StoreFull.code:
        raise StoreFull(f"There was no space left to convert {source.path}. Free some and try again.")
    raise _ERRORS.get(report.error.code, CorruptFile)(f"{source.path}: {report.error.message} Nothing was written.")


def _ended(exit_status: int) -> str:
    if exit_status < 0 and -exit_status in (signal.SIGKILL, getattr(signal, "SIGXCPU", 0)):
        return "opening it took longer, or more memory, than a checkpoint of its size can need."
    return f"the process that opened it ended without a result (status {exit_status})."


def _named(source: Source, folder: Path, aside: Path, report: _Report, *, force: bool, fs: FileSystem) -> Converted:
    tensors = aside / TENSORS
    if report.tensors is None or tensors.is_symlink() or not tensors.is_file():
        raise CorruptFile(f"{source.path}: the process that opened it wrote no tensors.")
    header = check_safetensors(tensors)
    if len(header.keys() - {"__metadata__"}) != report.tensors.count:
        raise CorruptFile(f"{source.path}: the process that opened it reported other tensors than it wrote.")
    weights, sidecar = targets(source.path, folder, force=force)
    contents = _sidecar(source, weights, tensors, report)
    described = aside / "sidecar.json"
    write_file(fs, described, [json.dumps(contents, indent=2).encode() + b"\n"])
    sync_path(fs, tensors)
    fs.rename(described, sidecar)
    fs.rename(tensors, weights)
    sync_path(fs, folder)
    return Converted(weights, sidecar, contents, report.walls)


def _sidecar(source: Source, weights: Path, tensors: Path, report: _Report) -> dict[str, Any]:
    assert report.tensors is not None
    with tensors.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "format": "loupe-converted",
        "version": 1,
        "source": {"file": source.path.name, "sha256": source.sha256, "size_bytes": source.size_bytes},
        "weights": {"file": weights.name, "sha256": digest, "size_bytes": tensors.stat().st_size},
        "tensors": report.tensors.model_dump(),
        "prefix": report.prefix,
        "values": report.values,
        "notes": list(report.notes),
        "loupe": version(),
    }
