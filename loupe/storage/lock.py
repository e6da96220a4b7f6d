"""One process per data directory: an advisory lock that the kernel drops when its holder dies, however it dies.

The lock is on an empty file that is never replaced. Beside it `holder.json` says who holds it, and, once a server is
up, at which URL and with which token the command line reaches it; the file is readable by the owner alone, like all
others here. A holder that was killed leaves the file behind, so it counts only while the lock is held.
"""

import errno
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from loupe.storage.errors import DataDirError, DataDirHeld, LockingUnsupported
from loupe.storage.fs import REAL, FileSystem, replace_file, translated
from loupe.storage.paths import DataDir

_HELD = {errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN}
_TRIES = 5  # somebody who only looks (`read_holder`) has the lock for microseconds
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that works in a data directory, and how to reach it when it serves."""

    pid: int
    url: str | None = None
    token: str | None = None


class DataDirLock:
    """Held from `acquire` to `release`, or for a `with` block."""

    def __init__(self, data_dir: DataDir, fs: FileSystem = REAL):
        self._data_dir = data_dir
        self._fs = fs
        self._fd: int | None = None

    def acquire(self) -> "DataDirLock":
        """Take the lock and write down who has it.

        Raises DataDirHeld with the holder's pid, or LockingUnsupported on a file system without locks.
        """
        assert self._fd is None, "this process already holds the lock"
        fd = _open(self._data_dir.lock)
        try:
            if not _try_lock(fd, fcntl.LOCK_EX, self._data_dir.path):
                raise _held(self._data_dir)
            self._fd = fd
            self.announce()
        except BaseException:  # whoever does not get the lock must not keep the file open: closing it lets go
            self._fd = None
            os.close(fd)
            raise
        return self

    def announce(self, url: str | None = None, token: str | None = None) -> None:
        """Write down how to reach this process; the command line reads it with `read_holder`."""
        assert self._fd is not None, "only the holder may announce itself"
        holder = Holder(os.getpid(), url, token)
        with translated("note who holds the data directory", self._data_dir.path):
            replace_file(self._fs, self._data_dir.holder, json.dumps(asdict(holder)).encode())

    def release(self) -> None:
        """Let go; harmless when not held."""
        if self._fd is None:
            return
        self._fs.remove_file(self._data_dir.holder)
        os.close(self._fd)
        self._fd = None

    def __enter__(self) -> "DataDirLock":
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def read_holder(data_dir: DataDir) -> Holder | None:
    """Who works in the data directory now; None when nobody does."""
    try:
        fd = os.open(data_dir.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        is_free = _try_lock(fd, fcntl.LOCK_SH, data_dir.path, tries=1)
    finally:
        os.close(fd)
    return None if is_free else _read(data_dir.holder)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataDirError(f"{path} cannot be opened: {error.strerror}.") from error


def _try_lock(fd: int, mode: int, where: Path, tries: int = _TRIES) -> bool:
    for attempt in range(tries):
        try:
            fcntl.flock(fd, mode | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in _HELD:
                raise LockingUnsupported(
                    f"The file system of {where} has no file locks ({error.strerror}), so Loupe cannot keep a second "
                    "process out. Put the data directory on a local disk (LOUPE_HOME) and back up to this one."
                ) from error
        if attempt + 1 < tries:
            time.sleep(_PAUSE_S)
    return False


def _held(data_dir: DataDir) -> DataDirHeld:
    holder = _read(data_dir.holder)
    if holder.pid == 0:
        return DataDirHeld(f"Another process holds {data_dir.path}; it is just starting or stopping. Try again.")
    at = f" and serves {holder.url}" if holder.url else ""
    return DataDirHeld(
        f"Process {holder.pid} holds {data_dir.path}{at}. Use that one, stop it, or choose another with LOUPE_HOME.",
        pid=holder.pid,
        url=holder.url,
    )


def _read(path: Path) -> Holder:
    """What `holder.json` says; pid 0 in the moment between taking the lock and writing it."""
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return Holder(pid=0)
