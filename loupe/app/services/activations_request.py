"""What may be asked of caches of activations: one declaration for the API, the form and the command line."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from loupe.app.services.catalogue import STARTER

LEFT_OUT = ("held_out", "drop_special", "drop_first", "drop_outliers")


class ActivationsRequest(BaseModel):
    """A cache of activations to be written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenisation: str = Field(min_length=1, max_length=64, description="Token rows to read.")
    model: str = Field(default=STARTER, max_length=300, description="Model whose activations are kept.")
    name: str = Field(default="", max_length=200, description="What it is called; unset: after model and hook points.")
    points: tuple[str, ...] = Field(
        min_length=1, max_length=64, description="Hook points, such as blocks.3.resid_post; each takes as much space."
    )
    rows: int | None = Field(default=None, ge=1, le=10**12, description="Most tokens kept; unset: one epoch.")
    max_gb: float = Field(
        default=10.0, gt=0, le=100_000, title="Most on disk, GB", description="Most gigabytes on disk."
    )
    dtype: Literal["fp16", "bf16", "fp32"] = Field(default="fp16", description="Precision that is kept.")
    shard_rows: int = Field(
        default=8192, ge=16, le=1 << 24, description="Tokens of a shard; a training's buffer holds at least one."
    )
    held_out: float = Field(default=0.02, ge=0.001, le=0.5, description="Share of the rows kept for evaluation.")
    drop_special: bool = Field(default=True, description="Leave special tokens out.")
    drop_first: int = Field(default=1, ge=0, le=64, description="Leave out so many tokens at the start of a row.")
    drop_outliers: float | None = Field(
        default=10.0, gt=1, description="Leave out tokens whose norm is so many times the median."
    )

    @property
    def title(self) -> str:
        """What it is called."""
        first, more = self.points[0], f" and {len(self.points) - 1} more" if len(self.points) > 1 else ""
        return self.name or f"{self.model} at {first}{more}"
