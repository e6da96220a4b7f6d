"""How much device memory there is, who holds it, and the line that work may not cross.

On an accelerator the numbers are the driver's; memory that torch keeps in its cache but nobody uses counts as free.
On the CPU they are the machine's, or the container's where that is less.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from loupe.engine.errors import OutOfDeviceMemory

ADVICE = "Use fewer rollouts or a shorter text, a smaller dtype, or unload a model that is not needed."
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Bytes of one device: all of it, and what is used by anybody."""

    total: int
    used: int


def read_memory(device: torch.device | str = "cpu") -> DeviceMemory:
    """Measure the memory of a device now."""
    device = torch.device(device)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return DeviceMemory(total, total - free - cached)
    machine = psutil.virtual_memory()
    return _within_container(DeviceMemory(machine.total, machine.total - machine.available), _CGROUP)


def read_own(device: torch.device) -> int:
    """What this process itself takes of a device."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def _within_container(machine: DeviceMemory, cgroup: Path) -> DeviceMemory:
    """The container's share where a limit is set that is tighter than the machine."""
    try:
        limit = int((cgroup / "memory.max").read_text())
        current = int((cgroup / "memory.current").read_text())
        cache = _reclaimable(cgroup)
    except (OSError, ValueError):  # no container, or "max": no limit
        return machine
    if limit - (current - cache) >= machine.total - machine.used:
        return machine
    return DeviceMemory(limit, current - cache)


def _reclaimable(cgroup: Path) -> int:
    """File cache the kernel would give back before refusing memory."""
    for line in (cgroup / "memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


class MemoryBudget:
    """The share of a device that Loupe may fill (90 % unless told otherwise), and a ledger of who holds how much.

    `limit` (bytes, 0 for none) makes the device count as smaller than it is, for this process's own use.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        fraction: float = 0.9,
        limit: int = 0,
        read: Callable[[torch.device], DeviceMemory] = read_memory,
        own: Callable[[torch.device], int] | None = None,
    ):
        self.device = torch.device(device)
        self.fraction = fraction
        self.limit = limit
        self._read = read
        self._own = own or read_own
        self._held: dict[str, int] = {}
        self._others: dict[str, MemoryBudget] = {}
        self._lock = threading.Lock()

    def on(self, device: torch.device | str) -> "MemoryBudget":
        """The budget of a device: this one, or another that is kept with it. The limit counts for accelerators."""
        device = torch.device(device)
        if device.type == self.device.type and (device.index or 0) == (self.device.index or 0):
            return self
        limit = self.limit if device.type != "cpu" else 0
        with self._lock:
            new = MemoryBudget(device, fraction=self.fraction, limit=limit, read=self._read, own=self._own)
            return self._others.setdefault(str(device), new)

    def others(self) -> tuple["MemoryBudget", ...]:
        """The budgets of further devices that were asked for so far."""
        with self._lock:
            return tuple(self._others.values())

    def memory(self) -> DeviceMemory:
        """The device now, or this process's share of it where a limit is set and tighter."""
        memory = self._read(self.device)
        if not self.limit or self.limit >= memory.total:
            return memory
        own = min(self._own(self.device), self.limit)
        free = min(memory.total - memory.used, self.limit - own)
        return DeviceMemory(self.limit, self.limit - free)

    def available(self) -> int:
        """Bytes that may still be taken before the line is crossed; never negative."""
        return self._left(self.memory())

    def require(self, needed: int, what: str, advice: str = ADVICE) -> None:
        """Refuse `what`, with numbers, when `needed` more bytes would cross the line.

        Raises OutOfDeviceMemory.
        """
        memory = self.memory()
        available = self._left(memory)
        if needed <= available:
            return
        raise OutOfDeviceMemory(
            f"{what} needs {as_size(needed)}, but only {as_size(available)} may be taken on {self.device}: "
            f"{as_size(memory.used)} of {as_size(memory.total)} are in use and {self.fraction:.0%} is the limit."
            f"{self._told()}",
            advice=advice,
            needed=needed,
            available=available,
            holdings=self.holdings(),
        )

    def hold(self, owner: str, size: int) -> None:
        """Note that `owner` (a model, a cache) holds `size` bytes; a second entry replaces the first."""
        with self._lock:
            self._held[owner] = size

    def release(self, owner: str) -> None:
        """Strike an owner from the ledger, also of further devices; an unknown one is no error."""
        with self._lock:
            self._held.pop(owner, None)
        for other in self.others():
            other.release(owner)

    def holdings(self) -> dict[str, int]:
        """Bytes by owner, largest first."""
        with self._lock:
            return dict(sorted(self._held.items(), key=lambda entry: -entry[1]))

    def _left(self, memory: DeviceMemory) -> int:
        return max(0, int(memory.total * self.fraction) - memory.used)

    def _told(self, most: int = 4) -> str:
        held = list(self.holdings().items())
        if not held:
            return ""
        named = ", ".join(f"{owner} {as_size(size)}" for owner, size in held[:most])
        return f" Held by {named}{f' and {len(held) - most} more' if len(held) > most else ''}."


def as_size(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
