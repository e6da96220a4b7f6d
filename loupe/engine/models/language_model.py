"""One decoder with its tokenizer, its parts found, ready to be read and intervened on.

Choices:

- All work goes through the *backbone* (the text model that takes `inputs_embeds`), never through the class with the
  head: an image-text wrapper then behaves like its text model, and nobody pays for a vocabulary-wide matmul unasked.
- Blocks, norms and embedding are looked up by path at each use. Nothing is cached that could outlive a weight patch.
- The class holds no mode: gradient, dtype and threads are the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from loupe.engine.models.families import Family

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
    from transformers.modeling_outputs import BaseModelOutputWithPast

    from loupe.engine.models.certify import Certificate
    from loupe.engine.models.placement import Placement

_DTYPE_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(slots=True, eq=False)
class LanguageModel:
    """A causal language model in evaluation mode, with its tokenizer and the places of its parts.

    Made by `load_model` (from a folder) or `wrap_model` (from a model in memory). `path` is the folder it came from, or
    None. `dtype` is what the weights really are ("fp32", "bf16", "fp16", "int8", "nf4"). `tokenizer` may be None for a
    folder that ships none. `known_fingerprint` is the fingerprint once it is known; read `fingerprint`. `certificate`
    is what was checked when an unlisted family was wrapped (None for a listed one, until somebody certifies it).
    `placement` says where a loaded model was put; None for a model made in memory.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    family: Family
    path: Path | None
    dtype: str
    known_fingerprint: str | None = field(default=None, repr=False)
    certificate: Certificate | None = field(default=None, repr=False)
    placement: Placement | None = None

    @property
    def config(self) -> PreTrainedConfig:
        """The text model's config, also inside an image-text wrapper."""
        return self.model.config.get_text_config()

    @property
    def backbone(self) -> nn.Module:
        """The text model: takes `inputs_embeds`, returns the last hidden state after the final norm."""
        return self.model.get_submodule(self.family.backbone)

    @property
    def blocks(self) -> nn.ModuleList:
        blocks = self.model.get_submodule(self.family.blocks)
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    @property
    def embedding(self) -> nn.Module:
        """From ids to what `inputs_embeds` must hold. In gemma models the scale sits inside this module."""
        return self.model.get_submodule(self.family.embedding)

    @property
    def final_norm(self) -> nn.Module:
        """The norm between the last block and the head; an identity where the model has none (opt-350m)."""
        return self.model.get_submodule(self.family.final_norm) if self.family.final_norm else nn.Identity()

    @property
    def head(self) -> nn.Module:
        return self.model.get_submodule(self.family.head)

    @property
    def n_layers(self) -> int:
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        return int(self.config.hidden_size)

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding table, which may be more than the tokenizer has tokens."""
        return int(self.embedding_table.shape[0])

    @property
    def embedding_table(self) -> Tensor:
        """The raw table, [vocab_size, d_model] (narrower in an OPT model that projects its embeddings)."""
        table = self.embedding.weight
        assert isinstance(table, Tensor)
        return table

    @property
    def max_tokens(self) -> int | None:
        """How many positions the model was made for, where its config says so."""
        value = getattr(self.config, "max_position_embeddings", None)
        return None if value is None else int(value)

    @property
    def device(self) -> torch.device:
        """Where token ids must be: the device of the embedding table."""
        return self.embedding_table.device

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of the residual stream as it enters block 0."""
        return self.embedding_table.dtype

    @property
    def embed_scale(self) -> float:
        """What a raw table row is multiplied by before block 0, as the module really computes it.

        1.0 for most families; sqrt(d_model) for gemma, gemma2 and gemma3, rounded to the dtype of the table
        (62.0 instead of 61.968 for d_model 3840 in bfloat16).
        """
        scale = getattr(self.embedding, "embed_scale", None)
        return 1.0 if scale is None else float(torch.as_tensor(scale).to(self.torch_dtype))

    @property
    def final_softcap(self) -> float | None:
        """The c of `c * tanh(logits / c)` applied after the head, or None."""
        value = getattr(self.config, self.family.softcap, None) if self.family.softcap else None
        return None if value is None else float(value)

    @property
    def fingerprint(self) -> str:
        """sha256 over config and weights: of the files where there are files, else of the tensors. Computed once."""
        if self.known_fingerprint is None:
            from loupe.engine.models.fingerprint import fingerprint_folder, fingerprint_model

            self.known_fingerprint = fingerprint_folder(self.path) if self.path else fingerprint_model(self.model)
        return self.known_fingerprint

    def embed(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq d_model"]:
        """The rows that `inputs_embeds` takes: raw table rows times `embed_scale`.

        This is exactly what block 0 receives, except that models with learned positions (gpt2, opt) add those
        themselves. A vector put in place of a row is not scaled by anyone.
        """
        return self.embedding(ids.to(self.device))

    def forward(
        self,
        ids: Int[Tensor, "batch seq"] | None = None,
        *,
        embeds: Float[Tensor, "batch seq d_model"] | None = None,
        use_cache: bool = False,
        **inputs: Any,
    ) -> BaseModelOutputWithPast:
        """Run the backbone: `.last_hidden_state` after the final norm, `.past_key_values` when `use_cache`.

        Exactly one of `ids` and `embeds`. `inputs` are the backbone's own: `attention_mask`, `position_ids`,
        `past_key_values`.
        """
        if ids is not None:
            ids = ids.to(self.device)
        return self.backbone(input_ids=ids, inputs_embeds=embeds, use_cache=use_cache, **inputs)

    def head_logits(self, normed: Float[Tensor, "*rows d_embed"]) -> Float[Tensor, "*rows vocab"]:
        """From the backbone's output (after the final norm) to logits, softcap included."""
        logits = self.head(normed)
        if self.family.logit_factor != 1:
            logits = logits * self.family.logit_factor
        softcap = self.final_softcap
        return logits if softcap is None else torch.tanh(logits / softcap) * softcap

    def project_out(self, normed: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_embed"]:
        """What an OPT model with narrow embeddings does between final norm and head; the argument itself elsewhere."""
        return self.model.get_submodule(self.family.project_out)(normed) if self.family.project_out else normed

    def unembed(self, hidden: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows vocab"]:
        """From the residual stream after the last block to logits: final norm, projection, head, softcap."""
        return self.head_logits(self.project_out(self.final_norm(hidden)))

    def logits(
        self,
        ids: Int[Tensor, "batch seq"] | None = None,
        *,
        embeds: Float[Tensor, "batch seq d_model"] | None = None,
        **inputs: Any,
    ) -> Float[Tensor, "batch seq vocab"]:
        """The model's own next-token logits at every position."""
        normed = self.forward(ids, embeds=embeds, **inputs).last_hidden_state
        assert normed is not None
        return self.head_logits(normed)


def dtype_name(dtype: torch.dtype) -> str:
    """ "fp32", "bf16" or "fp16"; torch's own name for anything else."""
    return _DTYPE_NAMES.get(dtype, str(dtype).removeprefix("torch."))
