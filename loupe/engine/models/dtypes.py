"""Number formats of weights: what a dtype's name means here, and quantised models, which transformers itself loads."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from loupe.engine.errors import BadOption
from loupe.engine.models.configs import auto_class, quietly
from loupe.engine.models.placement import Placement

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

DtypeName = Literal["auto", "fp32", "bf16", "fp16", "int8", "nf4"]
_TORCH_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype_options(dtype: str, placement: Placement) -> dict[str, Any]:
    """The options of `from_pretrained` for it. Raises BadOption for what this machine cannot do."""
    if dtype == "auto":
        return {"dtype": "auto"}
    if dtype in _TORCH_DTYPES:
        return {"dtype": _TORCH_DTYPES[dtype]}
    if dtype not in get_args(DtypeName):
        raise BadOption(f"dtype {dtype!r} is unknown: use one of {', '.join(get_args(DtypeName))}.")
    if placement.home.type != "cuda" or not torch.cuda.is_available() or not importlib.util.find_spec("bitsandbytes"):
        raise BadOption(f"{dtype} needs a CUDA device and the cuda extra (bitsandbytes). Here use fp32, bf16 or fp16.")
    return _quantised(dtype, placement.home)


def _quantised(dtype: str, device: torch.device) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    if dtype == "int8":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    else:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    return {"quantization_config": quantization, "device_map": {"": device}}


def load_quantised(
    folder: Path, config: PreTrainedConfig, options: dict[str, Any], placement: Placement, tolerate_head: bool
) -> tuple[PreTrainedModel, list[str]]:
    """What is quantised, or stored so, by transformers' own way from the first byte to the last; and which parameters
    no file holds. Raises BadOption."""
    if placement.is_spread:
        raise BadOption(f"A quantised model is loaded onto one device, not onto {placement}.")
    with quietly():
        loaded: Any = auto_class(config).from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=tolerate_head,
            **options,
        )
    model, info = loaded
    model.requires_grad_(False)
    there = model if "quantization_config" in options else model.to(placement.home)
    return there, sorted({*info["missing_keys"], *(str(key[0]) for key in info["mismatched_keys"])})
