"""From a local folder, or from a model in memory, to a `LanguageModel`.

Choices:

- Local folders only; fetching from a hub is the app's business. `trust_remote_code` is never on.
- The weight files are judged before transformers sees them (`weights.py`): safetensors only, no truncated file.
- A checkpoint must fill the model. Transformers fills what is missing at random and goes on; here that is an error.
- A dtype is what it says. What this machine cannot do is refused, never replaced by another dtype in silence.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import nn

from loupe.engine.errors import BadOption, CorruptFile, ModelError, UnknownFormat, UnsupportedModel
from loupe.engine.models.certify import certify
from loupe.engine.models.families import listed_family
from loupe.engine.models.language_model import LanguageModel, dtype_name
from loupe.engine.models.structure import find_family
from loupe.engine.models.weights import read_json, weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LanguageModel", "load_model", "load_tokenizer", "load_trunk", "skeleton", "wrap_model"]

DtypeName = Literal["auto", "fp32", "bf16", "fp16", "int8", "nf4"]
_TORCH_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_model(path: Path | str, *, dtype: str = "auto", device: str | torch.device = "cpu") -> LanguageModel:
    """Load a causal language model and its tokenizer from a Hugging Face folder.

    `dtype` is "auto" (as stored), "fp32", "bf16", "fp16", or "int8"/"nf4" with the cuda extra on a CUDA device.
    Raises UnknownFormat (not a model folder), UnsafeFile (pickled weights), CorruptFile (truncated or incomplete
    weights), UnsupportedModel (an architecture that needs its own code, or whose parts were not found), BadOption
    (dtype), CertificationFailed (an unlisted family that does not do what was found).
    """
    folder = _folder(path)
    model, missing = _from_folder(folder, dtype, device)
    if missing:
        raise CorruptFile(f"{folder} lacks {_some(missing)}: the model would be partly random.")
    lm = wrap_model(model, load_tokenizer(folder), folder)
    lm.dtype = dtype if dtype in ("int8", "nf4") else lm.dtype
    return lm


def load_trunk(path: Path | str, *, dtype: str = "auto", device: str | torch.device = "cpu") -> LanguageModel:
    """Load a model for its residual stream only, as an NLA reconstructor is.

    The final norm becomes an identity, so that `forward(...).last_hidden_state` is the output of the last block; the
    head is gone. A checkpoint may lack both, or carry a matrix of another size as its head. Raises as `load_model`.
    """
    folder = _folder(path)
    model, missing = _from_folder(folder, dtype, device, tolerate_head=True)
    lm = wrap_model(model, load_tokenizer(folder), folder)
    parts = [part for part in (lm.family.final_norm, lm.family.project_out, lm.family.head) if part]
    if lost := [key for key in missing if not key.startswith(tuple(f"{part}." for part in parts))]:
        raise CorruptFile(f"{folder} lacks {_some(lost)}: the model would be partly random.")
    for part in parts:
        model.set_submodule(part, _NoHead() if part == lm.family.head else nn.Identity())
    return lm


def wrap_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    path: Path | str | None = None,
    *,
    fingerprint: str | None = None,
) -> LanguageModel:
    """Wrap a model that is already in memory, and put it into evaluation mode. Parameters are left as they are.

    An unlisted family is found by structure and certified before it is given out. Raises UnsupportedModel,
    CertificationFailed.
    """
    model.eval()
    family = listed_family(model.config) or find_family(model)
    lm = LanguageModel(model, tokenizer, family, Path(path) if path else None, dtype="", known_fingerprint=fingerprint)
    lm.dtype = dtype_name(lm.torch_dtype)
    if not family.listed:
        lm.certificate = certify(lm)
    return lm


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a folder, or None when the folder ships none. Raises CorruptFile."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")):
        return None
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the Rust half raises bare exceptions
        raise CorruptFile(f"The tokenizer in {folder} could not be read: {error}") from error


def skeleton(path: Path | str) -> PreTrainedModel:
    """A model folder's modules without weights (on the meta device), from its config alone; device-thread work.

    Raises UnknownFormat, CorruptFile, UnsupportedModel.
    """
    folder = _folder(path)
    config = _config(folder)
    try:
        with _quietly(), torch.device("meta"):
            return _auto_class(config).from_config(config, dtype=torch.float32)
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UnsupportedModel(f"{folder} ({config.model_type}) could not be built: {error}") from error


class _NoHead(nn.Module):
    def forward(self, normed: torch.Tensor) -> torch.Tensor:
        raise ModelError("This model was loaded as a trunk: it has no vocabulary head and gives no logits.")


def _folder(path: Path | str) -> Path:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UnknownFormat(f"{folder} is not a folder. Models are loaded from local folders.")
    if not (folder / "config.json").is_file() and (folder / "adapter_config.json").is_file():
        raise UnknownFormat(f"{folder} is an adapter, not a model: load it as a donor of its base model.")
    return folder


def _from_folder(
    folder: Path, dtype: str, device: str | torch.device, *, tolerate_head: bool = False
) -> tuple[PreTrainedModel, list[str]]:
    from safetensors import SafetensorError

    config = _config(folder)
    if tolerate_head:  # a head that is not the embedding table cannot be tied to it
        config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = False
    weight_files(folder)
    options = _dtype_options(dtype, torch.device(device))
    try:
        with _quietly():
            loaded: Any = _auto_class(config).from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=tolerate_head,
                **options,
            )
    except SafetensorError as error:
        raise CorruptFile(f"The weights in {folder} contradict their own header: {error}") from error
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        raise UnsupportedModel(f"{folder} ({config.model_type}) could not be loaded: {error}") from error
    model, info = loaded
    model.requires_grad_(False)
    missing = sorted({*info["missing_keys"], *(str(key[0]) for key in info["mismatched_keys"])})
    return model if "quantization_config" in options else model.to(device), missing


def _auto_class(config: PreTrainedConfig) -> Any:
    """The class that builds a decoder from this config: bare, or inside an image-text wrapper."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForCausalLM if type(config) in AutoModelForCausalLM._model_mapping else AutoModelForImageTextToText


@contextmanager
def _quietly() -> Iterator[None]:
    """Transformers draws on stderr; progress belongs to whoever loads, and missing parts are checked here."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _config(folder: Path) -> PreTrainedConfig:
    from transformers import AutoConfig

    raw = read_json(folder / "config.json")
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError) as error:
        kind = raw.get("model_type", "none")
        code = " It brings its own Python code, which Loupe does not run." if "auto_map" in raw else ""
        raise UnsupportedModel(f"{folder} has model_type {kind!r}, which transformers does not know.{code}") from error


def _dtype_options(dtype: str, device: torch.device) -> dict[str, Any]:
    if dtype == "auto":
        return {"dtype": "auto"}
    if dtype in _TORCH_DTYPES:
        return {"dtype": _TORCH_DTYPES[dtype]}
    if dtype not in get_args(DtypeName):
        raise BadOption(f"dtype {dtype!r} is unknown: use one of {', '.join(get_args(DtypeName))}.")
    if device.type != "cuda" or not torch.cuda.is_available() or not importlib.util.find_spec("bitsandbytes"):
        raise BadOption(f"{dtype} needs a CUDA device and the cuda extra (bitsandbytes). Here use fp32, bf16 or fp16.")
    return _quantised(dtype, device)


def _quantised(dtype: str, device: torch.device) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    if dtype == "int8":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    else:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    return {"quantization_config": quantization, "device_map": {"": device}}


def _some(names: Iterable[str], limit: int = 3) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
