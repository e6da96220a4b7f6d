"""How this process and its machine are: health, device, memory, disk, and the checks of `loupe doctor`."""

import importlib.metadata
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from loupe.app.services.catalogue import Catalogue
from loupe.app.services.engine import Engine, EngineState
from loupe.app.settings import Settings, starter_folder
from loupe.storage.backup import Snapshot
from loupe.storage.paths import DataDir
from loupe.storage.store import Store

PACKAGES = ("loupe-lab", "torch", "transformers", "tokenizers", "safetensors", "nicegui", "fastapi", "sqlmodel")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing `doctor` looked at; `advice` says what to do when it is not well."""

    name: str
    ok: bool
    found: str
    advice: str = ""


class System:
    """Reads, and backs up; changes nothing."""

    def __init__(self, settings: Settings, store: Store, engine: Engine, catalogue: Catalogue) -> None:
        self.settings = settings
        self.store = store
        self.data_dir = store.data_dir
        self.engine = engine
        self.catalogue = catalogue
        self._started = time.monotonic()
        self._process = psutil.Process()

    def health(self) -> dict[str, Any]:
        """Whether requests can be served, and whether models can be used yet."""
        state = self.engine.state
        status = "ok" if state in (EngineState.READY, EngineState.ABSENT) else "starting"
        if state is EngineState.FAILED:
            status = "failed"
        return {"status": status, "engine": state, "version": version(), "uptime_s": round(self.uptime(), 1)}

    def uptime(self) -> float:
        """Seconds since the workspace was opened."""
        return time.monotonic() - self._started

    def overview(self) -> dict[str, Any]:
        """Device, memory, disk, versions, and how long the device was held at once."""
        memory = psutil.virtual_memory()
        disk = shutil.disk_usage(self.data_dir.path)
        device = self.engine.running
        return self.health() | {
            "process": {
                "pid": os.getpid(),
                "memory_bytes": self._process.memory_info().rss,
                "threads": self._process.num_threads(),
            },
            "machine": {
                "platform": platform.platform(),
                "cpus": os.cpu_count(),
                "memory_bytes": memory.total,
                "memory_available_bytes": memory.available,
            },
            "disk": {"total_bytes": disk.total, "free_bytes": disk.free, "data_dir": str(self.data_dir.path)},
            "device": asdict(device.stats()) if device else None,
            "versions": versions(),
        }

    async def backup(self, target: Path) -> dict[str, Any]:
        """Copy everything recorded to `target` while work goes on. Raises BackupError, StoreFull, StoreFailed."""
        return snapshot_json(await self.store.backup(target))

    def setting_rows(self) -> list[dict[str, Any]]:
        """Every setting with its value and where that came from; secrets only as set or not."""
        given = self.settings.model_fields_set
        rows = []
        for name, field in Settings.model_fields.items():
            value = getattr(self.settings, name)
            secret = "SecretStr" in str(field.annotation)
            shown = ("set" if value else None) if secret else value
            source = "given" if name in given else "default"
            rows.append({"name": f"LOUPE_{name.upper()}", "value": shown, "source": source, "about": field.description})
        return rows


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """A backup for programs."""
    return {
        "number": snapshot.number,
        "folder": str(snapshot.folder),
        "created_at": snapshot.created_at.isoformat(),
        "artefacts": len(snapshot.artefacts),
        "damaged": list(snapshot.damaged),
    }


def version() -> str:
    """Loupe's own version."""
    return importlib.metadata.version("loupe-lab")


def versions() -> dict[str, str]:
    """Versions of what decides results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def checks(settings: Settings) -> list[Check]:
    """Look at everything a first run needs, without opening the data directory or loading torch."""
    starter = starter_folder(settings)
    home = DataDir.create(settings.home).path
    free = shutil.disk_usage(home).free
    memory = psutil.virtual_memory().available
    python = sys.version_info
    catalogue = Catalogue(starter, DataDir.create(settings.home).models)
    return [
        Check("python", (3, 11) <= python[:2] <= (3, 13), platform.python_version(), "Use Python 3.11, 3.12 or 3.13."),
        Check("torch", *_installed("torch", "2.13.0")),
        Check("starter", catalogue.has_starter, str(starter), "Build it with `loupe starter build`."),
        Check("data directory", os.access(home, os.W_OK), str(home), "Make it writable or set LOUPE_HOME."),
        Check("disk", free > 2**30, f"{free / 2**30:.1f} GiB free", "Free at least 1 GiB."),
        Check("memory", memory > 2**30, f"{memory / 2**30:.1f} GiB available", "Close something; 1 GiB is needed."),
        Check(
            "exposure",
            settings.is_guarded or not settings.is_public,
            f"{settings.host}, {'guarded' if settings.is_guarded else 'no password or key'}",
            "Set LOUPE_PASSWORD or LOUPE_API_KEY, or bind 127.0.0.1.",
        ),
    ]


def _installed(name: str, wanted: str) -> tuple[bool, str, str]:
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False, "not installed", f"pip install {name}=={wanted}"
    return found.split("+")[0] == wanted, found, f"pip install {name}=={wanted}"
