"""How this process and its machine are: health, device, memory, disk, and the checks of `loupe doctor`."""

import asyncio
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

from loupe.app.services.backups import snapshot_json
from loupe.app.services.catalogue import Catalogue
from loupe.app.services.engine import Engine, EngineState
from loupe.app.services.history import History, Sample
from loupe.app.services.latency import Latencies
from loupe.app.settings import Settings, sources, starter_folder
from loupe.app.settings_file import file_path, file_values, tells_secrets
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

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        catalogue: Catalogue,
        history: History,
        latencies: Latencies,
    ) -> None:
        self.settings = settings
        self.store = store
        self.data_dir = store.data_dir
        self.engine = engine
        self.catalogue = catalogue
        self.history = history
        self.latencies = latencies
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
        """Device, memory, disk, versions, latencies, and how long the device was held at once."""
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
            "device": asdict(device.stats()) | self.held() if device else None,
            "accelerators": [asdict(each) for each in self.latest().accelerators],
            "latency": [asdict(row) | {"over": row.over} for row in self.latencies.rows()],
            "versions": versions(),
        }

    def latest(self) -> Sample:
        """The newest sample of the machine."""
        return self.history.samples[-1] if self.history.samples else self.history.look()

    def held(self) -> dict[str, Any]:
        """The memory of the device, and who holds how much of it."""
        device = self.engine.running
        if device is None:
            return {}
        memory = device.memory.memory()
        return {
            "memory_total_bytes": memory.total,
            "memory_used_bytes": memory.used,
            "memory_limit_bytes": int(memory.total * device.memory.fraction),
            "holdings": device.memory.holdings(),
        }

    def glance(self) -> dict[str, Any]:
        """The few numbers that every page shows: cheap enough to be asked every second by everyone."""
        device, sample = self.engine.running, self.latest()
        stats = device.stats() if device else None
        known = {
            "engine": self.engine.state,
            "device": stats.device if stats else None,
            "running": stats.running if stats else None,
            "waiting": stats.waiting if stats else 0,
            "paused": stats.paused if stats else 0,
            "memory_used_bytes": sample.device_used_bytes,
            "memory_total_bytes": sample.device_total_bytes,
            "process_bytes": sample.process_bytes,
            "utilisation_percent": sample.accelerators[0].utilisation_percent if sample.accelerators else None,
        }
        return {name: value for name, value in known.items() if value is not None}

    async def disk(self) -> dict[str, int]:
        """Bytes of the data directory by what they are: artefacts by kind, models, database, backups; largest first."""
        kinds = {f"artefact: {k}": size for k, size in (await self.store.artefact_records.size_by_kind()).items()}
        here = self.data_dir
        folders = {"models": here.models, "backups": here.backups, "uploads": here.uploads}
        sizes = {name: await asyncio.to_thread(_size_of, folder) for name, folder in folders.items()}
        database = self.data_dir.database
        files = (database, database.with_name(f"{database.name}-wal"), self.data_dir.reserve)
        sizes["database"] = sum(file.stat().st_size for file in files if file.exists())
        return dict(sorted((kinds | sizes).items(), key=lambda entry: -entry[1]))

    async def backup(self, target: Path) -> dict[str, Any]:
        """Copy everything recorded to `target` while work goes on. Raises BackupError, StoreFull, StoreFailed."""
        return snapshot_json(await self.store.backup(target))

    def setting_rows(self) -> list[dict[str, Any]]:
        """Every setting with its value and where that came from; secrets only as set or not."""
        origin = sources(self.settings)
        return [
            {
                "name": f"LOUPE_{name.upper()}",
                "value": _shown(getattr(self.settings, name), str(field.annotation)),
                "source": origin[name],
                "about": field.description,
                "choices": "Literal" in str(field.annotation),
            }
            for name, field in Settings.model_fields.items()
        ]


def _shown(value: Any, annotation: str) -> Any:
    """What may be told of a setting: of a secret whether it is set, of an address all but who signs in there."""
    if "SecretStr" in annotation:
        return "set" if value else None
    if isinstance(value, str) and "://" in value and "@" in value:
        scheme, rest = value.split("://", 1)
        return f"{scheme}://…@{rest.rsplit('@', 1)[1]}"
    return value


def _size_of(folder: Path) -> int:
    """Bytes of the files below a folder; what a link leads to lies elsewhere and is not counted."""
    found = 0
    for path in folder.rglob("*") if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink():
            found += path.stat().st_size
    return found


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
    """Look at everything a first run needs, without loading torch; writes nothing, not even the data directory."""
    starter = starter_folder(settings)
    data_dir = DataDir.at(settings.home)
    home = data_dir.path
    place = next(folder for folder in (home, *home.parents) if os.access(folder, os.F_OK))
    free = shutil.disk_usage(place).free
    memory = psutil.virtual_memory().available
    python = sys.version_info
    catalogue = Catalogue(starter, data_dir.models)
    return [
        Check("python", (3, 11) <= python[:2] <= (3, 13), platform.python_version(), "Use Python 3.11, 3.12 or 3.13."),
        Check("torch", *_installed("torch", "2.13.0")),
        Check("starter", catalogue.has_starter, str(starter), "Build it with `loupe starter build`."),
        Check(
            "data directory",
            place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK),
            str(home) if place == home else f"{home}, not made yet",
            f"Make {place} a folder you may write to, or set LOUPE_HOME.",
        ),
        _settings_file(settings),
        Check("disk", free > 2**30, f"{free / 2**30:.1f} GiB free", "Free at least 1 GiB."),
        Check("memory", memory > 2**30, f"{memory / 2**30:.1f} GiB available", "Close something; 1 GiB is needed."),
        Check(
            "exposure",
            settings.is_guarded or not settings.is_public,
            f"{settings.host}, {'guarded' if settings.is_guarded else 'no password or key'}",
            "Set LOUPE_PASSWORD or LOUPE_API_KEY, or bind 127.0.0.1.",
        ),
    ]


def _settings_file(settings: Settings) -> Check:
    path, known = file_path(settings.home), Settings.model_fields
    written = ", ".join(file_values(settings.home, known))
    found = f"{path}: {written or 'nothing'}" if path.is_file() else f"none at {path}"
    closed = not tells_secrets(settings.home, known)
    return Check("settings file", closed, found, f"It holds a secret that others can read: chmod 600 {path}")


def _installed(name: str, wanted: str) -> tuple[bool, str, str]:
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False, "not installed", f"pip install {name}=={wanted}"
    return found.split("+")[0] == wanted, found, f"pip install {name}=={wanted}"
