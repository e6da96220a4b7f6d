"""Where the parts of a decoder live, one table for all families.

Choices, so that this page reads alone:

- A `Family` names modules by path (`model.layers`, `self_attn`), never by object: the table is data, resolving is one
  `get_submodule`. Options of a config that change the wiring (parallel residual, norm placement) are resolved by the
  row's function once, when the model is wrapped.
- Each of the six sites of a block is a `Tap`: the input or the output of one module inside the block.
  `attn_out` and `mlp_out` are what the branch *adds to the residual stream*. Families that normalise after the branch
  (gemma2, gemma3, olmo2) are therefore tapped after that norm, and `resid_pre + attn_out = resid_mid`,
  `resid_mid + mlp_out = resid_post` hold for every sequential family.
- `mlp_in` is the tensor the MLP itself receives: after its norm where it has one, the bare residual stream in olmo2.
- Parallel families (gpt_neox and falcon by default, phi) compute `resid_post = resid_pre + attn_out + mlp_out`; no
  tensor between attention and MLP exists. There `resid_mid` reads as what the MLP branch reads of the stream, which is
  `resid_pre`, and an intervention on it is refused: intervene on `resid_pre` or `mlp_in`.
- OPT with `do_layer_norm_before=False` (opt-350m) normalises the stream itself after each addition: there
  `resid_mid = norm(resid_pre + attn_out)` and `resid_post = norm(resid_mid + mlp_out)`.
- The embedding scale of gemma models sits inside the embedding module, which rounds sqrt(d) to the dtype of the weights
  (sqrt(3840) = 61.968 is 62.0 in bfloat16). `embed_scale` reads the rounded number from the module.

An unlisted family is looked for in `structure.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class Tap(NamedTuple):
    """One side of one module, by its path inside the block ("" is the block itself)."""

    module: str
    side: Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """Where the sites inside a block are read. `None` means that the block has no such tensor."""

    attn_out: Tap | None
    resid_mid: Tap | None
    mlp_in: Tap | None
    mlp_out: Tap | None
    parallel: bool = False  # attention and MLP both read resid_pre
    post_norm: bool = False  # the stream itself is normalised after each addition (opt-350m)
    flat: bool = False  # the MLP works on [batch * seq, d_model]


@dataclass(frozen=True, slots=True)
class Family:
    """The parts of one model, by path from the model with the language-modelling head.

    `backbone` is the text model whose forward takes `inputs_embeds` and returns the normalised last hidden state.
    `final_norm`, `project_in`, `project_out` are None where the model has none; `positions` is the module of learned
    positions that the backbone adds to `inputs_embeds`, if any. `softcap` names a config entry; `logit_factor` is what
    logits are multiplied by before it. `listed` is False for a family that was found by structure.
    """

    name: str
    backbone: str
    blocks: str
    embedding: str
    final_norm: str | None
    layout: BlockLayout
    head: str = "lm_head"
    positions: str | None = None
    project_in: str | None = None
    project_out: str | None = None
    softcap: str | None = None
    logit_factor: float = 1.0
    listed: bool = True


def _pre_norm(attn: str, mlp: str, mlp_norm: str) -> BlockLayout:
    return BlockLayout(Tap(attn, "out"), Tap(mlp_norm, "in"), Tap(mlp, "in"), Tap(mlp, "out"))


def _parallel(attn: str, mlp: str) -> BlockLayout:
    return BlockLayout(Tap(attn, "out"), None, Tap(mlp, "in"), Tap(mlp, "out"), parallel=True)


_LLAMA_BLOCK = _pre_norm("self_attn", "mlp", "post_attention_layernorm")
_SANDWICH_BLOCK = BlockLayout(
    attn_out=Tap("post_attention_layernorm", "out"),
    resid_mid=Tap("pre_feedforward_layernorm", "in"),
    mlp_in=Tap("mlp", "in"),
    mlp_out=Tap("post_feedforward_layernorm", "out"),
)
_OLMO2_BLOCK = BlockLayout(
    attn_out=Tap("post_attention_layernorm", "out"),
    resid_mid=Tap("mlp", "in"),
    mlp_in=Tap("mlp", "in"),
    mlp_out=Tap("post_feedforward_layernorm", "out"),
)


def _decoder(name: str, layout: BlockLayout, *, root: str = "model", norm: str = "norm", **parts: Any) -> Family:
    return Family(
        name=name,
        backbone=root,
        blocks=f"{root}.layers",
        embedding=f"{root}.embed_tokens",
        final_norm=f"{root}.{norm}",
        layout=layout,
        **parts,
    )


def _llama_like(name: str) -> Callable[[Any], Family]:
    return lambda config: _decoder(name, _LLAMA_BLOCK)


def _gpt2(config: Any) -> Family:
    return Family(
        name="gpt2",
        backbone="transformer",
        blocks="transformer.h",
        embedding="transformer.wte",
        final_norm="transformer.ln_f",
        layout=_pre_norm("attn", "mlp", "ln_2"),
        positions="transformer.wpe",
    )


def _gpt_neox(config: Any) -> Family:
    parallel = config.use_parallel_residual
    return Family(
        name="gpt_neox",
        backbone="gpt_neox",
        blocks="gpt_neox.layers",
        embedding="gpt_neox.embed_in",
        final_norm="gpt_neox.final_layer_norm",
        layout=_parallel("attention", "mlp") if parallel else _pre_norm("attention", "mlp", "post_attention_layernorm"),
    )


def _opt(config: Any) -> Family:
    pre_norm = config.do_layer_norm_before
    projected = config.word_embed_proj_dim != config.hidden_size
    layout = BlockLayout(
        attn_out=Tap("self_attn", "out"),
        resid_mid=Tap("final_layer_norm", "in") if pre_norm else Tap("self_attn_layer_norm", "out"),
        mlp_in=Tap("fc1", "in"),
        mlp_out=Tap("fc2", "out"),
        post_norm=not pre_norm,
        flat=True,
    )
    return Family(
        name="opt",
        backbone="model.decoder",
        blocks="model.decoder.layers",
        embedding="model.decoder.embed_tokens",
        final_norm="model.decoder.final_layer_norm" if pre_norm and not config._remove_final_layer_norm else None,
        layout=layout,
        positions="model.decoder.embed_positions",
        project_in="model.decoder.project_in" if projected else None,
        project_out="model.decoder.project_out" if projected else None,
    )


def _falcon(config: Any) -> Family:
    parallel = config.new_decoder_architecture or config.parallel_attn
    attn = "self_attention"
    return Family(
        name="falcon",
        backbone="transformer",
        blocks="transformer.h",
        embedding="transformer.word_embeddings",
        final_norm="transformer.ln_f",
        layout=_parallel(attn, "mlp") if parallel else _pre_norm(attn, "mlp", "post_attention_layernorm"),
    )


def _gemma3_wrapper(config: Any) -> Family:
    # The image-text wrapper never applies a softcap, even where its text config has one.
    return _decoder("gemma3", _SANDWICH_BLOCK, root="model.language_model")


def _sandwich(name: str) -> Callable[[Any], Family]:
    return lambda config: _decoder(name, _SANDWICH_BLOCK, softcap="final_logit_softcapping")


FAMILIES: dict[str, Callable[[Any], Family]] = {
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "opt": _opt,
    "falcon": _falcon,
    "llama": _llama_like("llama"),
    "mistral": _llama_like("mistral"),
    "mixtral": _llama_like("mixtral"),
    "qwen2": _llama_like("qwen2"),
    "qwen3": _llama_like("qwen3"),
    "qwen3_moe": _llama_like("qwen3_moe"),
    "gemma": _llama_like("gemma"),
    "gemma2": _sandwich("gemma2"),
    "gemma3_text": _sandwich("gemma3_text"),
    "gemma3": _gemma3_wrapper,
    "phi": lambda config: _decoder("phi", _parallel("self_attn", "mlp"), norm="final_layernorm"),
    "phi3": _llama_like("phi3"),
    "olmo2": lambda config: _decoder("olmo2", _OLMO2_BLOCK),
    "gpt_oss": _llama_like("gpt_oss"),
}
"""From a config's `model_type` to the family's parts."""


def listed_family(config: PreTrainedConfig) -> Family | None:
    """The table's row for a config, resolved for its options; None when the family is not listed."""
    row = FAMILIES.get(str(config.model_type))
    return row(config) if row else None
