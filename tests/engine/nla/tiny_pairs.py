"""Tiny random NLA pairs in the public format, one per family, with the golden pair's tokenizer (and BOS if asked)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from safetensors.torch import save_file
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer

from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model
from loupe.engine.nla.pair import NLAPair, load_pair

GOLDEN = Path(__file__).parents[2] / "golden" / "nla" / "qwen2"
LAYER = 2
_SIZES = {
    "vocab_size": 391,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_LAYER_TYPES = ["sliding_attention", "full_attention"] * 2
BOS_FAMILIES = ("llama", "mistral", "gemma", "gemma2", "gemma3_text", "gemma3")


@dataclass(frozen=True)
class PairFolders:
    base: Path
    av: Path
    ar: Path

    def load(self, **options: Any) -> tuple[LanguageModel, NLAPair]:
        model = load_model(self.base)
        return model, load_pair(model, self.av, self.ar, **options)


def tiny_config(family: str) -> Any:
    sizes, head = dict(_SIZES), {"head_dim": 8}
    gpt = {"vocab_size": 391, "bos_token_id": 0, "eos_token_id": 2}
    match family:
        case "llama":
            return transformers.LlamaConfig(**sizes)
        case "mistral":
            return transformers.MistralConfig(**sizes, sliding_window=7)
        case "qwen3":
            return transformers.Qwen3Config(
                **sizes, **head, use_sliding_window=True, sliding_window=7, max_window_layers=2
            )
        case "mixtral":
            return transformers.MixtralConfig(**sizes, num_local_experts=3)
        case "gemma":
            return transformers.GemmaConfig(**sizes, **head)
        case "gemma2":
            return transformers.Gemma2Config(
                **sizes, **head, sliding_window=7, attn_logit_softcapping=2.0, final_logit_softcapping=3.0
            )
        case "gemma3_text":
            return transformers.Gemma3TextConfig(**sizes, **head, sliding_window=7, layer_types=_LAYER_TYPES)
        case "gemma3":
            text = {**sizes, **head, "sliding_window": 7, "layer_types": _LAYER_TYPES}
            vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
            vision |= {"image_size": 16, "patch_size": 8}
            return transformers.Gemma3Config(text_config=text, vision_config=vision, image_token_index=390)
        case "gpt2":
            return transformers.GPT2Config(**gpt, n_embd=32, n_layer=4, n_head=4, n_positions=512)
        case "gpt_oss":
            sizes |= {"max_position_embeddings": 131072, "num_local_experts": 3, "num_experts_per_tok": 2}
            return transformers.GptOssConfig(**sizes, **head, sliding_window=7, layer_types=_LAYER_TYPES)
        case "falcon":
            return transformers.FalconConfig(**gpt, hidden_size=32, num_hidden_layers=4, num_attention_heads=4)
    raise AssertionError(family)


def tiny_model(family: str, seed: int, layers: int | None = None) -> Any:
    """A random model whose norms and biases are random too, so that nothing is hidden by ones and zeros."""
    torch.manual_seed(seed)
    config = tiny_config(family)
    if layers is not None:
        text = config.get_text_config()
        text.num_hidden_layers = layers
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[:layers]
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter) * 0.1
    return model


def tiny_tokenizer(*, bos: bool) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(GOLDEN / "av")
    if bos:
        tokenizer.bos_token = "<|endoftext|>"
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
        )
        tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    return tokenizer


def write_pair(folder: Path, family: str, *, seed: int = 0, lm_head: torch.Tensor | None = None) -> PairFolders:
    """Base, av and ar as the public release tool would lay them out."""
    folders = PairFolders(folder / "base", folder / "av", folder / "ar")
    tokenizer = tiny_tokenizer(bos=family in BOS_FAMILIES)
    for path, layers, offset in ((folders.base, None, 0), (folders.av, None, 1), (folders.ar, LAYER + 1, 2)):
        tiny_model(family, seed + offset, layers).save_pretrained(path)
        tokenizer.save_pretrained(path)
    torch.manual_seed(seed + 3)
    save_file({"weight": torch.randn(32, 32) / math.sqrt(32)}, folders.ar / "value_head.safetensors")
    for path, role in ((folders.av, "av"), (folders.ar, "ar")):
        write_sidecar(path, sidecar(tokenizer, role))
    return folders


def sidecar(tokenizer: Any, role: str) -> dict[str, Any]:
    golden = yaml.safe_load((GOLDEN / role / "nla_meta.yaml").read_text())
    meta = golden | {"d_model": 32, "extraction_layer_index": LAYER}
    meta["extraction"] = {"injection_scale": 9.0 if role == "av" else None, "mse_scale": math.sqrt(32)}
    if role == "ar":
        meta["critic"] = {"extraction_layer_index": LAYER}
    return meta


def read_sidecar(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "nla_meta.yaml").read_text())


def write_sidecar(folder: Path, meta: Any) -> None:
    (folder / "nla_meta.yaml").write_text(yaml.safe_dump(meta, allow_unicode=True))


def expected() -> dict[str, Any]:
    return json.loads((GOLDEN / "expected.json").read_text())
