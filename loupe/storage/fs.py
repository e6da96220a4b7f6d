"""Every effect on the file system goes through here: one seam, so that tests can make any single write fail.

`FileSystem` has the primitives (a subclass in the tests counts them and fails the Nth); the functions below compose
them. A file is durable once it is synced *and* the directory that names it is.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loupe.storage.errors import StoreFailed, StoreFull

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
CHUNK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}


class FileSystem:
    """The primitives with an effect. All raise OSError."""

    def open(self, path: Path, flags: int) -> int:
        """A file descriptor; new files are readable by the owner alone."""
        return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)

    def write(self, fd: int, data: memoryview) -> int:
        """Write some of the data and say how much."""
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """Wait until what was written is on the disk."""
        os.fsync(fd)

    def make_dir(self, path: Path) -> None:
        """Create one directory; it may exist."""
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)

    def rename(self, source: Path, target: Path) -> None:
        """Move within the file system, at once; an existing file is replaced."""
        source.replace(target)

    def remove_file(self, path: Path) -> None:
        """Remove a file that may be gone already."""
        path.unlink(missing_ok=True)

    def remove_tree(self, path: Path) -> None:
        """Remove a directory with everything in it; links are removed, not followed."""
        shutil.rmtree(path)

    def free_bytes(self, path: Path) -> int:
        """Bytes that may still be written where `path` is."""
        return shutil.disk_usage(path).free


REAL = FileSystem()


def write_file(fs: FileSystem, path: Path, chunks: Iterable[bytes]) -> int:
    """Write a new file in full and sync it; returns its size. A short write is continued, an existing file refused."""
    fd = fs.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        size = sum(write_all(fs, fd, chunk) for chunk in chunks)
        fs.sync(fd)
    finally:
        os.close(fd)
    return size


def write_all(fs: FileSystem, fd: int, chunk: bytes) -> int:
    """Write all of it, however little the kernel takes at a time; returns its size."""
    view = memoryview(chunk)
    while view:
        view = view[fs.write(fd, view) :]
    return len(chunk)


def sync_path(fs: FileSystem, path: Path) -> None:
    """Sync a file or a directory that was written by somebody else."""
    fd = fs.open(path, os.O_RDONLY)
    try:
        fs.sync(fd)
    finally:
        os.close(fd)


def replace_file(fs: FileSystem, path: Path, data: bytes) -> None:
    """Give a file new contents such that a reader, or a crash, finds either the old or the new ones."""
    aside = path.with_name(path.name + ".new")
    fs.remove_file(aside)
    write_file(fs, aside, [data])
    fs.rename(aside, path)
    sync_path(fs, path.parent)


def copy_file(fs: FileSystem, source: Path, target: Path) -> int:
    """Copy a file's bytes to a new, synced file."""
    with source.open("rb") as file:
        return write_file(fs, target, iter(lambda: file.read(CHUNK), b""))


def regular_files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, sorted by path. A link, socket or device is refused: ValueError."""
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield path
        elif not stat.S_ISDIR(mode):
            raise ValueError(f"{path} is neither a file nor a directory")


def is_full(error: BaseException) -> bool:
    """Whether the disk is full or a quota is used up; libraries that are not written in Python say it in words."""
    return (isinstance(error, OSError) and error.errno in _FULL) or "no space left on device" in str(error).lower()


@contextmanager
def translated(what: str, where: Path, needed: int | None = None) -> Iterator[None]:
    """Turn an OSError into StoreFull (with the bytes `needed`, where known) or StoreFailed, saying what failed."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            size = "" if needed is None else f" ({needed} bytes)"
            raise StoreFull(
                f"There was no space left at {where} to {what}{size}. Free some space there and try again; "
                "nothing that was complete has been lost.",
                needed=needed,
            ) from error
        raise StoreFailed(f"The file system at {where} refused to {what}: {error.strerror or error}.") from error
