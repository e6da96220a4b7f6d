"""Finding the parts of a decoder that is not in the table, by running it once and comparing tensors.

Names say little about an unknown architecture; arithmetic says more. The final norm is the module that receives exactly
the last block's output. The sites of a block are those module inputs and outputs for which
`resid_pre + attn_out = resid_mid` and `resid_mid + mlp_out = resid_post` hold (or `resid_pre + attn_out + mlp_out =
resid_post`, for parallel blocks) on a probe. A model whose branches are scaled before they are added has no such
tensors: it keeps `resid_pre`, `resid_post` and `mlp_in`. Whoever uses the result certifies it first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from loupe.engine.errors import UnsupportedModel
from loupe.engine.models.families import BlockLayout, Family, Tap

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Seen = dict[Tap, Tensor]
_ATTENTION = ("attn", "attention")
_MLP = ("mlp", "ffn", "feed_forward", "feedforward", "moe")


@torch.no_grad()
def find_family(model: PreTrainedModel) -> Family:
    """The parts of an unlisted decoder. Raises UnsupportedModel with what could not be found."""
    config = model.config.get_text_config()
    if model.config.is_encoder_decoder:
        raise UnsupportedModel(f"{config.model_type} is an encoder-decoder; Loupe reads decoders.")
    embedding = _path_of(model, model.get_input_embeddings(), "input embedding")
    head = _path_of(model, model.get_output_embeddings(), "vocabulary head")
    blocks = _blocks_path(model, embedding, int(config.num_hidden_layers))
    backbone = _backbone_path(model, blocks)
    logits, seen = _probe(model, blocks, head)
    family = Family(
        name=str(config.model_type),
        backbone=backbone,
        blocks=blocks,
        embedding=embedding,
        final_norm=_final_norm(seen, f"{blocks}.{config.num_hidden_layers - 1}", head),
        layout=_layout(_inside(seen, f"{blocks}.0")),
        head=head,
        positions=_positions(model, blocks, embedding),
        listed=False,
    )
    return _with_head_arithmetic(family, config, seen[Tap(head, "out")], logits)


def blocks_of(model: PreTrainedModel) -> str:
    """The path of the list of blocks, from the modules alone: the model may be without weights. Raises as
    `find_family`."""
    embedding = _path_of(model, model.get_input_embeddings(), "input embedding")
    return _blocks_path(model, embedding, int(model.config.get_text_config().num_hidden_layers))


def probe_ids(config: Any, length: int = 6) -> Tensor:
    """Distinct ids that are neither padding nor begin or end of sequence, [1, length]."""
    special: set[object] = set()
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "image_token_id"):
        value = getattr(config, name, None)
        special |= set(value) if isinstance(value, list) else {value}
    spread = range(3, config.vocab_size, max(1, config.vocab_size // (length + len(special) + 1)))
    ids = [token for token in spread if token not in special][:length]
    return torch.tensor([ids])


def _path_of(model: nn.Module, part: nn.Module | None, what: str) -> str:
    for path, module in model.named_modules():
        if module is part:
            return path
    raise UnsupportedModel(f"{type(model).__name__} has no {what} that could be found.")


def _blocks_path(model: nn.Module, embedding: str, n_layers: int) -> str:
    """The list of `n_layers` modules that sits closest to the input embedding."""
    found = [path for path, part in model.named_modules() if isinstance(part, nn.ModuleList) and len(part) == n_layers]
    if not found:
        raise UnsupportedModel(f"{type(model).__name__} has no list of {n_layers} blocks.")
    return max(found, key=lambda path: (_shared_depth(path, embedding), -path.count(".")))


def _shared_depth(one: str, other: str) -> int:
    pairs = zip(one.split("."), other.split("."), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(one.count("."), other.count(".")) + 1)


def _backbone_path(model: nn.Module, blocks: str) -> str:
    from transformers import PreTrainedModel

    path = blocks
    while "." in path:
        path = path.rpartition(".")[0]
        if isinstance(model.get_submodule(path), PreTrainedModel):
            return path
    raise UnsupportedModel(f"{type(model).__name__} keeps its blocks outside of any text model.")


def _positions(model: nn.Module, blocks: str, embedding: str) -> str | None:
    parent = blocks.rpartition(".")[0]
    tables = [f"{parent}.{name}" for name, part in model.get_submodule(parent).named_children() if _is_table(part)]
    others = [path for path in tables if path != embedding]
    return others[0] if len(others) == 1 else None


def _is_table(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding)


def _probe(model: PreTrainedModel, blocks: str, head: str) -> tuple[Tensor, Seen]:
    parent, n_layers = blocks.rpartition(".")[0], len(model.get_submodule(blocks))  # pyright: ignore[reportArgumentType]
    around = [f"{parent}.{name}" for name, part in model.get_submodule(parent).named_children()]
    first, last = f"{blocks}.0", f"{blocks}.{n_layers - 1}"
    inside = [f"{first}.{name}" for name, _ in model.get_submodule(first).named_modules() if 0 <= name.count(".") <= 1]
    seen: Seen = {}
    with _watched(model, {*around, first, *(path.rstrip(".") for path in inside), last, head} - {blocks}, seen):
        ids = probe_ids(model.config.get_text_config()).to(model.device)
        logits = model(input_ids=ids, use_cache=False).logits
    return logits, seen


@contextmanager
def _watched(model: nn.Module, paths: set[str], seen: Seen) -> Iterator[None]:
    with ExitStack() as hooks:
        for path in paths:
            module = model.get_submodule(path)
            hooks.callback(module.register_forward_pre_hook(_note_input(path, seen), with_kwargs=True).remove)
            hooks.callback(module.register_forward_hook(_note_output(path, seen)).remove)
        yield


def _note_input(path: str, seen: Seen) -> Any:
    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        value = args[0] if args else kwargs.get("hidden_states")
        if isinstance(value, Tensor):
            seen.setdefault(Tap(path, "in"), value.clone())

    return note


def _note_output(path: str, seen: Seen) -> Any:
    def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        value = output[0] if isinstance(output, tuple) else output
        if isinstance(value, Tensor):
            seen.setdefault(Tap(path, "out"), value.clone())

    return note


def _inside(seen: Seen, block: str) -> Seen:
    """What was seen in one block, by path from the block; only tensors of the residual stream's shape."""
    shape = seen[Tap(block, "in")].shape
    inner = {
        Tap(tap.module.removeprefix(block).lstrip("."), tap.side): value
        for tap, value in seen.items()
        if tap.module == block or tap.module.startswith(f"{block}.")
    }
    return {tap: value for tap, value in inner.items() if value.shape == shape}


def _final_norm(seen: Seen, last: str, head: str) -> str | None:
    stream, entering = seen[Tap(last, "out")], seen[Tap(head, "in")]
    if _same(stream, entering):
        return None
    for tap, value in seen.items():
        leaving = seen.get(Tap(tap.module, "out"))
        if tap.side == "in" and _same(value, stream) and leaving is not None and _same(leaving, entering):
            return tap.module
    raise UnsupportedModel("Nothing between the last block and the head looks like a final norm.")


def _layout(seen: Seen) -> BlockLayout:
    pre, post = seen.pop(Tap("", "in")), seen.pop(Tap("", "out"))
    taps = sorted(seen, key=lambda tap: tap.module.count("."))  # `mlp` rather than its last layer
    attention = [tap for tap in taps if tap.side == "out" and not _named(tap, _MLP)]
    mlp = [tap for tap in taps if tap.side == "out" and not _named(tap, _ATTENTION)]
    mlp_in = next((tap for tap in taps if tap.side == "in" and _named(tap, _MLP)), None)
    for added, mid in product(attention, [tap for tap in taps if tap.side == "in"]):
        if _same(pre + seen[added], seen[mid]):
            for out in mlp:
                if _same(seen[mid] + seen[out], post):
                    return BlockLayout(added, mid, mlp_in, out)
    for added, out in product(attention, mlp):
        if added != out and _same(pre + seen[added] + seen[out], post):
            return BlockLayout(added, None, mlp_in, out, parallel=True)
    return BlockLayout(None, None, mlp_in, None)


def _named(tap: Tap, words: tuple[str, ...]) -> bool:
    leaf = tap.module.rpartition(".")[2].lower()
    return "norm" not in leaf and any(word in leaf for word in words)


def _same(one: Tensor, other: Tensor) -> bool:
    """Equal up to the rounding of one addition in the dtype at hand."""
    if one.shape != other.shape:
        return False
    one, other = one.float(), other.float()
    slack = 8 * torch.finfo(torch.bfloat16).eps if other.dtype != torch.float32 else 1e-4
    return bool((one - other).norm() <= slack * other.norm())


def _with_head_arithmetic(family: Family, config: Any, raw: Tensor, logits: Tensor) -> Family:
    """How the head's output becomes logits: a factor (cohere, granite), a softcap, neither or both."""
    scaling = getattr(config, "logits_scaling", None)
    factors = [1.0, getattr(config, "logit_scale", None), 1 / scaling if scaling else None]
    for factor, softcap in product(factors, (None, "final_logit_softcapping")):
        cap = getattr(config, softcap, None) if softcap else None
        if factor is None or (softcap and cap is None):
            continue
        value = raw * factor if cap is None else torch.tanh(raw * factor / cap) * cap
        if _same(value, logits):
            return replace(family, logit_factor=float(factor), softcap=softcap)
    raise UnsupportedModel(f"How {family.name} makes logits from its head's output could not be found.")
