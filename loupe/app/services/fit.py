"""Whether a model fits: its weights at a dtype and room to work with it, against what the device has left."""

import importlib.util
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.services.catalogue import read_entry
from loupe.app.services.engine import Engine

if TYPE_CHECKING:
    from loupe.engine.memory import MemoryBudget

TEXT_TOKENS = 2000  # the room to work is that of reading a text of this length
DTYPES = ("auto", "fp32", "bf16", "fp16", "int8", "nf4")
_PER_WEIGHT = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0, "nf4": 0.5625}


@dataclass(frozen=True, slots=True)
class Fit:
    """Bytes: of the weights, to read a text with them, and what may still be taken. `exact` unless it is a guess from
    file sizes or quantised; `why_not` says why this dtype cannot be had on this device."""

    dtype: str
    weights_bytes: int
    working_bytes: int
    available_bytes: int
    total_bytes: int
    exact: bool
    why_not: str = ""

    @property
    def needed_bytes(self) -> int:
        """Weights and room to work."""
        return self.weights_bytes + self.working_bytes

    @property
    def fits(self) -> bool:
        """Whether it can be loaded now without anything else leaving."""
        return not self.why_not and self.needed_bytes <= self.available_bytes

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        told = asdict(self) | {"needed_bytes": self.needed_bytes, "fits": self.fits}
        return {name: value for name, value in told.items() if value != ""}


async def fit_of_folder(engine: Engine, folder: Path, dtype: str, place: str = "") -> Fit:
    """Of a folder on this machine, from its weight files' headers; `place` is where it would go, unset the engine's own
    device. Raises UnsafeFile, UnknownFormat, CorruptFile, BadOption for a place that is none."""
    from loupe.engine.models.placement import Placement
    from loupe.engine.models.size import cache_bytes_per_token, folder_size, read_config

    device = await engine.device()
    home = Placement.parse(place).home.type if place else device.device.type
    size = folder_size(folder, dtype, home)
    has_config = (folder / "config.json").is_file()
    per_token = cache_bytes_per_token(read_config(folder)) if has_config else None
    budgets, why_not = _of_place(device.memory, place)
    fit = _against(budgets[0], dtype, size.bytes, per_token, size.exact)
    if len(budgets) > 1 and dtype in ("int8", "nf4"):
        why_not = why_not or "a quantised model is loaded onto one device"
    available, total = (
        sum(numbers) for numbers in zip(*((b.available(), b.memory().total) for b in budgets), strict=True)
    )
    return replace(fit, available_bytes=available, total_bytes=total, why_not=why_not or fit.why_not)


async def fit_of_plan(engine: Engine, weight_bytes: int, config: dict[str, Any], dtype: str) -> Fit:
    """Of a repository that was only looked at: from the sizes of its weight files and the dtype its config names."""
    from loupe.engine.models.size import cache_bytes_per_token

    device = await engine.device()
    text = config.get("text_config") or config
    stored = str(text.get("dtype") or text.get("torch_dtype") or config.get("torch_dtype") or "").removeprefix("torch.")
    each = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}.get(stored)
    on_cpu = dtype == "auto" and stored == "float16" and device.device.type == "cpu"
    loaded = "fp32" if on_cpu else dtype  # as `size.settled_dtype` has it for a folder
    weights = weight_bytes if loaded == "auto" or each is None else int(weight_bytes / each * _PER_WEIGHT[loaded])
    return _against(device.memory, dtype, weights, cache_bytes_per_token(config), dtype == "auto")


def dtypes_here(device: str, folder: Path | None = None) -> dict[str, str]:
    """Every dtype with an honest label: what this device cannot do says so."""
    quantised = _why_not_quantised(device)
    stored = read_entry(folder).dtype if folder else None
    kept = "fp16, computed in fp32" if stored == "fp16" and device.startswith("cpu") else stored
    labels = {"auto": f"as stored ({kept})" if kept else "as stored", "fp32": "fp32, 4 bytes a weight"}
    labels |= {"bf16": "bf16, 2 bytes a weight", "fp16": "fp16, 2 bytes a weight"}
    labels |= {"int8": "int8, about 1 byte a weight", "nf4": "nf4, about half a byte a weight"}
    if quantised:
        labels |= {name: f"{labels[name]}: {quantised}" for name in ("int8", "nf4")}
    return labels


def _of_place(memory: "MemoryBudget", place: str) -> "tuple[list[MemoryBudget], str]":
    """The budgets of the devices that a place takes from, and why this machine has no such place."""
    from loupe.engine.models.placement import Placement, devices_here, why_not

    if not place:
        return [memory], ""
    placement = Placement.parse(place)
    if reason := why_not(placement, devices_here()):
        return [memory], reason
    return [memory.on(name) for name in (*placement.devices, *(("cpu",) if placement.offload else ()))], ""


def _against(budget: "MemoryBudget", dtype: str, weights: int, per_token: int | None, exact: bool) -> Fit:
    why_not = _why_not_quantised(budget.device.type) if dtype in ("int8", "nf4") else ""
    working = (per_token or 0) * TEXT_TOKENS
    return Fit(dtype, weights, working, budget.available(), budget.memory().total, exact, why_not)


def _why_not_quantised(device: str) -> str:
    if not device.startswith("cuda"):
        return "needs a CUDA device, and this one is not"
    return "" if importlib.util.find_spec("bitsandbytes") else "needs the cuda extra (bitsandbytes)"
