"""What the machine did in the last hour: sampled every few seconds in a thread, kept in memory, nothing written.

A sample costs well under a millisecond; the loop only waits. How late the loop wakes up is a sample too: it is what a
person feels when something blocks it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from loupe.app.services.accelerators import Accelerator, read_accelerators
from loupe.app.services.engine import Engine

EVERY_S = 5.0
KEPT = 720  # an hour


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the machine: shares in percent, sizes in bytes, the lag of the event loop in seconds.

    `device_busy_percent` is the share of the time since the look before in which jobs held the device.
    """

    at: datetime
    cpu_percent: float
    process_cpu_percent: float
    process_bytes: int
    machine_used_bytes: int
    machine_total_bytes: int
    device_used_bytes: int | None
    device_total_bytes: int | None
    device_busy_percent: float | None
    accelerators: tuple[Accelerator, ...]
    waiting: int
    loop_lag_s: float


class History:
    """The samples of this process."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self.engine = engine
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self._clock = clock
        self._process = psutil.Process()
        self._task: asyncio.Task | None = None
        self._looked_at, self._held_s = clock(), 0.0
        self.look()  # the first look only sets the point from which CPU time is counted
        self.samples.clear()

    def start(self) -> None:
        """Begin to sample, on the running loop."""
        self._task = asyncio.create_task(self._run(), name="history")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def look(self, lag: float = 0.0) -> Sample:
        """Take a sample now. Blocks for a moment: call it from a thread."""
        machine = psutil.virtual_memory()
        device = self.engine.running
        memory = device.memory.memory() if device else None
        stats = device.stats() if device else None
        sample = Sample(
            at=datetime.now(UTC),
            cpu_percent=psutil.cpu_percent(None),
            process_cpu_percent=self._process.cpu_percent(None),
            process_bytes=self._process.memory_info().rss,
            machine_used_bytes=machine.total - machine.available,
            machine_total_bytes=machine.total,
            device_used_bytes=memory.used if memory else None,
            device_total_bytes=memory.total if memory else None,
            device_busy_percent=self._busy(sum(row.total_s for row in stats.slices)) if stats else None,
            accelerators=read_accelerators(),
            waiting=stats.waiting if stats else 0,
            loop_lag_s=lag,
        )
        self.samples.append(sample)
        return sample

    def _busy(self, held_s: float) -> float:
        now = self._clock()
        elapsed, held = now - self._looked_at, held_s - self._held_s
        self._looked_at, self._held_s = now, held_s
        return min(100.0, max(0.0, held) / elapsed * 100) if elapsed > 0 else 0.0

    async def _run(self) -> None:
        while True:
            due = self._clock() + EVERY_S
            await asyncio.sleep(EVERY_S)
            await asyncio.to_thread(self.look, max(0.0, self._clock() - due))
