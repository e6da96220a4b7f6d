"""The diagnostics bundle: one zip that says how this server is, and nothing about what people did with it.

Every file in it is put together from what is known to be harmless, instead of being cleaned of what is not: versions,
settings without secrets and paths, counts, slices, latencies, samples, and log lines without their arguments. Of an
exception the type and the places in the code are told, never its message; of a job its kind and state, never its name.
"""

import asyncio
import io
import logging
import platform
import traceback
import zipfile
from collections import deque
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from loupe.app.services.system import versions
from loupe.storage.schema import current_revision

if TYPE_CHECKING:
    from loupe.app.workspace import Workspace

KEPT = 1000
README = """Diagnostics of a Loupe server, made on request.

It holds versions, settings (no secret, no path), counts, timings and log lines without their arguments. It holds no
prompt, no explanation, no name of a run, model, file or person, no key and no password. Read it before you send it.
"""


class Logbook(logging.Handler):
    """The last lines of the log, as far as they cannot hold anything private."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line's template, not what was filled in."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.msg if isinstance(record.msg, str) and _is_written_here(record) else "",
            "where": f"{record.module}:{record.lineno}",
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = [_place(frame) for frame in traceback.extract_tb(record.exc_info[2])]
        self.lines.append(line)


def _is_written_here(record: logging.LogRecord) -> bool:
    """Only Loupe's own loggers are known to keep what is private out of their templates."""
    return record.name.split(".")[0] == "loupe"


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"


async def bundle(here: "Workspace") -> bytes:
    """The zip."""
    system = here.system
    device = here.engine.running
    parts: dict[str, Any] = {
        "versions.json": {**versions(), "platform": platform.platform(), "machine": platform.machine()},
        "settings.json": [_harmless(row) for row in system.setting_rows()],
        "jobs.json": {"states": await here.store.jobs.counts(), "live": [_job(live) for live in here.jobs.live]},
        "device.json": asdict(device.stats()) if device else None,
        "latency.json": [asdict(row) for row in here.jobs.latencies.rows()],
        "history.json": [asdict(sample) for sample in here.history.samples],
        "disk.json": await system.disk(),
        "storage.json": {"schema": current_revision(here.store.data_dir.database)},
        "log.json": list(here.logbook.lines),
    }
    return await asyncio.to_thread(_packed, parts)


def _packed(parts: dict[str, Any]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README)
        for name, part in parts.items():
            archive.writestr(name, orjson.dumps(part, option=orjson.OPT_INDENT_2, default=str))
    return packed.getvalue()


def _harmless(row: dict[str, Any]) -> dict[str, Any]:
    """A setting: numbers, switches and choices as they are; of texts and paths only whether they are set."""
    value = row["value"]
    shown = value if isinstance(value, bool | int | float) or row["choices"] else ("set" if value else None)
    return {"name": row["name"], "value": shown, "source": row["source"]}


def _job(live: Any) -> dict[str, Any]:
    return {"kind": live.record.kind, "state": live.state, "done": live.done, "total": live.total}
