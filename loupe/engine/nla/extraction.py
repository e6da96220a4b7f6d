"""The base run: one forward over the text that gives everything later steps need.

It keeps the raw output of the wanted blocks per token, the last hidden state (for next-token probabilities and as the
clean side of the replacement KL), and, on request, all keys and values (so that a replaced activation can be continued
from its block without running the text again). Long texts run in pieces, each seeing the pieces before it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.errors import BadPositions, EmptyText, LayerOutOfRange, TextTooLong
from loupe.engine.models.hooks import HookPoint, capture
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.nla.paths import Context, causal, run_path


@dataclass(frozen=True, slots=True)
class BaseRun:
    """One clean forward. `activations[K]` is the output of block K, fp32; `normed` is what the head reads."""

    ids: tuple[int, ...]
    activations: dict[int, Float[Tensor, "seq d_model"]]
    normed: Float[Tensor, "seq d_model"]
    context: Context | None


def extract(lm: LanguageModel, ids: Sequence[int], layer: int) -> Float[Tensor, "seq d_model"]:
    """The raw output of block `layer` for every token, fp32. Nothing above that block runs.

    Raises EmptyText, TextTooLong, BadPositions (an id outside the vocabulary), LayerOutOfRange.
    """
    check_ids(lm, ids)
    check_layer(lm, layer)
    point = HookPoint(layer)
    with torch.no_grad(), capture(lm, [point], stop=True) as store:
        lm.forward(torch.tensor([list(ids)]))
    return store[point][0].float()


def base_run_steps(
    lm: LanguageModel,
    ids: Sequence[int],
    layers: Sequence[int],
    *,
    keep_context: bool,
    piece_tokens: Callable[[], int] = lambda: 512,
) -> Generator[int, None, BaseRun]:
    """The base run, one piece at a time: yields how many tokens are done. Raises as `extract`."""
    check_ids(lm, ids)
    for layer in layers:
        check_layer(lm, layer)
    points = [HookPoint(layer) for layer in layers]
    kept: dict[HookPoint, list[Tensor]] = {point: [] for point in points}
    normed: list[Tensor] = []
    context: Context | None = None
    done = 0
    while done < len(ids):
        piece = ids[done : done + max(1, piece_tokens())]
        hidden, context, store = _run_piece(lm, piece, done, points, context)
        normed.append(hidden)
        for point in points:
            kept[point].append(store[point][0].float())
        done += len(piece)
        yield done
    activations = {point.layer: torch.cat(parts) for point, parts in kept.items()}
    return BaseRun(tuple(ids), activations, torch.cat(normed), context if keep_context else None)


def check_ids(lm: LanguageModel, ids: Sequence[int]) -> None:
    """Raises EmptyText, TextTooLong, BadPositions."""
    if not ids:
        raise EmptyText("There is no token to look at: the text is empty.")
    longest = getattr(lm.config, "max_position_embeddings", None)
    if longest is not None and len(ids) > longest:
        raise TextTooLong(f"The text has {len(ids)} tokens and this model reads at most {longest}.")
    if not 0 <= min(ids) <= max(ids) < lm.vocab_size:
        raise BadPositions(f"Token ids must be in 0 to {lm.vocab_size - 1}, got {min(ids)} to {max(ids)}.")


def check_layer(lm: LanguageModel, layer: int) -> None:
    """Raises LayerOutOfRange."""
    if not 0 <= layer < lm.n_layers:
        raise LayerOutOfRange(f"Layer {layer} does not exist: this model's blocks are 0 to {lm.n_layers - 1}.")


@torch.no_grad()
def _run_piece(
    lm: LanguageModel, piece: Sequence[int], done: int, points: Sequence[HookPoint], context: Context | None
) -> tuple[Tensor, Context, dict[HookPoint, Tensor]]:
    where = torch.arange(done, done + len(piece), device=lm.device)
    embeds = lm.embed(torch.tensor([list(piece)]))[0]
    with capture(lm, points) as store:
        hidden, added = run_path(lm.backbone, embeds, where, causal(len(piece), done, lm.device), context)
    return hidden, context.joined(added) if context else added, store
