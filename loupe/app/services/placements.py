"""Where models are put: the devices there are, the place chosen for each model, and why a place cannot be had.

A place is a text such as `cuda:1`, `cuda:0,cuda:1` or `cuda:0+cpu` (`loupe/engine/models/placement.py`). What is chosen
when a model is loaded is kept with the library: later requests, and the next start, find the model there again.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.services.engine import Engine, device_name
from loupe.app.services.fit import Fit, fit_of_folder
from loupe.app.services.system import Check
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption
from loupe.storage.repos.library import Library as LibraryRows

if TYPE_CHECKING:
    from loupe.engine.models.placement import Device, Placement

PLACEMENT = "placement"
AUTO = "auto"


class Placements:
    """The places chosen, by the id of the model's folder; every change is written down first."""

    def __init__(self, rows: LibraryRows, engine: Engine) -> None:
        self.rows = rows
        self.engine = engine
        self._chosen: dict[str, str] = {}

    async def open(self) -> None:
        """Read what was kept."""
        self._chosen |= {entry.id: str(entry.body["place"]) for entry in await self.rows.list(PLACEMENT)}

    @property
    def chosen(self) -> Mapping[str, str]:
        """The places that were chosen; models that are not here go where the settings say."""
        return self._chosen

    async def choose(self, ids: Iterable[str], place: str, *, author: str = "") -> None:
        """Put these models there from their next load on; `auto` forgets a choice. Raises as `check`."""
        written = await self.check(place)
        for id in ids:
            if written:
                await self.rows.put(PLACEMENT, id, {"place": written}, author=author)
                self._chosen[id] = written
            elif id in self._chosen:
                await self.rows.delete(PLACEMENT, id)
                del self._chosen[id]

    async def check(self, place: str) -> str:
        """The place as it is written down, empty for `auto`. Raises BadOption: no place, or none of this machine."""
        if place in ("", AUTO):
            return ""
        await self.engine.device()  # torch takes seconds to import; the engine does that in a thread
        from loupe.engine.models.placement import Placement, why_not

        placement = Placement.parse(place)
        if reason := why_not(placement, await devices()):
            raise BadOption(f"{place} cannot be had: {reason}.")
        return str(placement)

    async def fits(self, folder: Path, dtype: str) -> list[dict[str, Any]]:
        """Every place of this machine, with what the model needs and may take there. Raises as `fit_of_folder`."""
        fits: dict[str, Fit] = {}
        for place in await self.places():
            fits[place] = await fit_of_folder(self.engine, folder, dtype, place)
        return [{"device": place} | fit.to_json() for place, fit in fits.items()]

    async def places(self) -> list[str]:
        """The places that make sense here: each device, all GPUs together, and GPUs with blocks that wait."""
        await self.engine.device()
        names = [device.name for device in await devices()]
        gpus = [name for name in names if name.startswith("cuda")]
        together = [",".join(gpus)] if len(gpus) > 1 else []
        return [*names, *together, *(f"{place}+cpu" for place in (together or gpus))]


async def devices() -> "tuple[Device, ...]":
    """The devices of this machine, looked at in a thread."""
    from loupe.engine.models.placement import devices_here

    return await asyncio.to_thread(devices_here)


async def devices_held(engine: Engine) -> list[dict[str, Any]]:
    """Each device with its memory and who holds how much of it; nothing before the engine is loaded."""
    running = engine.running
    if running is None:
        return []
    return [asdict(device) | {"holdings": running.memory.on(device.name).holdings()} for device in await devices()]


def placement_of(engine: Engine, place: str) -> "Placement | None":
    """What a part is loaded with: None leaves it to the device thread's own device."""
    from loupe.engine.models.placement import Placement

    wanted = place or ("" if engine.settings.device == AUTO else engine.settings.device)
    return Placement.parse(wanted) if wanted else None


def device_check(settings: Settings) -> Check:
    """Which devices there are, and whether models can be put where the settings say; imports torch."""
    from loupe.engine.models.placement import Placement, devices_here, why_not

    there = devices_here()
    found = "; ".join(
        f"{d.name} ({d.kind}), {d.free_bytes / 2**30:.1f} of {d.total_bytes / 2**30:.1f} GiB" for d in there
    )
    try:
        reason = why_not(Placement.parse(device_name(settings.device)), there)
    except BadOption as error:
        reason = str(error)
    advice = f"LOUPE_DEVICE={settings.device} cannot be had: {reason}. Set it to auto or to a device that is there."
    return Check("devices", not reason, found, advice if reason else "")
