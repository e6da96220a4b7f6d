"""How a tuned lens is fitted: the options, their bounds, and the blocks they mean for a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from loupe.engine.errors import BadOption, LayerOutOfRange
from loupe.engine.sae.options import check, from_dict, option, to_dict


@dataclass(frozen=True, slots=True)
class LensRecipe:
    """How a tuned lens is fitted. Raises BadOption."""

    layers: tuple[int, ...] | None = option(None, "Blocks to fit; unset: all but the last.", low=0)
    steps: int = option(500, "Updates.", low=1, high=1_000_000)
    batch_rows: int = option(1024, "Tokens of an update.", low=1, high=1 << 20)
    lr: float = option(
        0.8, "Largest change of an activation that one update makes, as a share of it.", above=0, high=10
    )
    warmup: int = option(20, "Updates until the full rate; then it falls to zero in a straight line.", low=0)
    buffer_rows: int = option(16_384, "Tokens shuffled together.", low=64, high=1 << 22)
    log_interval: int = option(10, "Updates between two points of the curves.", low=1)
    checkpoint_interval: int = option(200, "Updates between two checkpoints; 0 for none.", low=0)
    seed: int = option(0, "Seed of the order in which tokens are read.", low=0)

    def __post_init__(self) -> None:
        check(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LensRecipe:
        """The reverse of `to_dict`. Raises BadOption."""
        layers = values.get("layers")
        if isinstance(layers, list | tuple) and not all(type(layer) is int for layer in layers):
            raise BadOption(f"layers must be numbers of blocks, got {list(layers)}.")
        return from_dict(cls, values)

    def settled(self, n_layers: int) -> LensRecipe:
        """With the blocks that unset means for a model of so many. Raises LayerOutOfRange, BadOption."""
        layers = tuple(range(n_layers - 1)) if self.layers is None else tuple(sorted(set(self.layers)))
        if not layers:
            raise BadOption("There is no block to fit: a model of one block needs no lens.")
        if layers[-1] >= n_layers - 1:
            raise LayerOutOfRange(
                f"Block {layers[-1]} cannot be fitted: lenses are for blocks 0 to {n_layers - 2} of this model; "
                "the logit lens of the last block is the model's prediction already."
            )
        return replace(self, layers=layers)
