"""The public contract in the plainest code: whole forwards, no cache, rows injected by hand, one text at a time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer


def prompt_ids(av: Path) -> list[int]:
    meta, tokenizer = _meta(av), AutoTokenizer.from_pretrained(av)
    content = meta["prompt_templates"]["av"].replace("{injection_char}", meta["tokens"]["injection_char"])
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    return tokenizer.encode(text, add_special_tokens=False)


@torch.no_grad()
def greedy(av: Path, activation: Tensor, steps: int) -> tuple[list[int], list[Tensor]]:
    """Greedy ids and the logits they were chosen from, every step a whole forward from embeddings."""
    model = AutoModelForCausalLM.from_pretrained(av)
    table, rows = model.get_input_embeddings(), prompt_rows(av, model, activation)
    new: list[int] = []
    seen: list[Tensor] = []
    for _ in range(steps):
        made = table(torch.tensor(new, dtype=torch.long))
        logits = model(inputs_embeds=torch.cat([rows, made])[None], use_cache=False).logits[0, -1]
        seen.append(logits)
        new.append(int(logits.argmax()))
    return new, seen


@torch.no_grad()
def prompt_rows(av: Path, model: Any, activation: Tensor) -> Tensor:
    """The rows that enter the verbalizer: the table's in bfloat16, scaled where the family does, and the slot's."""
    meta, ids = _meta(av), prompt_ids(av)
    text = model.config.get_text_config()
    scale = math.sqrt(text.hidden_size) if text.model_type.startswith("gemma") else 1.0
    rows = (model.get_input_embeddings().weight[torch.tensor(ids)].bfloat16() * scale).float()
    slot = ids.index(meta["tokens"]["injection_token_id"])
    rows[slot] = activation / (activation.norm() / meta["extraction"]["injection_scale"])
    return rows


@torch.no_grad()
def reconstruct(ar: Path, explanation: str) -> Tensor:
    meta, tokenizer = _meta(ar), AutoTokenizer.from_pretrained(ar)
    model = AutoModelForCausalLM.from_pretrained(ar)
    trunk: Any = model.model if hasattr(model, "model") else model.transformer
    trunk = getattr(trunk, "language_model", trunk)
    setattr(trunk, "norm" if hasattr(trunk, "norm") else "ln_f", nn.Identity())
    text = meta["prompt_templates"]["ar"].replace("{explanation}", explanation.strip())
    ids = tokenizer(text, return_tensors="pt").input_ids
    head = next(iter(load_file(ar / "value_head.safetensors").values()))
    return head @ trunk(input_ids=ids, use_cache=False).last_hidden_state[0, -1]


@torch.no_grad()
def activations(base: Path, ids: list[int], layer: int) -> Tensor:
    """Output of block `layer`, by a hook on the block itself."""
    model = AutoModelForCausalLM.from_pretrained(base)
    blocks = next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == 4)
    caught: list[Tensor] = []
    blocks[layer].register_forward_hook(
        lambda module, args, out: caught.append(out[0] if isinstance(out, tuple) else out)
    )
    model(input_ids=torch.tensor([ids]), use_cache=False)
    return caught[0][0]


def _meta(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "nla_meta.yaml").read_text())
