"""Training checkpoints: weights, optimiser and step in one file, written aside and renamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from loupe.engine.optimizing import Optimizer


def store(path: Path, model: torch.nn.Module, optimizer: Optimizer, step: int) -> None:
    """Write a checkpoint that is complete or absent."""
    aside = path.with_suffix(".tmp")
    with aside.open("wb") as file:
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def restore(path: Path, model: torch.nn.Module, optimizer: Optimizer) -> int:
    """Load a checkpoint of our own making into model and optimiser; returns the next step, 0 when there is none."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]
