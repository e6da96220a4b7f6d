"""Where a model's weights are: all on one device, its blocks spread over several, or some waiting in CPU memory.

    Placement.parse("cuda:1")            # one device
    Placement.parse("cuda:0,cuda:1")     # blocks spread over both, in proportion to what each has left
    Placement.parse("cuda:0+cpu")        # blocks that do not fit wait in CPU memory and visit the GPU for their forward

Choices:

- The first device is *home*: the embedding, the final norm, the head and whatever else is no block are there, and so
  is everything that callers hand in or get back. Only blocks are elsewhere, in order.
- A block has a hook that takes its inputs along, and the last one a hook that brings its output home. A block that
  waits is copied home when its forward begins and let go when it ends, whatever ends it: outside of that moment its
  parameters are what they were, so patches and fingerprints see the true weights.
- `accelerate` is not used: it replaces `forward` of the modules it places, and a window of blocks (`partial.py`) would
  run the whole model; what it offloads has no weights to look at.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from loupe.engine.errors import BadOption, OutOfDeviceMemory
from loupe.engine.memory import MemoryBudget, as_size, read_memory

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")
WAITS_IN = "cpu"
ADVICE = "Choose a smaller dtype, more devices, or let blocks wait in CPU memory (a device followed by +cpu)."


@dataclass(frozen=True, slots=True)
class Placement:
    """Devices by name, home first; `offload`: what does not fit on them waits in CPU memory."""

    devices: tuple[str, ...] = ("cpu",)
    offload: bool = False

    @classmethod
    def parse(cls, text: str) -> Placement:
        """From "cuda:0", "cuda:0,cuda:1", "cuda:0+cpu". Raises BadOption for anything else, or a device named twice."""
        names, _, waiting = text.replace(" ", "").partition("+")
        devices = tuple(_full_name(name) for name in names.split(","))
        known = all(_DEVICE.fullmatch(name) for name in devices) and len(set(devices)) == len(devices)
        if not known or waiting not in ("", WAITS_IN) or (len(devices) > 1 and "cpu" in devices):
            raise BadOption(
                f"{text!r} is no placement: expected a device (cpu, mps, cuda:0), several CUDA devices "
                "(cuda:0,cuda:1), or either of them followed by +cpu."
            )
        return cls(devices, bool(waiting))

    @classmethod
    def of(cls, place: str | torch.device | Placement) -> Placement:
        """From whatever names a place. Raises BadOption for a text that is no placement."""
        if isinstance(place, Placement):
            return place
        return cls((_full_name(str(place)),)) if isinstance(place, torch.device) else cls.parse(place)

    def __str__(self) -> str:
        return ",".join(self.devices) + ("+cpu" if self.offload else "")

    @property
    def home(self) -> torch.device:
        """Where ids go in and logits come out."""
        return torch.device(self.devices[0])

    @property
    def is_spread(self) -> bool:
        """Whether blocks may be elsewhere than at home."""
        return self.offload or len(self.devices) > 1


@dataclass(frozen=True, slots=True)
class Device:
    """One device of this machine: bytes of all of its memory, and what is not in use by anybody."""

    name: str
    kind: str
    total_bytes: int
    free_bytes: int


def devices_here() -> tuple[Device, ...]:
    """Every device that torch can use here, the CPU last."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    names += ["mps"] if torch.backends.mps.is_available() else []
    return tuple(_device(name) for name in [*names, "cpu"])


def why_not(placement: Placement, devices: Sequence[Device]) -> str:
    """Why these devices cannot take a model so; empty when they can."""
    known = [device.name for device in devices]
    if missing := [name for name in placement.devices if name not in known]:
        return f"this machine has no {', '.join(missing)}; it has {', '.join(known)}"
    if placement.offload and placement.devices[0] == WAITS_IN:
        return "the weights are in CPU memory already: there is no faster device that they could wait for"
    if placement.offload and placement.devices[0] == "mps":
        return "an Apple GPU shares the machine's memory, so nothing is saved by waiting there"
    return ""


@dataclass(frozen=True, slots=True)
class Spread:
    """Where each block is: a device, or None for a block that waits. `blocks` is the path of the block list. Without
    either, everything is at home."""

    placement: Placement
    blocks: str
    where: tuple[str | None, ...]

    def of(self, name: str) -> torch.device:
        """The device where a parameter or buffer lies between two forwards, by its name in the model."""
        match = re.match(rf"{re.escape(self.blocks)}\.(\d+)\.", name)
        if match is None or not self.where:
            return self.placement.home
        return torch.device(self.where[int(match[1])] or WAITS_IN)


Available = Callable[[torch.device], int]


def spread_blocks(model: nn.Module, blocks: str, placement: Placement, available: Available | None = None) -> Spread:
    """Decide where each block of a model goes; the model may be without weights (on the meta device).

    Several devices get blocks in proportion to the room they have (home keeps what is no block as well); with `offload`
    as many as fit stay, and room is kept to receive a visitor. Raises OutOfDeviceMemory with the numbers.
    """
    room = available or (lambda device: MemoryBudget(device).available())
    parts: list[nn.Module] = list(model.get_submodule(blocks).children())
    sizes = [_nbytes(part) for part in parts]
    rest = _nbytes(model) - sum(sizes)
    free = {name: room(torch.device(name)) for name in placement.devices}
    home = placement.devices[0]
    if placement.offload:  # a visitor needs a place; one more is kept for what the forward itself makes
        rest += 2 * max(sizes, default=0)
    _require(free[home], rest, home, "what is no block")
    free[home] -= rest
    if not placement.offload:
        return Spread(placement, blocks, _in_proportion(sizes, free))
    where = _as_many_as_fit(sizes, free)
    waiting = sum(size for size, device in zip(sizes, where, strict=True) if device is None)
    _require(room(torch.device(WAITS_IN)), waiting, "CPU memory", "what waits")
    return Spread(placement, blocks, where)


def settle(model: nn.Module, spread: Spread) -> None:
    """Bring every tensor to its place (tied ones stay tied) and let forwards find their way."""
    moved: dict[int, Tensor] = {}
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        for kind in (module._parameters, module._buffers):
            for name, tensor in kind.items():
                if tensor is not None:
                    kind[name] = _at(tensor, spread.of(prefix + name), moved)
    if spread.where:
        _connect(list(model.get_submodule(spread.blocks).children()), spread)


def bytes_by_device(tensors: Iterable[Tensor]) -> dict[str, int]:
    """Memory of tensors by the device they lie on; what is tied counts once."""
    found: dict[str, int] = {}
    for tensor in {(str(tensor.device), tensor.data_ptr()): tensor for tensor in tensors}.values():
        found[str(tensor.device)] = found.get(str(tensor.device), 0) + tensor.nbytes
    return found


def _full_name(device: str) -> str:
    return "cuda:0" if device == "cuda" else device


def _device(name: str) -> Device:
    memory = read_memory(name)
    return Device(name, _kind(name), memory.total, memory.total - memory.used)


def _kind(name: str) -> str:
    if name.startswith("cuda"):
        return torch.cuda.get_device_name(name)
    return "Apple GPU" if name == "mps" else "CPU and its memory"


def _nbytes(module: nn.Module) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.nbytes for tensor in {id(tensor): tensor for tensor in tensors}.values())


def _require(free: int, needed: int, where: str, what: str) -> None:
    if needed > free:
        raise OutOfDeviceMemory(
            f"{what.capitalize()} needs {as_size(needed)} on {where}, where {as_size(max(0, free))} may be taken.",
            advice=ADVICE,
            needed=needed,
            available=max(0, free),
        )


def _in_proportion(sizes: Sequence[int], free: Mapping[str, int]) -> tuple[str, ...]:
    """Blocks in order over the devices: each where its middle falls when all free memory lies end to end, or on the
    next one when that is full. Raises OutOfDeviceMemory."""
    names, total, everything = list(free), sum(free.values()), sum(sizes)
    where: list[str] = []
    left, index, before = dict(free), 0, 0
    for size in sizes:
        middle = (before + size / 2) / everything * total
        while index + 1 < len(names) and (left[names[index]] < size or middle > _end(names, free, index)):
            index += 1
        _require(left[names[index]], size, names[index], "the next block")
        left[names[index]] -= size
        where.append(names[index])
        before += size
    return tuple(where)


def _end(names: Sequence[str], free: Mapping[str, int], index: int) -> int:
    return sum(free[name] for name in names[: index + 1])


def _as_many_as_fit(sizes: Sequence[int], free: Mapping[str, int]) -> tuple[str | None, ...]:
    """Blocks in order over the devices until these are full; the others wait."""
    left, where = dict(free), []
    for size in sizes:
        device = next((name for name, room in left.items() if room >= size), None)
        if device is not None:
            left[device] -= size
        where.append(device)
    return tuple(where)


def _at(tensor: Tensor, device: torch.device, moved: dict[int, Tensor]) -> Any:
    if tensor.device == device:
        return tensor
    if id(tensor) not in moved:
        there = tensor.detach().to(device)
        moved[id(tensor)] = nn.Parameter(there, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else there
    return moved[id(tensor)]


def _connect(blocks: list[nn.Module], spread: Spread) -> None:
    home = spread.placement.home
    for block, place in zip(blocks, spread.where, strict=True):
        if place is None:
            _receive(block, home)
        if len(spread.placement.devices) > 1:
            block.register_forward_pre_hook(_taking_along(torch.device(place or home)), with_kwargs=True)
    if len(spread.placement.devices) > 1:
        blocks[-1].register_forward_hook(lambda module, inputs, output: _moved(output, home))


def _taking_along(device: torch.device) -> Any:
    def take_along(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        return _moved(inputs, device), _moved(named, device)

    return take_along


def _receive(block: nn.Module, home: torch.device) -> None:
    """Let the block's weights visit home for each of its forwards. Not by hooks: torch leaves them out when a forward
    is ended by something that is no Exception, as a capture does."""
    forward = block.forward

    @functools.wraps(forward)
    def visit(*inputs: Any, **named: Any) -> Any:
        with _visiting(block, home):
            return forward(*inputs, **named)

    block.forward = visit


@contextmanager
def _visiting(block: nn.Module, home: torch.device) -> Iterator[None]:
    own = {id(tensor): (tensor, tensor.data) for tensor in (*block.parameters(), *block.buffers())}.values()
    try:
        for tensor, data in own:
            tensor.data = data.to(home)
        yield
    finally:
        for tensor, data in own:
            tensor.data = data


def _moved(value: Any, device: torch.device) -> Any:
    """The same with every tensor on this device; caches and other objects as they are."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _moved(part, device) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_moved(part, device) for part in value)
    return value
