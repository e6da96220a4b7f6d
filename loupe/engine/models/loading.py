"""From a local folder, or from a model in memory, to a `LanguageModel`.

Choices:

- Local folders only; fetching from a hub is the app's business. `trust_remote_code` is never on.
- The weight files are judged before transformers sees them (`weights.py`): safetensors only, no truncated file.
- A checkpoint must fill the model. Transformers fills what is missing at random and goes on; here that is an error.
- Loading is a generator (`load_model_steps`, `load_trunk_steps`): files are read in a thread of its own while the job
  waits aside, and what stays on the device thread (building the empty model, copying to an accelerator, tying) is cut
  into short steps. `load_model` is the same, run to its end. Quantised models are the exception: quantising is device
  work inside transformers, one step from the first byte to the last.
- A dtype is what it says. What this machine cannot do is refused, never replaced by another dtype in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn

from loupe.engine.errors import CorruptFile, LoupeError, ModelError, UnsupportedModel
from loupe.engine.failures import is_out_of_memory
from loupe.engine.jobs import Progress, Steps, Waiting, finished
from loupe.engine.models.certify import certify
from loupe.engine.models.configs import auto_class, model_folder, quietly, read_config
from loupe.engine.models.dtypes import dtype_options, load_quantised
from loupe.engine.models.families import listed_family
from loupe.engine.models.language_model import LanguageModel, dtype_name
from loupe.engine.models.placement import Available, Placement, Spread, settle, spread_blocks
from loupe.engine.models.reading import Reading
from loupe.engine.models.size import settled_dtype
from loupe.engine.models.structure import blocks_of, find_family
from loupe.engine.models.weights import weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LanguageModel", "load_model", "load_tokenizer", "load_trunk", "wrap_model"]

Result = TypeVar("Result")
Place = str | torch.device | Placement
"""A device, its name, or a placement over several (`placement.py`)."""
Loaded = tuple["PreTrainedModel", "PreTrainedTokenizerBase | None", list[str]]  # the names are those that no file holds


class Where(TypedDict, total=False):
    """The options of `load_model_steps`, for those who hand them on."""

    dtype: str
    device: Place
    available: Available | None


def load_model(path: Path | str, *, dtype: str = "auto", device: Place = "cpu") -> LanguageModel:
    """Load a causal language model and its tokenizer from a Hugging Face folder.

    `dtype` is "auto" (as stored, but fp32 for fp16 on a CPU, see `size.settled_dtype`), "fp32", "bf16", "fp16", or
    "int8"/"nf4" with the cuda extra on a CUDA device.
    `device` may be a placement over several devices, such as "cuda:0,cuda:1" or "cuda:0+cpu".
    Raises UnknownFormat (not a model folder), UnsafeFile (pickled weights), CorruptFile (truncated or incomplete
    weights), UnsupportedModel (an architecture that needs its own code, or whose parts were not found), BadOption
    (dtype), CertificationFailed (an unlisted family that does not do what was found).
    """
    return finished(load_model_steps(path, dtype=dtype, device=device))


def load_model_steps(
    path: Path | str, *, dtype: str = "auto", device: Place = "cpu", available: Available | None = None
) -> Steps[LanguageModel]:
    """The same, step by step: each `Progress` counts the bytes of weights read so far. Closing it leaves nothing.

    `available` says how many bytes may be taken on a device, where blocks are spread over several; unset, 90 % of each.
    """
    folder, placement = model_folder(path), Placement.of(device)
    model, tokenizer, missing = yield from _from_folder(folder, dtype, placement, available)
    if missing:
        raise CorruptFile(f"{folder} lacks {_some(missing)}: the model would be partly random.")
    lm = wrap_model(model, tokenizer, folder)
    lm.placement = placement
    lm.dtype = dtype if dtype in ("int8", "nf4") else lm.dtype
    return lm


def load_trunk(path: Path | str, *, dtype: str = "auto", device: Place = "cpu") -> LanguageModel:
    """Load a model for its residual stream only, as an NLA reconstructor is.

    The final norm becomes an identity, so that `forward(...).last_hidden_state` is the output of the last block; the
    head is gone. A checkpoint may lack both, or carry a matrix of another size as its head. Raises as `load_model`.
    """
    return finished(load_trunk_steps(path, dtype=dtype, device=device))


def load_trunk_steps(
    path: Path | str, *, dtype: str = "auto", device: Place = "cpu", available: Available | None = None
) -> Steps[LanguageModel]:
    """The same, step by step."""
    folder, placement = model_folder(path), Placement.of(device)
    model, tokenizer, missing = yield from _from_folder(folder, dtype, placement, available, tolerate_head=True)
    lm = wrap_model(model, tokenizer, folder)
    lm.placement = placement
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


class _NoHead(nn.Module):
    def forward(self, normed: torch.Tensor) -> torch.Tensor:
        raise ModelError("This model was loaded as a trunk: it has no vocabulary head and gives no logits.")


def _from_folder(
    folder: Path, dtype: str, placement: Placement, available: Available | None, *, tolerate_head: bool = False
) -> Steps[Loaded]:
    config = read_config(folder)
    if tolerate_head:  # a head that is not the embedding table cannot be tied to it
        config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = False
    files = weight_files(folder)
    options = dtype_options(settled_dtype(dtype, folder, placement.home.type), placement)
    try:
        if "quantization_config" in options or getattr(config, "quantization_config", None) is not None:
            model, missing = load_quantised(folder, config, options, placement, tolerate_head)
            return model, load_tokenizer(folder), missing
        return (yield from _step_by_step(folder, config, files, options["dtype"], placement, available, tolerate_head))
    except SafetensorError as error:
        raise CorruptFile(f"The weights in {folder} contradict their own header: {error}") from error
    except (ValueError, KeyError, ImportError, RuntimeError) as error:
        if isinstance(error, LoupeError) or is_out_of_memory(error):
            raise
        raise UnsupportedModel(f"{folder} ({config.model_type}) could not be loaded: {error}") from error


def _step_by_step(
    folder: Path,
    config: PreTrainedConfig,
    files: list[Path],
    dtype: torch.dtype | str,
    placement: Placement,
    available: Available | None,
    tolerate_head: bool,
) -> Steps[Loaded]:
    from transformers.models.auto.auto_factory import _get_model_class

    model_class = _get_model_class(config, auto_class(config)._model_mapping)
    family = listed_family(config) if tolerate_head else None
    unwanted = [part for part in (family.final_norm, family.project_out, family.head) if part] if family else []
    with quietly():
        reading = Reading(model_class, config, folder, files, dtype, any_size=tolerate_head, without=unwanted)
    reader = ThreadPoolExecutor(1, thread_name_prefix="loupe-reading")
    try:
        spread = _spread(reading.model, placement, available)
        yield Progress(0)
        while batch := (yield from _waited(reader.submit(reading.take))):
            for name, tensor in batch:
                yield from reading.put(name, tensor, spread.of(name))
            yield Progress(reading.read_bytes)
        tokenizer = yield from _waited(reader.submit(load_tokenizer, folder))
    finally:
        reading.stop()
        reader.shutdown(cancel_futures=True)
        reading.close()
    with quietly():
        model, missing = reading.finish()
    settle(model, spread)
    return model, tokenizer, missing


def _spread(model: PreTrainedModel, placement: Placement, available: Available | None) -> Spread:
    if not placement.is_spread:
        return Spread(placement, "", ())
    family = listed_family(model.config)
    return spread_blocks(model, family.blocks if family else blocks_of(model), placement, available)


def _waited(future: Future[Result]) -> Steps[Result]:
    yield Waiting(future)
    return future.result()


def _some(names: Iterable[str], limit: int = 3) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
