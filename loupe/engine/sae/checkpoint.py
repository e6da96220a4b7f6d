"""Checkpoints of a training: complete, and refused when they are not what was written.

    sae_N.safetensors       every tensor of one SAE's learner: weights, moments, counters
    state.json              step, stream cursor, plan, the learners' numbers, and the digests of the files beside it

`state.json` is written last and carries a digest of itself, so a torn or altered checkpoint is told from a good one
without help from the store. Starting again from a checkpoint gives the same bits as never having stopped (on a CPU).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from loupe.engine.context import ArtefactDraft
from loupe.engine.errors import CorruptFile, LoupeError
from loupe.engine.sae.plan import TrainingPlan

FORMAT = 1
STATE = "state.json"


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Everything a training needs to go on: per SAE its tensors and numbers, and where the stream stands."""

    plan: TrainingPlan
    step: int
    stream: Mapping[str, Any]
    tensors: Mapping[str, Mapping[str, Tensor]]
    numbers: Mapping[str, Mapping[str, Any]]


def write_checkpoint(draft: ArtefactDraft, state: TrainingState) -> None:
    """Fill a draft. The tensors must not change meanwhile."""
    files: dict[str, tuple[str, str]] = {}
    for index, (name, tensors) in enumerate(state.tensors.items()):
        file = f"sae_{index}.safetensors"
        save_file(dict(tensors), str(draft.folder / file), metadata={"name": name})
        files[name] = (file, _digest(draft.folder / file))
    body = {
        "format": FORMAT,
        "step": state.step,
        "plan": state.plan.to_dict(),
        "stream": dict(state.stream),
        "numbers": {name: dict(numbers) for name, numbers in state.numbers.items()},
        "files": files,
    }
    text = json.dumps(body, sort_keys=True)
    draft.write(STATE, json.dumps({"digest": _digest_of(text.encode()), "body": text}).encode())


def read_checkpoint(folder: Path) -> TrainingState:
    """Read and verify a checkpoint. Raises CorruptFile."""
    body = _body(folder)
    plan = TrainingPlan.from_dict(body["plan"])
    names = [run.name for run in plan.runs]
    files = {name: body["files"][name] for name in names}  # JSON was sorted by name; the plan's order is what counts
    tensors = {name: _tensors(folder / file, digest) for name, (file, digest) in files.items()}
    return TrainingState(plan, body["step"], body["stream"], tensors, {name: body["numbers"][name] for name in names})


def newest_usable(folders: Iterable[Path]) -> tuple[TrainingState | None, list[str]]:
    """The first of `folders` (newest first) that can be read, and why those before it could not."""
    refused: list[str] = []
    for folder in folders:
        try:
            return read_checkpoint(folder), refused
        except LoupeError as error:
            refused.append(str(error))
    return None, refused


def _body(folder: Path) -> dict[str, Any]:
    try:
        outer = json.loads((folder / STATE).read_text(encoding="utf-8"))
        text = outer["body"]
        if _digest_of(text.encode()) != outer["digest"]:
            raise CorruptFile(f"{folder / STATE} was altered: its digest does not match. Use an earlier checkpoint.")
        body = json.loads(text)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(f"{folder} is not a complete checkpoint ({error}). Use an earlier one.") from error
    if body.get("format") != FORMAT:
        raise CorruptFile(f"{folder} has checkpoint format {body.get('format')}; this version reads {FORMAT}.")
    return body


def _tensors(file: Path, digest: str) -> dict[str, Tensor]:
    try:
        if _digest(file) != digest:
            raise CorruptFile(f"{file} was altered or cut short: its digest does not match. Use an earlier checkpoint.")
        return load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise CorruptFile(f"{file} cannot be read ({error}). Use an earlier checkpoint.") from error


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
