"""A checkpoint on its way into a model: built empty, filled tensor by tensor, then finished.

Choices:

- What transformers does when it loads is done by transformers: its names, its weight conversions (experts that are
  stored one by one and computed as one tensor), its dtypes, its tied weights, its buffers. Only the loop over the
  tensors is ours, because theirs cannot be left half way; the outcome is theirs bit for bit, and a test says so for
  every family.
- Files are read into memory of our own. Transformers keeps a model on the CPU mapped to its file: a file that is
  overwritten then changes the model, and the first forward pays for the reading.
- `take` may run in any thread: it sets no global mode and touches no device. The two other steps belong on the device
  thread, since building a model sets torch's default dtype for the whole process.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from loupe.engine.errors import Cancelled
from loupe.engine.jobs import Progress, Steps
from loupe.engine.models.weights import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

CHUNK_BYTES = 32 * 2**20  # between two looks at whether the reading is still wanted
BATCH_BYTES = 64 * 2**20  # what is taken at once


class Reading:
    """One model being filled from safetensors files.

    `model` has no weights until `take` has given out every tensor and each was put in its place. `read_bytes` grows
    while a tensor is read; `stop()` ends a `take` that runs in another thread with Cancelled.
    """

    def __init__(
        self,
        model_class: type[PreTrainedModel],
        config: PreTrainedConfig,
        folder: Path,
        files: Sequence[Path],
        dtype: torch.dtype | str,
        *,
        any_size: bool = False,
        without: Sequence[str] = (),
    ) -> None:
        """Build the empty model. `any_size` lets a tensor of another shape count as missing instead of as an error;
        `without` names parts that are not wanted and are not read."""
        from transformers.modeling_utils import LoadStateDictConfig, _get_dtype
        from transformers.monkey_patching import patch_output_recorders

        self.folder = folder
        self.read_bytes = 0
        names, told = [str(file) for file in files], _metadata(folder)
        config, found = _get_dtype(dtype, names, copy.deepcopy(config), told, None, True)
        config.name_or_path = str(folder)
        with ExitStack() as modes:
            for mode in model_class.get_init_context(found, False, False, False):
                modes.enter_context(mode)
            self.model: PreTrainedModel = model_class(copy.deepcopy(config))
            patch_output_recorders(self.model)
        for part in without:
            self.model.set_submodule(part, nn.Identity())
        plan = self.model._get_dtype_plan(found)
        self._how = LoadStateDictConfig(
            str(folder), ignore_mismatched_sizes=any_size, dtype=found, dtype_plan=plan, use_safetensors=True
        )
        self._stack = ExitStack()
        self._is_stopped = False
        self._planned = self._plan(self._open(files))

    def take(self) -> list[tuple[str, Tensor]]:
        """The next tensors by name, converted, on the CPU, `BATCH_BYTES` of them or a little more; none at the end.

        Raises Cancelled after `stop`, and what reading and converting raise.
        """
        taken: list[tuple[str, Tensor]] = []
        while sum(tensor.nbytes for _, tensor in taken) < BATCH_BYTES and (batch := next(self._planned, None)):
            taken += batch
        return taken

    def put(self, name: str, tensor: Tensor, device: torch.device) -> Steps[None]:
        """Put one tensor where it belongs, on this device, a chunk at a time; a shape that differs is noted for
        `finish`."""
        from transformers.core_model_loading import set_param_for_module

        there = yield from self._moved(tensor, device)
        set_param_for_module(self.model, name, there, self._info, None)  # pyright: ignore[reportArgumentType]

    def finish(self) -> tuple[PreTrainedModel, list[str]]:
        """Tie what is tied, compute buffers that no file holds; the model, and the names that the files lack.

        What is lacking has been filled at random by transformers: the caller decides whether that may be.
        """
        self.close()
        model_class: Any = type(self.model)
        info = model_class._finalize_model_loading(self.model, self._how, self._info)
        self.model.eval()
        self._read_generation_config()
        self.model.requires_grad_(False)
        return self.model, sorted({*info.missing_keys, *(str(key[0]) for key in info.mismatched_keys)})

    def stop(self) -> None:
        """Let a `take` in another thread end soon."""
        self._is_stopped = True

    def close(self) -> None:
        """Close the files. Harmless when repeated."""
        self._stack.close()

    def _open(self, files: Sequence[Path]) -> dict[str, _Stored]:
        from safetensors import safe_open

        stored: dict[str, _Stored] = {}
        for file in files:
            opened = self._stack.enter_context(safe_open(str(file), framework="pt", device="cpu"))
            stored |= {name: _Stored(opened.get_slice(name), self._tick) for name in opened.keys()}  # noqa: SIM118
        return stored

    def _plan(self, stored: dict[str, _Stored]) -> Iterator[list[tuple[str, Tensor]]]:
        """Transformers' own loop (`convert_and_load_state_dict_in_model`) without its threads, its quantising and its
        sharding: first what becomes of each stored tensor, then, as the iterator is drawn from, the tensors."""
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key
        from transformers.utils.loading_report import LoadStateDictInfo

        empty = self.model.state_dict()
        self._info = LoadStateDictInfo(set(empty), set(), set(), [], {}, set())
        mapping = get_model_conversion_mapping(self.model)
        renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
        converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
        by_pattern = {pattern: converter for converter in converters for pattern in converter.source_patterns}
        wanted: dict[str, Any] = {}
        for key in sorted(stored, key=dot_natural_key):
            target, pattern = self._target(key, renamings, converters, empty)
            if target not in empty:
                self._info.unexpected_keys.add(target)
                continue
            if target not in wanted:
                wanted[target] = WeightRenaming(key, target) if pattern is None else copy.deepcopy(by_pattern[pattern])
            read = partial(stored[key].read, self._dtype(target, empty[target]))
            wanted[target].add_tensor(target, key, pattern or key, read)
        self.model.__dict__["_weight_conversions"] = [entry for entry in mapping if entry.was_used()]
        return self._converted(wanted)

    def _target(self, key: str, renamings: list, converters: list, empty: dict[str, Tensor]) -> tuple[str, str | None]:
        from transformers.core_model_loading import rename_source_key

        prefix = self.model.base_model_prefix
        target, pattern = rename_source_key(key, renamings, converters, prefix, empty)
        if target not in empty and key in empty:
            return rename_source_key(key, [], [], base_model_prefix=prefix, meta_state_dict=empty)
        return target, pattern

    def _dtype(self, target: str, empty: Tensor) -> torch.dtype | None:
        """What the model keeps a tensor in: its own dtype, or what its class insists on for a few parts."""
        from transformers.core_model_loading import build_glob_alternation

        if plan := self._how.dtype_plan:
            alternatives, by_group, _ = build_glob_alternation(list(plan))
            if (match := alternatives.search(target)) is not None and match.lastgroup is not None:
                return plan[by_group[match.lastgroup]]
        return empty.dtype

    def _converted(self, wanted: dict[str, Any]) -> Iterator[list[tuple[str, Tensor]]]:
        from transformers.core_model_loading import SkipParameters

        while wanted:
            target = next(iter(wanted))
            entry = wanted.pop(target)
            try:
                with torch.no_grad():
                    values = entry.convert(target, model=self.model, config=self.model.config, loading_info=self._info)
            except SkipParameters:  # noted in `_info`, and raised by `finish`
                continue
            yield [(name, value[0] if isinstance(value, list) else value) for name, value in values.items()]

    def _moved(self, tensor: Tensor, device: torch.device) -> Steps[Tensor]:
        if tensor.device == device:
            return tensor
        there = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
        source, target = tensor.reshape(-1), there.view(-1)
        count = max(1, CHUNK_BYTES // tensor.element_size())
        for start in range(0, len(source), count):
            target[start : start + count].copy_(source[start : start + count])
            yield Progress(self.read_bytes)
        return there

    def _tick(self, count: int) -> None:
        if self._is_stopped:
            raise Cancelled(f"The reading of {self.folder.name} was cancelled.")
        self.read_bytes += count

    def _read_generation_config(self) -> None:
        """As `from_pretrained` does: the folder's own, else what the model's config says."""
        from transformers import GenerationConfig

        if not self.model.can_generate():
            return
        read: Any = partial(GenerationConfig.from_pretrained, self.folder, local_files_only=True)
        try:
            said = read()
        except OSError:  # no such file
            said = read(config_file_name="config.json", _from_model_config=True)
        self.model.generation_config = said  # pyright: ignore[reportAttributeAccessIssue]


class _Stored:
    """A tensor in a file, read a chunk of rows at a time into memory of its own."""

    def __init__(self, rows: Any, tick: Any) -> None:
        self._rows = rows
        self._tick = tick

    def read(self, dtype: torch.dtype | None) -> Tensor:
        """The tensor in this dtype. Raises Cancelled."""
        shape = self._rows.get_shape()
        if not shape or 0 in shape:
            return self._rows[...].clone().to(dtype=dtype)
        first = self._rows[:1]
        count = max(1, CHUNK_BYTES // max(1, first.nbytes))
        out = torch.empty(shape, dtype=dtype or first.dtype)
        for start in range(0, shape[0], count):
            rows = self._rows[start : start + count]
            self._tick(rows.nbytes)
            out[start : start + count] = rows
        return out


def _metadata(folder: Path) -> dict[str, Any] | None:
    """What the index of a sharded checkpoint says of itself; None for a single file."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file() or not index.is_file():
        return None
    return read_json(index).get("metadata") or {}
