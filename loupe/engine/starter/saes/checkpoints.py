"""Checkpoints of the SAE stage as plain folders of the workshop; only the newest two are kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loupe.engine.sae.checkpoint import TrainingState, newest_usable
from loupe.engine.sae.plan import TrainingPlan


class Checkpoints:
    """`write` is the artefact writer that a training is given: a folder takes its name when it is complete."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def write(self, kind: str, name: str, details: Mapping[str, object] | None = None) -> Iterator[Draft]:
        step = (details or {}).get("step", 0)
        aside = self.root / ".part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield Draft(f"{step:08d}", aside)
        target = self.root / f"{step:08d}"
        shutil.rmtree(target, ignore_errors=True)
        aside.replace(target)
        for old in self._all()[2:]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self, plan: TrainingPlan) -> TrainingState | None:
        """The newest checkpoint of this very plan."""
        state, _ = newest_usable(self._all())
        return state if state is not None and state.plan == plan else None

    def _all(self) -> list[Path]:
        return sorted((path for path in self.root.glob("[0-9]*") if path.is_dir()), reverse=True)


@dataclass(slots=True)
class Draft:
    """A checkpoint being written."""

    id: str
    folder: Path
    details: dict[str, object] = field(default_factory=dict)

    def write(self, name: str, data: bytes) -> Path:
        (self.folder / name).write_bytes(data)
        return self.folder / name
