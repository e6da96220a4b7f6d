"""Deleted model folders: moved to `models/.deleted/NAME~MILLISECONDS`, and back, until their days are over."""

import logging
import re
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loupe.app.errors import Conflict, NotFound
from loupe.app.services.catalogue import ModelEntry

log = logging.getLogger(__name__)

_MARK = re.compile(r"^(?P<name>.+)~(?P<at>\d+)$")


class ModelBin:
    """The bin of a folder of models; a linked folder goes as its link alone."""

    def __init__(self, models: Path, days: float) -> None:
        self.models = models
        self.room = models / ".deleted"
        self.kept = timedelta(days=days)

    def put(self, entry: ModelEntry) -> dict[str, Any]:
        """Move a folder in; its row."""
        self.room.mkdir(exist_ok=True)
        entry.path.rename(self.room / f"{entry.id}~{time.time_ns() // 1_000_000}")
        return self.rows()[0]

    def take_back(self, id: str) -> None:
        """Move the last deleted folder of this name out. Raises NotFound, Conflict when its name is taken meanwhile."""
        found = next((row for row in self.rows() if row["id"] == id), None)
        if found is None:
            raise NotFound(f"There is no deleted model {id!r}.")
        target = self.models / id
        if target.exists() or target.is_symlink():
            raise Conflict(f"There is another {id!r} in the library now. Delete that one first.")
        (self.room / found["folder"]).rename(target)

    def rows(self) -> list[dict[str, Any]]:
        """What can still be restored, the last deleted first."""
        there = self.room.iterdir() if self.room.is_dir() else ()
        marked = [(match, path) for path in there if (match := _MARK.match(path.name))]
        return [self._row(match, path) for match, path in sorted(marked, key=lambda one: -int(one[0]["at"]))]

    def empty(self, now: datetime) -> None:
        """Remove for good what was deleted too long ago."""
        for row in self.rows():
            if datetime.fromisoformat(row["restorable_until"]) <= now:
                _remove(self.room / row["folder"])
                log.info("removed for good", extra={"fields": {"model": row["id"]}})

    def _row(self, match: re.Match[str], path: Path) -> dict[str, Any]:
        at = datetime.fromtimestamp(int(match["at"]) / 1000, UTC)
        return {
            "id": match["name"],
            "folder": path.name,
            "deleted_at": at.isoformat(timespec="seconds"),
            "restorable_until": (at + self.kept).isoformat(timespec="seconds"),
            "size_bytes": sum(f.stat().st_size for f in path.glob("*.safetensors")),
            "is_link": path.is_symlink(),
        }


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
