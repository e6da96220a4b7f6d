"""The engine, brought in when it is first needed: torch takes seconds to import, and a page should not wait for it.

One device thread per process. What the engine is doing (absent, loading, ready, failed) is published as "engine".
"""

import asyncio
import logging
import os
from enum import StrEnum
from typing import TYPE_CHECKING

from loupe.app.bridge import Bridge
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption

if TYPE_CHECKING:
    from loupe.engine.device import DeviceThread

log = logging.getLogger(__name__)


class EngineState(StrEnum):
    """Whether torch is in memory and the device thread runs."""

    ABSENT = "absent"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class Engine:
    """Owns the device thread from the first use to `close`."""

    def __init__(self, settings: Settings, bridge: Bridge) -> None:
        self.settings = settings
        self.state = EngineState.ABSENT
        self._bridge = bridge
        self._device: DeviceThread | None = None
        self._starting = asyncio.Lock()

    @property
    def running(self) -> "DeviceThread | None":
        """The device thread when there is one already."""
        return self._device

    async def device(self) -> "DeviceThread":
        """The device thread, started now if need be. Raises whatever kept torch from loading."""
        async with self._starting:
            if self._device is None:
                self._set(EngineState.LOADING)
                try:
                    self._device = await asyncio.to_thread(_start, self.settings)
                except Exception:  # shown on every page, and raised as it is
                    self._set(EngineState.FAILED)
                    raise
                self._set(EngineState.READY)
            return self._device

    def close(self, timeout_s: float = 20) -> None:
        """Cancel what is left and end the thread; a step that does not end in time dies with the process."""
        device, self._device, self.state = self._device, None, EngineState.ABSENT
        if device is None:
            return
        try:
            device.close(timeout=timeout_s)
        except TimeoutError as error:
            log.warning("the device thread is left behind: %s", error)

    def _set(self, state: EngineState) -> None:
        self.state = state
        self._bridge.publish("engine", state)


def _start(settings: Settings) -> "DeviceThread":
    """In a thread, with all that requests need of the engine: who imports it on the event loop holds up every page."""
    import torch

    import loupe.app.services.question
    import loupe.engine.nla.load_job  # noqa: F401 - the first to be imported when a model is asked for
    from loupe.engine.device import DeviceThread
    from loupe.engine.memory import MemoryBudget
    from loupe.engine.models.placement import Placement, devices_here, why_not

    torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 2) - 1))
    placement = Placement.parse(device_name(settings.device))
    if reason := why_not(placement, devices_here()):
        raise BadOption(f"LOUPE_DEVICE={settings.device} cannot be had: {reason}.")
    name = str(placement.home)
    log.info("engine ready", extra={"fields": {"torch": torch.__version__, "device": name}})
    budget = MemoryBudget(name, limit=settings.memory_limit_mb * 2**20)
    return DeviceThread(name, slice_budget_s=settings.slice_budget_ms / 1000, memory=budget)


def device_name(wanted: str) -> str:
    """The device to use: the wanted one, or for `auto` the best there is."""
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
