"""What an NLA learns from: activations, each with an explanation in words."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Examples:
    """Raw activations `[n d_model]` at one hook point and the explanation of each."""

    vectors: Float[Tensor, "n d_model"]
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.vectors) != len(self.texts):
            raise ValueError(f"{len(self.vectors)} vectors but {len(self.texts)} explanations: each vector needs one.")

    def __len__(self) -> int:
        return len(self.texts)

    def save(self, path: Path) -> None:
        """Write `<path>.safetensors` and `<path>.json`."""
        from safetensors.torch import save_file

        save_file({"vectors": self.vectors.contiguous()}, str(path.with_suffix(".safetensors")))
        path.with_suffix(".json").write_text(json.dumps(self.texts), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Examples:
        from safetensors.torch import load_file

        vectors = load_file(str(path.with_suffix(".safetensors")))["vectors"]
        return Examples(vectors, tuple(json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))))


def length_batches(lengths: list[int], tokens: int, seed: int) -> Iterator[list[int]]:
    """Endless index batches of about `tokens` tokens with similar lengths together; order set by `seed`."""
    epoch = 0
    while True:
        rng = random.Random(f"{seed}:{epoch}")  # noqa: S311 - data order, not secrets
        order = sorted(range(len(lengths)), key=lambda i: (lengths[i] // 4, rng.random()))
        groups: list[list[int]] = [[]]
        for index in order:
            if groups[-1] and (len(groups[-1]) + 1) * lengths[index] > tokens:
                groups.append([])
            groups[-1].append(index)
        rng.shuffle(groups)
        yield from groups
        epoch += 1


def right_padded(rows: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Token rows `[b s]` padded on the right, and the index `[b]` of each row's last real token."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
    return ids, torch.tensor([len(row) - 1 for row in rows])
