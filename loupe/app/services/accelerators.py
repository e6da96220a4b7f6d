"""What the driver says of NVIDIA accelerators: how busy, how full, how warm. Nothing where there is no driver."""

import importlib
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device as its driver sees it, whoever uses it; what the driver does not tell is None."""

    index: int
    name: str
    used_bytes: int
    total_bytes: int
    utilisation_percent: int | None
    temperature_c: int | None
    power_w: float | None


def read_accelerators() -> tuple[Accelerator, ...]:
    """All of them, now; empty without a driver or without nvidia-ml-py."""
    nvml = _driver()
    if nvml is None:
        return ()
    try:
        return tuple(_read(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    except nvml.NVMLError as error:
        log.debug("the driver did not answer: %s", error)
        return ()


def _read(nvml: Any, index: int) -> Accelerator:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory, name = nvml.nvmlDeviceGetMemoryInfo(handle), nvml.nvmlDeviceGetName(handle)
    rates = _told(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    power = _told(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    return Accelerator(
        index=index,
        name=name.decode() if isinstance(name, bytes) else name,
        used_bytes=memory.used,
        total_bytes=memory.total,
        utilisation_percent=rates.gpu if rates else None,
        temperature_c=_told(nvml, lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        power_w=power / 1000 if power is not None else None,
    )


def _told(nvml: Any, ask: Any) -> Any:
    try:
        return ask()
    except nvml.NVMLError:  # not every driver tells everything
        return None


@lru_cache(maxsize=1)
def _driver() -> Any:
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:  # it comes with the cuda extra
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:  # no library, no device: there is nothing to read
        log.debug("no NVIDIA driver: %s", error)
        return None
    return nvml
