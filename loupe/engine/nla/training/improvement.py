"""Improve a verbalizer with reconstruction as reward.

Every round samples several explanations of each activation, lets the reconstructor read them, and follows the policy
gradient with advantages taken within each activation's group (as GRPO does): only explanations that differ in how well
they reconstruct teach anything. Some supervised explanations are mixed in, so that the text stays English, and a
response without closing tag earns the worst reward. On-policy, one update a round, no clipping needed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from loupe.engine.nla.training.checkpoint import restore, store
from loupe.engine.nla.training.examples import Examples
from loupe.engine.nla.training.prompt import Prompt
from loupe.engine.nla.training.verbalizer import response, response_loss
from loupe.engine.optimizing import Optimizer, Schedule

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

UNREADABLE = -1.0  # the cosine a response without explanation tags is given


@dataclass(frozen=True, slots=True)
class ImprovementRecipe:
    rounds: int = 90
    activations: int = 48
    samples: int = 8
    temperature: float = 1.0
    taught_per_group: int = 4
    supervised: int = 48
    supervised_weight: float = 0.3
    matrix_lr: float = 4e-3
    other_lr: float = 4e-4
    save_every: int = 10
    seed: int = 3


class Sample(NamedTuple):
    """A sampled response: its token ids (end of turn included when reached) and its explanation, None without tags."""

    ids: list[int]
    explanation: str | None


class Round(NamedTuple):
    """What a round measured: mean cosine of all samples, mean of each group's best, share with readable tags."""

    done: int
    rounds: int
    mean_cosine: float
    best_cosine: float
    readable: float


Sampler = Callable[[Float[Tensor, "n d_model"], int, float, int], list[list[Sample]]]
Reader = Callable[[list[str]], Float[Tensor, "n d_model"]]


def improve_verbalizer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, examples: Examples,
    sample: Sampler, read: Reader, recipe: ImprovementRecipe, checkpoint: Path,
) -> Iterator[Round]:  # fmt: skip
    """Train in place. `sample(vectors, samples, temperature, seed)` must use the weights as they are now; `read`
    reconstructs explanations. Continues from `checkpoint`."""
    schedule = Schedule(recipe.rounds, warmup=5, hold=0.6, floor=0.1)
    optimizer = Optimizer(
        model, schedule, matrix_lr=recipe.matrix_lr, other_lr=recipe.other_lr, head_lr=recipe.other_lr
    )
    for step in range(restore(checkpoint, model, optimizer), recipe.rounds):
        rng = random.Random(f"{recipe.seed}:{step}")  # noqa: S311
        chosen = rng.sample(range(len(examples)), recipe.activations)
        vectors = examples.vectors[chosen]
        groups = sample(vectors, recipe.samples, recipe.temperature, recipe.seed * 1_000_003 + step)
        rewards = _rewards(groups, vectors, read)
        pad: Any = tokenizer.pad_token_id
        _follow(model, prompt, groups, vectors, rewards, pad, recipe.taught_per_group)
        taught = rng.sample(range(len(examples)), recipe.supervised)
        _supervise(model, tokenizer, prompt, examples, taught, recipe.supervised_weight)
        optimizer.step(step)
        if (step + 1) % recipe.save_every == 0:
            store(checkpoint, model, optimizer, step + 1)
        readable = float((rewards > UNREADABLE).float().mean())
        yield Round(step + 1, recipe.rounds, float(rewards.mean()), float(rewards.amax(1).mean()), readable)


def _rewards(groups: list[list[Sample]], vectors: Tensor, read: Reader) -> Float[Tensor, "n samples"]:
    texts = sorted({item.explanation for group in groups for item in group if item.explanation})
    rebuilt = dict(zip(texts, read(texts), strict=True)) if texts else {}
    return torch.tensor(
        [
            [
                float(F.cosine_similarity(rebuilt[item.explanation].float(), vector.float(), dim=0))
                if item.explanation
                else UNREADABLE
                for item in group
            ]
            for group, vector in zip(groups, vectors, strict=True)
        ]
    )


def _follow(
    model: PreTrainedModel, prompt: Prompt, groups: list[list[Sample]], vectors: Tensor,
    rewards: Tensor, pad: int, taught_per_group: int,
) -> None:  # fmt: skip
    """Accumulate the policy gradient of the samples with the largest advantages of either sign."""
    spread = rewards.std(1, keepdim=True)
    advantages = (rewards - rewards.mean(1, keepdim=True)) / (spread + 1e-3)
    rows = [
        (groups[g][i].ids, vectors[g], float(advantages[g, i]))
        for g in range(len(groups))
        for i in advantages[g].abs().topk(taught_per_group).indices.tolist()
    ]
    rows.sort(key=lambda row: len(row[0]))
    for start in range(0, len(rows), 32):
        part = rows[start : start + 32]
        nll = response_loss(model, prompt, [ids for ids, _, _ in part], torch.stack([v for _, v, _ in part]), pad)
        ((nll * torch.tensor([a for _, _, a in part])).sum() / len(rows)).backward()


def _supervise(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, examples: Examples,
    chosen: list[int], weight: float,
) -> None:  # fmt: skip
    texts = [response(examples.texts[i]) for i in chosen]
    rows = [[*row, tokenizer.eos_token_id] for row in tokenizer(texts).input_ids]
    pad: Any = tokenizer.pad_token_id
    loss = response_loss(model, prompt, rows, examples.vectors[chosen], pad).mean()
    (weight * loss).backward()
