"""What one may ask of a training: one schema for the API's body, the command line, the page's form and templates.

The options of an SAE and of its training are those of `engine/sae/config.py`, with their ranges and meanings; here they
are named together with the text, the model and the hook points.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from loupe.app.services.catalogue import STARTER
from loupe.engine.errors import BadOption, LayerOutOfRange

if TYPE_CHECKING:
    from loupe.engine.sae.plan import SAERun, TrainingPlan


class SAERequest(BaseModel):
    """One SAE of a training. Options that are left out take the defaults of the architecture's paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", max_length=100, description="What it is called; unset names it by its options.")
    architecture: str = Field(default="batchtopk", description="How codes are made sparse.")
    d_sae: int = Field(default=1024, ge=1, le=1 << 24, description="Number of latents, that is of features.")
    reads: tuple[str, ...] = Field(
        default=(),
        max_length=64,
        description="Hook points it reads, such as blocks.3.resid_post; several: crosscoder. Unset: the middle block.",
    )
    writes: tuple[str, ...] = Field(
        default=(), max_length=64, description="Hook points it reconstructs; unset: what it reads."
    )
    options: dict[str, Any] = Field(default={}, description="More options of the SAE: k, activation, prefixes.")
    changes: dict[str, Any] = Field(default={}, description="Options of the training that only this SAE has.")


class Recipe(BaseModel):
    """How SAEs are trained, whatever the model and its token rows: what a template keeps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    saes: tuple[SAERequest, ...] = Field(default=(SAERequest(),), min_length=1, max_length=32)
    training: dict[str, Any] = Field(default={}, description="Options of the training: steps, batch_rows, lr, seed …")
    buffer_rows: int = Field(default=65_536, ge=256, le=1 << 26, description="Activations that are shuffled together.")
    held_out: float = Field(default=0.02, ge=0.001, le=0.5, description="Share of the rows kept for evaluation.")
    evaluation_rows: int = Field(default=256, ge=1, le=100_000, description="Most held-out rows an evaluation reads.")
    drop_special: bool = Field(default=True, description="Leave special tokens out.")
    drop_first: int = Field(default=1, ge=0, le=64, description="Leave out so many tokens at the start of a row.")
    drop_outliers: float | None = Field(
        default=10.0, gt=1, description="Leave out tokens whose norm is so many times the median."
    )
    watched: tuple[str, ...] = Field(
        default=(), max_length=4, description="Short texts whose features are shown while training."
    )
    keep_checkpoints: int = Field(default=3, ge=1, le=100, description="Newest checkpoints that are kept.")

    @model_validator(mode="after")
    def _watched_are_short(self) -> Recipe:
        if any(len(text) > 400 for text in self.watched):
            raise ValueError("a watched text has at most 400 characters")
        return self

    def plan(self, d_model: int, n_layers: int) -> TrainingPlan:
        """The engine's plan for a model of this size. Raises BadOption, LayerOutOfRange."""
        from loupe.engine.sae.config import TrainingConfig
        from loupe.engine.sae.plan import TrainingPlan

        runs = _distinct([_run(sae, d_model, n_layers) for sae in self.saes])
        return TrainingPlan(runs, TrainingConfig.from_dict(dict(self.training)))

    @property
    def summary(self) -> str:
        """What it trains, in a few words: what unnamed trainings and templates are called."""
        first = self.saes[0]
        others = f" and {len(self.saes) - 1} more" if len(self.saes) > 1 else ""
        return f"{first.architecture} {first.d_sae}{others}"


class TrainingRequest(Recipe):
    """SAEs to be trained on the activations of a model over token rows."""

    name: str = Field(default="", max_length=200, description="What the training is called; unset names it.")
    model: str = Field(default=STARTER, description="Model whose activations are read.")
    dtype: str | None = Field(default=None, description="Precision of the model's weights.")
    tokenisation: str = Field(default="", description="Token rows to read; of a cache, those it was written from.")
    activations: str | None = Field(
        default=None,
        max_length=64,
        description="Cache of activations to read instead of the model; what is held out and left out is as it says.",
    )
    fork_of: str | None = Field(default=None, description="Training whose checkpoint this one begins from.")
    from_checkpoint: str | None = Field(default=None, description="Checkpoint to begin from.")
    retry_of: str | None = Field(default=None, description="Training that ended too early and is gone on with.")

    @model_validator(mode="after")
    def _reads_something(self) -> TrainingRequest:
        if not self.tokenisation and not self.activations:
            raise ValueError("name the token rows to read (tokenisation) or a cache of activations (activations)")
        return self

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or f"{self.summary} on {self.model}"

    @property
    def recipe(self) -> Recipe:
        """The same without model, rows and name."""
        return Recipe.model_validate(self.model_dump(include=set(Recipe.model_fields)))


def _run(sae: SAERequest, d_model: int, n_layers: int) -> SAERun:
    from loupe.engine.models.hooks import HookPoint, Site
    from loupe.engine.sae.config import TRANSCODERS, SAEConfig
    from loupe.engine.sae.plan import SAERun

    middle, is_transcoder = n_layers // 2, sae.architecture in TRANSCODERS
    unset = HookPoint(middle, Site.MLP_IN) if is_transcoder else HookPoint(middle)
    reads = tuple(HookPoint.parse(name) for name in sae.reads) or (unset,)
    writes = tuple(HookPoint.parse(name) for name in sae.writes)
    if is_transcoder and not sae.writes:
        writes = tuple(HookPoint(point.layer, Site.MLP_OUT) for point in reads if point.site is Site.MLP_IN)
        if len(writes) != len(reads):
            raise BadOption(f"What does the transcoder that reads {reads[0]} reconstruct? Name it: writes.")
    for point in (*reads, *writes):
        if not 0 <= point.layer < n_layers:
            raise LayerOutOfRange(f"{point} does not exist: the model has blocks 0 to {n_layers - 1}.")
    given = {"architecture": sae.architecture, "d_sae": sae.d_sae, **sae.options}
    for name, value in (("d_in", d_model * len(reads)), ("parts", len(reads))):
        if given.setdefault(name, value) != value:
            raise BadOption(f"{name} follows from the hook points and is {value}; got {given[name]}.")
    width = f"{sae.d_sae}-k{sae.options['k']}" if sae.options.get("k") else str(sae.d_sae)
    name = sae.name or f"{sae.architecture}-{width}-{reads[0]}"
    return SAERun(name, SAEConfig.from_dict(given), reads, writes, dict(sae.changes))


def _distinct(runs: list[SAERun]) -> tuple[SAERun, ...]:
    """The same, those that are called alike with a number."""
    names = Counter(run.name for run in runs)
    seen: Counter[str] = Counter()
    found = []
    for run in runs:
        seen[run.name] += 1
        found.append(replace(run, name=f"{run.name}-{seen[run.name]}") if names[run.name] > 1 else run)
    return tuple(found)


def option_rows() -> dict[str, list[dict[str, Any]]]:
    """Every option of SAEs and trainings with its default, range, choices and meaning: what forms are made from."""
    from loupe.engine.sae.config import SAEConfig, TrainingConfig

    return {
        "sae": [asdict(facts) for facts in SAEConfig.schema()],
        "training": [asdict(facts) for facts in TrainingConfig.schema()],
    }
