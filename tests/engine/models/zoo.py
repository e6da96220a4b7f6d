"""Tiny random models, one per family and per wiring that a family's config can ask for."""

from collections.abc import Callable
from functools import lru_cache

import torch
import transformers as tf
from transformers import PreTrainedModel

from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import wrap_model

VOCAB = 96
_SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GEMMA = {**_SMALL, "head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 4}
_EXPERTS = {"num_experts_per_tok": 2}


def _without(*names: str) -> dict[str, int]:
    return {key: value for key, value in _SMALL.items() if key not in names}


def _gemma3_text(**options: object) -> tf.Gemma3TextConfig:
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    return tf.Gemma3TextConfig(**_GEMMA, layer_types=kinds, **options)


def _gemma3_wrapper() -> PreTrainedModel:
    vision = tf.SiglipVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    config = tf.Gemma3Config(
        text_config=_gemma3_text(), vision_config=vision, mm_tokens_per_image=4, image_token_id=VOCAB - 1
    )
    return tf.Gemma3ForConditionalGeneration(config)


def _opt(**options: object) -> PreTrainedModel:
    small = _without("intermediate_size", "num_key_value_heads")
    return tf.OPTForCausalLM(tf.OPTConfig(**small, ffn_dim=40, **{"word_embed_proj_dim": 24, **options}))


def _falcon(**options: object) -> PreTrainedModel:
    small = _without("intermediate_size", "num_key_value_heads", "max_position_embeddings")
    return tf.FalconForCausalLM(tf.FalconConfig(**small, **options))


def _gpt_neox(**options: object) -> PreTrainedModel:
    return tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**_without("num_key_value_heads"), **options))


LISTED: dict[str, Callable[[], PreTrainedModel]] = {
    "gpt2": lambda: tf.GPT2LMHeadModel(
        tf.GPT2Config(vocab_size=VOCAB, n_embd=24, n_layer=3, n_head=2, n_positions=64, bos_token_id=1, eos_token_id=2)
    ),
    "gpt_neox": _gpt_neox,
    "gpt_neox sequential": lambda: _gpt_neox(use_parallel_residual=False),
    "opt": _opt,
    "opt post-norm": lambda: _opt(do_layer_norm_before=False, word_embed_proj_dim=16),
    "falcon": _falcon,
    "falcon new": lambda: _falcon(new_decoder_architecture=True, num_kv_heads=1),
    "falcon sequential": lambda: _falcon(parallel_attn=False, alibi=True, multi_query=False),
    "llama": lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**_SMALL)),
    "mistral": lambda: tf.MistralForCausalLM(tf.MistralConfig(**_SMALL, sliding_window=4)),
    "mixtral": lambda: tf.MixtralForCausalLM(tf.MixtralConfig(**_SMALL, **_EXPERTS, num_local_experts=4)),
    "qwen2": lambda: tf.Qwen2ForCausalLM(tf.Qwen2Config(**_SMALL, tie_word_embeddings=True)),
    "qwen3": lambda: tf.Qwen3ForCausalLM(tf.Qwen3Config(**_SMALL, head_dim=12)),
    "qwen3_moe": lambda: tf.Qwen3MoeForCausalLM(
        tf.Qwen3MoeConfig(**_SMALL, **_EXPERTS, head_dim=12, num_experts=4, moe_intermediate_size=16)
    ),
    "gemma": lambda: tf.GemmaForCausalLM(tf.GemmaConfig(**_SMALL, head_dim=12)),
    "gemma2": lambda: tf.Gemma2ForCausalLM(tf.Gemma2Config(**_GEMMA, final_logit_softcapping=0.5)),
    "gemma3": lambda: tf.Gemma3ForCausalLM(_gemma3_text(final_logit_softcapping=0.5)),
    "gemma3 wrapper": _gemma3_wrapper,
    "phi": lambda: tf.PhiForCausalLM(tf.PhiConfig(**_SMALL)),
    "phi3": lambda: tf.Phi3ForCausalLM(tf.Phi3Config(**_SMALL)),
    "olmo2": lambda: tf.Olmo2ForCausalLM(tf.Olmo2Config(**_SMALL)),
    "gpt_oss": lambda: tf.GptOssForCausalLM(
        tf.GptOssConfig(**_SMALL, **_EXPERTS, head_dim=12, num_local_experts=4, sliding_window=4)
    ),
}

UNLISTED: dict[str, Callable[[], PreTrainedModel]] = {
    "stablelm": lambda: tf.StableLmForCausalLM(tf.StableLmConfig(**_SMALL, partial_rotary_factor=0.5)),
    "stablelm parallel": lambda: tf.StableLmForCausalLM(
        tf.StableLmConfig(**_SMALL, partial_rotary_factor=0.5, use_parallel_residual=True)
    ),
    "olmo3": lambda: tf.Olmo3ForCausalLM(tf.Olmo3Config(**_SMALL)),
    "cohere": lambda: tf.CohereForCausalLM(tf.CohereConfig(**_SMALL, logit_scale=0.25)),
    "granite": lambda: tf.GraniteForCausalLM(
        tf.GraniteConfig(**_SMALL, residual_multiplier=0.5, embedding_multiplier=3.0, logits_scaling=4.0)
    ),
    "bloom": lambda: tf.BloomForCausalLM(
        tf.BloomConfig(vocab_size=VOCAB, hidden_size=24, n_layer=3, n_head=2, bos_token_id=1, eos_token_id=2)
    ),
    "gpt_neo": lambda: tf.GPTNeoForCausalLM(
        tf.GPTNeoConfig(
            vocab_size=VOCAB, hidden_size=24, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]]
        )
    ),
    "gptj": lambda: tf.GPTJForCausalLM(
        tf.GPTJConfig(vocab_size=VOCAB, n_embd=24, n_layer=3, n_head=2, n_positions=64, rotary_dim=4)
    ),
    "glm4": lambda: tf.Glm4ForCausalLM(tf.Glm4Config(**_SMALL, head_dim=12)),
    "starcoder2": lambda: tf.Starcoder2ForCausalLM(tf.Starcoder2Config(**_SMALL)),
}

ZOO = LISTED | UNLISTED


def make(name: str) -> PreTrainedModel:
    """A new random model with weights large enough that every block matters, norms and biases away from their start."""
    torch.manual_seed(7)
    model = ZOO[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


build = lru_cache(make)
"""The same, made once and shared between tests: leave it as it was."""


IDS = torch.tensor([[5, 9, 3, 17, 40, 21], [7, 8, 11, 60, 19, 33]])


@lru_cache
def lm_of(name: str) -> LanguageModel:
    """The wrapped model of that name, "llama bf16" in bfloat16. Shared between tests: leave it as it was."""
    family = name.removesuffix(" bf16")
    model = build(name) if family == name else make(family).to(torch.bfloat16)
    model.requires_grad_(False)
    return wrap_model(model, None)
