"""What one training job does: which SAEs, reading which hook points, from one stream of activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from loupe.engine.errors import BadOption, WidthMismatch
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.kinds import Architecture

SHARED = ("steps", "batch_rows", "log_interval", "checkpoint_interval", "evaluation_interval", "initial_rows")


@dataclass(frozen=True, slots=True)
class SAERun:
    """One SAE of a job: what it is, the hook points it reads and reconstructs, and what differs in its training.

    `writes` is what a transcoder predicts; empty means what is read. `changes` are options of TrainingConfig that this
    SAE has for itself; those that the whole job shares (steps, batch size, intervals) are refused. Raises BadOption.
    """

    name: str
    sae: SAEConfig
    reads: tuple[HookPoint, ...]
    writes: tuple[HookPoint, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.writes:
            object.__setattr__(self, "writes", self.reads)
        if len(self.reads) != self.sae.parts or len(self.writes) != self.sae.parts:
            raise BadOption(
                f"{self.name}: a {self.sae.architecture} of {self.sae.parts} part(s) was given {len(self.reads)} hook "
                f"points to read and {len(self.writes)} to reconstruct."
            )
        if self.reads != self.writes and not self.sae.is_transcoder:
            raise BadOption(f"{self.name}: only a transcoder reconstructs another hook point than it reads.")
        if shared := sorted(set(self.changes) & set(SHARED)):
            raise BadOption(f"{self.name}: {', '.join(shared)} belong to the whole job; one SAE cannot change them.")

    @property
    def points(self) -> tuple[HookPoint, ...]:
        """All hook points it needs, each once."""
        return tuple(dict.fromkeys((*self.reads, *self.writes)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return {
            "name": self.name,
            "sae": self.sae.to_dict(),
            "reads": [str(point) for point in self.reads],
            "writes": [str(point) for point in self.writes],
            "changes": dict(self.changes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SAERun:
        """The reverse of `to_dict`. Raises BadOption."""
        return cls(
            name=values["name"],
            sae=SAEConfig.from_dict(values["sae"]),
            reads=tuple(HookPoint.parse(point) for point in values["reads"]),
            writes=tuple(HookPoint.parse(point) for point in values.get("writes", ())),
            changes=values.get("changes", {}),
        )


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """All SAEs of a job and the training they share. Raises BadOption (no SAE, a name twice, options that clash)."""

    runs: tuple[SAERun, ...]
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        names = [run.name for run in self.runs]
        if not names or len(set(names)) != len(names) or not all(names):
            raise BadOption(f"A training needs at least one SAE, each with a name of its own; got {names}.")
        for run in self.runs:
            self.settled(run)

    def settled(self, run: SAERun) -> TrainingConfig:
        """One SAE's own training, every default filled in."""
        unsettled = TrainingConfig.from_dict(self.training.to_dict() | dict(run.changes))
        return unsettled.settled_for(run.sae)

    @property
    def points(self) -> tuple[HookPoint, ...]:
        """All hook points the stream must serve, each once."""
        return tuple(dict.fromkeys(point for run in self.runs for point in run.points))

    def check_stream(self, points: tuple[HookPoint, ...], d_in: int) -> None:
        """Hold the plan to a stream that serves `points`, all `d_in` wide. Raises BadOption, WidthMismatch."""
        if missing := [str(point) for point in self.points if point not in points]:
            raise BadOption(f"The stream serves {', '.join(map(str, points))}; {', '.join(missing)} is needed too.")
        for run in self.runs:
            wanted = d_in * run.sae.parts
            if (run.sae.d_in, run.sae.d_out) != (wanted, wanted):
                raise WidthMismatch(
                    f"{run.name} has d_in = {run.sae.d_in} and d_out = {run.sae.d_out}, but the activations are {d_in} "
                    f"wide: both must be {wanted}."
                )

    def forked(
        self, training: Mapping[str, Any] | None = None, changes: Mapping[str, Mapping[str, Any]] | None = None
    ) -> TrainingPlan:
        """The same SAEs trained otherwise from here on: new options for all, and by name for some. Raises BadOption."""
        changes = changes or {}
        if unknown := sorted(set(changes) - {run.name for run in self.runs}):
            raise BadOption(f"This training has no SAE named {', '.join(unknown)}.")
        runs = tuple(replace(run, changes={**run.changes, **changes.get(run.name, {})}) for run in self.runs)
        return TrainingPlan(runs, TrainingConfig.from_dict(self.training.to_dict() | dict(training or {})))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return {"runs": [run.to_dict() for run in self.runs], "training": self.training.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingPlan:
        """The reverse of `to_dict`. Raises BadOption."""
        return cls(
            tuple(SAERun.from_dict(run) for run in values["runs"]), TrainingConfig.from_dict(dict(values["training"]))
        )


def one_sae(
    architecture: Architecture | str, point: HookPoint, d_model: int, d_sae: int, *, k: int | None = None,
    training: TrainingConfig | None = None, **changes: Any,
) -> TrainingPlan:  # fmt: skip
    """The plan of a single SAE on one hook point, for notebooks and tests."""
    config = SAEConfig(Architecture(architecture), d_model, d_sae, k=k)
    return TrainingPlan((SAERun(str(point), config, (point,), changes=changes),), training or TrainingConfig())
