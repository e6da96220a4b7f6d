"""Walls inside Python, on every platform: an audit hook that refuses effects, and limits on memory, time and size.

The interpreter announces each effect before it happens (PEP 578); refusing the announcement prevents it, and the hook
cannot be taken off. It stops everything written in Python. Machine code could step around it, which is why the walls of
`kernel` stand behind it where they can.
"""

import os
import sys
from pathlib import Path
from typing import Any

_REFUSED = (
    "socket.", "http.", "urllib.", "ftplib.", "smtplib.", "imaplib.", "poplib.", "ssl.",
    "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile", "os.kill", "pty.",
    "signal.", "ctypes.", "winreg.", "_winapi.", "msvcrt.", "syslog.", "webbrowser.", "sqlite3.", "dbm.", "shelve.",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.lchown", "os.chflags", "os.utime", "os.setxattr", "os.removexattr", "os.mkfifo", "os.mknod", "os.putenv",
    "shutil.", "tempfile.", "fcntl.", "cpython.run_", "code.__new__",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Walled(PermissionError):
    """What the code wanted to do is not among the things this process may do."""


def raise_python_walls(folder: Path) -> list[str]:
    """Refuse network, programs, ctypes, signals and every write but new files in `folder`; for good.

    Returns a list that grows by each attempt, so that one whose error was swallowed is known all the same.
    """
    inside = os.path.realpath(folder) + os.sep
    attempts: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_REFUSED) or (event == "open" and not _harmless(arguments, inside)):
            attempts.append(event)
            raise Walled(f"{event} is not allowed while a pickle is open.")

    sys.addaudithook(watch)
    return attempts


def _harmless(arguments: tuple[Any, ...], inside: str) -> bool:
    """Reading; a descriptor that is open already; or writing below the folder by its full path."""
    path, _, flags = arguments
    if not isinstance(flags, int) or not flags & _WRITING or isinstance(path, int):
        return True
    named = os.fsdecode(path)
    return os.path.isabs(named) and os.path.realpath(named).startswith(inside)  # noqa: PTH117 - audits nothing itself


def limit_resources(*, memory_bytes: int, cpu_seconds: int, file_bytes: int) -> None:
    """At most `memory_bytes` beyond what the process has now, this much time on a processor, files of this size."""
    try:
        import resource
    except ImportError:  # Windows has none of these; the parent's clock still ends the process
        return
    for what, most in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_AS, _address_space() + memory_bytes if sys.platform == "linux" else None),
    ):
        hard = resource.getrlimit(what)[1]
        if most is not None and (hard == resource.RLIM_INFINITY or most < hard):
            resource.setrlimit(what, (most, most))


def _address_space() -> int:
    """Bytes of address space in use, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
