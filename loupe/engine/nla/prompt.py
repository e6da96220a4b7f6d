"""The verbalizer's prompt: rendered once, with one slot whose embedding row is overwritten by the vector.

Choices:

- The prompt is rendered and tokenised in one step by the chat template, so that no special token is added twice.
- Prompt rows are looked up in bfloat16 and multiplied there by a Python float, as the public client does; the vector is
  written in fp32 and is never multiplied by the embedding scale. Tokens generated afterwards use the model's own rows.
- A slot is the sign with both recorded neighbours; a sign at either end of a sequence is never one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loupe.engine.errors import PromptDrift, SidecarUnreadable, TokenizerDrift, WidthMismatch
from loupe.engine.nla.metrics import scale_to_norm
from loupe.engine.nla.sidecar import InjectionTokens, Sidecar, fill_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SCALED_EMBEDDINGS = frozenset({"gemma", "gemma2", "gemma3", "gemma3_text", "t5"})


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids of the canonical prompt and the index of its slot."""

    ids: tuple[int, ...]
    slot: int


def build_prompt(tokenizer: PreTrainedTokenizerBase, sidecar: Sidecar) -> Prompt:
    """Render the canonical prompt and check it against the sidecar.

    Raises TokenizerDrift (the sign is not the one recorded token) and PromptDrift (not exactly one slot, or other
    neighbours).
    """
    tokens = sidecar.tokens
    if tokens is None or sidecar.verbalizer_template is None:
        raise SidecarUnreadable("This sidecar has no injection tokens or no verbalizer template.")
    check_sign(tokenizer, tokens)
    ids = render(tokenizer, fill_template(sidecar.verbalizer_template, "{injection_char}", tokens.char))
    return Prompt(ids, _only_slot(ids, tokens))


def check_sign(tokenizer: PreTrainedTokenizerBase, tokens: InjectionTokens) -> None:
    """Whether the sign is one token with the recorded id, by encoding it. Raises TokenizerDrift."""
    ids = tokenizer.encode(tokens.char, add_special_tokens=False)
    if ids != [tokens.token_id]:
        raise TokenizerDrift(
            f"The tokenizer encodes the injection sign {tokens.char!r} as {ids}, the sidecar recorded "
            f"[{tokens.token_id}]: wrong tokenizer, or its vocabulary changed."
        )
    if tokens.token_id == tokenizer.unk_token_id:
        raise TokenizerDrift(f"The injection sign {tokens.char!r} is unknown to the tokenizer.")


def render(tokenizer: PreTrainedTokenizerBase, content: str) -> tuple[int, ...]:
    """Ids of one user message through the chat template, with the generation prompt."""
    if not tokenizer.chat_template:
        raise PromptDrift("The verbalizer's tokenizer has no chat template, so its prompt cannot be rendered.")
    ids: Any = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, add_generation_prompt=True, return_dict=False
    )
    return tuple(ids)


def find_slots(ids: Int[Tensor, "batch seq"], tokens: InjectionTokens) -> Int[Tensor, "slots 2"]:
    """(row, column) of every slot, in row-major order."""
    is_slot = torch.zeros_like(ids, dtype=torch.bool)
    is_slot[:, 1:-1] = (
        (ids[:, 1:-1] == tokens.token_id) & (ids[:, :-2] == tokens.left_id) & (ids[:, 2:] == tokens.right_id)
    )
    return is_slot.nonzero()


def inject(
    ids: Int[Tensor, "batch seq"],
    embeds: Float[Tensor, "batch seq d_model"],
    vectors: Float[Tensor, "slots width"],
    tokens: InjectionTokens,
) -> Float[Tensor, "batch seq d_model"]:
    """A copy of `embeds` with already scaled vectors written into the slots, in row-major order.

    Raises PromptDrift when there are not as many slots as vectors, WidthMismatch.
    """
    if vectors.shape[-1] != embeds.shape[-1]:
        raise WidthMismatch(f"A vector of width {vectors.shape[-1]} cannot be injected at width {embeds.shape[-1]}.")
    slots = find_slots(ids, tokens)
    if len(slots) != len(vectors):
        raise PromptDrift(f"Found {len(slots)} slots with the recorded neighbours for {len(vectors)} vectors.")
    injected = embeds.clone()
    injected[slots[:, 0], slots[:, 1]] = vectors.to(embeds)
    return injected


def prompt_rows(
    ids: Sequence[int], table: Float[Tensor, "vocab d_model"], embed_scale: float
) -> Float[Tensor, "seq d_model"]:
    """The prompt's embedding rows as the public client computes them, in fp32 (design choices above)."""
    rows = table[torch.tensor(ids, device=table.device)].to(torch.bfloat16)
    return (rows * embed_scale).float()


def injected_rows(vectors: Float[Tensor, "rows d_model"], injection_scale: float) -> Float[Tensor, "rows d_model"]:
    """Raw activations as they enter the slot: fp32, at the injection norm."""
    return scale_to_norm(vectors.float(), injection_scale)


def embed_scale_of(config: Any) -> float:
    """What the public client multiplies raw prompt rows by: sqrt(d_model) for gemma and t5 models, else 1."""
    return math.sqrt(config.hidden_size) if config.model_type in _SCALED_EMBEDDINGS else 1.0


def _only_slot(ids: tuple[int, ...], tokens: InjectionTokens) -> int:
    signs = [index for index, token in enumerate(ids) if token == tokens.token_id]
    if len(signs) != 1:
        raise PromptDrift(f"The rendered prompt holds the injection sign {len(signs)} times, expected once.")
    slot = signs[0]
    if not 0 < slot < len(ids) - 1:
        raise PromptDrift(f"The injection sign is at position {slot} of {len(ids)}: a slot is never at an end.")
    found, recorded = (ids[slot - 1], ids[slot + 1]), (tokens.left_id, tokens.right_id)
    if found != recorded:
        raise PromptDrift(
            f"The neighbours of the slot are {found}, the sidecar recorded {recorded}: the chat template or the "
            "prompt template changed."
        )
    return slot
