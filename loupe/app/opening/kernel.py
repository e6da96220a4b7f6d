"""Walls that Linux keeps, whatever code runs inside: an empty network, no program to start, one folder to write to.

Two mechanisms that need no privilege, both called by number since Python has no names for them. A user namespace with
a network namespace in it (unshare(2)) leaves no network interface. Landlock (landlock(7), Linux 5.13 and later) forbids
starting programs, writing outside one folder, TCP, and signals to others. Where a kernel or a container refuses one of
them, that wall is missing from the answer, and the walls inside Python remain.

To be raised first, while there is one thread: Landlock holds the calling thread and those it starts later.
"""

import ctypes
import os
import struct
import sys
from pathlib import Path

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_ASK_VERSION, _PATH_BENEATH, _NO_NEW_PRIVILEGES, _O_PATH = 1, 1, 38, 0o10000000
_READ_FILE, _READ_DIR, _WRITE_FILE, _MAKE_FILE, _TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 8, 1 << 14
_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights over files each version knows
_ALL_TCP, _ALL_SCOPES = 0b11, 0b11


def raise_kernel_walls(folder: Path) -> tuple[str, ...]:
    """Give up network, programs and all writing but to `folder`; returns the names of the walls that stand."""
    if sys.platform != "linux":
        return ()
    libc = ctypes.CDLL(None, use_errno=True)
    walls = {"network_namespace": _leave_network(libc), "landlock": _restrict(libc, folder)}
    return tuple(name for name, stands in walls.items() if stands)


def _leave_network(libc: ctypes.CDLL) -> bool:
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEW_USER | _NEW_NET) != 0:
        return False
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        try:
            Path(f"/proc/self/{name}").write_text(line)
        except OSError:  # the process stays a nobody, which does as well
            break
    return True


def _restrict(libc: ctypes.CDLL, folder: Path) -> bool:
    version = libc.syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1 or libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    rights = (1 << _RIGHTS_BY_VERSION.get(version, 16)) - 1
    handled = rights & ~(_READ_FILE | _READ_DIR)
    fields = [handled, *([_ALL_TCP] if version >= 4 else []), *([_ALL_SCOPES] if version >= 6 else [])]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    inside = os.open(folder, _O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", handled & (_WRITE_FILE | _MAKE_FILE | _TRUNCATE), inside)
        added = libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0) == 0
        return added and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(inside)
        os.close(ruleset)
