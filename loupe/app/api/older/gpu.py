"""`/api/gpu_stats`: what the accelerators do."""

import sys
from typing import Any

from loupe.app.workspace import Workspace


def gpu_stats(here: Workspace) -> dict[str, Any]:
    """Per device memory and, where the driver tells, utilisation in percent; the first device again at the top.

    Memory is in GiB. Nothing is asked of a driver before torch is in memory: a look must not take seconds.
    """
    torch = sys.modules.get("torch")
    if torch is None or here.engine.running is None or not torch.cuda.is_available():
        return {"available": False, "devices": {}}
    devices = {str(n): _device(torch, n) for n in range(torch.cuda.device_count())}
    return {"available": True, "devices": devices} | devices.get("0", {})


def _device(torch: Any, number: int) -> dict[str, Any]:
    free, total = torch.cuda.mem_get_info(number)
    known = {
        "name": torch.cuda.get_device_name(number),
        "memory_used": round((total - free) / 2**30, 3),
        "memory_total": round(total / 2**30, 3),
        "memory_percent": round(100 * (total - free) / total, 1),
    }
    try:
        known["utilization"] = torch.cuda.utilization(number)
    except (ImportError, RuntimeError):  # the driver's library is not there; what is not known is absent
        return known
    return known
