"""Loading as a job: part after part, each asked of the memory budget first, and a test input answered at the end.

    job = LoadJob([LoadPart(Role.MODEL, folder, "model gemma")])
    parts = run_here(job)                       # {part: LanguageModel | Verbalizer | Reconstructor}

Weights are read beside the device thread, some tensors at a time, and the job can be cancelled between any two. What
was loaded is entered in the memory ledger of its device under its owner, and struck again when a later part fails or
the job is cancelled. Hash the folders before (`fingerprint_folder`, in a thread), or the first look at a fingerprint
reads every byte on this thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from loupe.engine.errors import ModelError
from loupe.engine.jobs import Priority, Progress, Steps
from loupe.engine.models.donors import is_adapter, load_donor_steps
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import Where, load_model_steps
from loupe.engine.models.placement import Available, Placement, bytes_by_device
from loupe.engine.models.size import folder_size
from loupe.engine.models.structure import probe_ids
from loupe.engine.nla.analysis import AnalysisJob
from loupe.engine.nla.pair import NLAPair, check_sidecars, join_pair
from loupe.engine.nla.reconstructor import Reconstructor, load_reconstructor_steps
from loupe.engine.nla.request import AnalysisRequest
from loupe.engine.nla.sidecar import Role as HalfOf
from loupe.engine.nla.sidecar import load_sidecar
from loupe.engine.nla.verbalizer import Verbalizer, load_verbalizer_steps

if TYPE_CHECKING:
    from torch import nn

    from loupe.engine.context import JobContext

FREE_SOME = "Unload a model that is not needed, choose a smaller dtype, or use a device with more memory."
Things = dict["LoadPart", Any]


class Role(StrEnum):
    """What a part is loaded as."""

    MODEL = "model"
    DONOR = "donor"
    VERBALIZER = "verbalizer"
    RECONSTRUCTOR = "reconstructor"


@dataclass(frozen=True, slots=True)
class LoadPart:
    """A folder and what it is loaded as; `owner` names it in the memory ledger.

    `beside` is the base model's folder for a donor, and the verbalizer's for a reconstructor (its sidecar may hold the
    template). Equal parts can be shared between pairs.
    """

    role: Role
    folder: Path
    owner: str
    dtype: str = "auto"
    beside: Path | None = None
    layer: int | None = None
    placement: Placement | None = None  # None: the device of the job

    def nbytes(self, device: str) -> int:
        """What it will take on a device, told from its files. Raises UnsafeFile, UnknownFormat, CorruptFile."""
        return self._of_folders(self.dtype, device)

    def stored_bytes(self) -> int:
        """What its files hold, which is what a load reads. Raises as `nbytes`."""
        return self._of_folders("auto")

    def _of_folders(self, dtype: str, device: str = "") -> int:
        size = folder_size(self.folder, dtype, device).bytes
        adapted = is_adapter(self.folder) and self.beside is not None
        return size + folder_size(self.beside, dtype, device).bytes if adapted and self.beside else size


class LoadJob:
    """Loads the parts that are missing. `have` holds those of the same request that are in memory already.

    The test input is one forward, and with a verbalizer and a reconstructor an analysis of one token too. Raises what
    loading raises, OutOfDeviceMemory, ModelError when the answer is not finite.
    """

    name = "load"

    def __init__(
        self,
        parts: Sequence[LoadPart],
        have: Mapping[LoadPart, Any] | None = None,
        *,
        device: torch.device | str = "cpu",
        priority: Priority = Priority.INTERACTIVE,
    ) -> None:
        self.parts = tuple(parts)
        self.have = dict(have or {})
        self.device = device
        self.priority = priority

    def run(self, ctx: JobContext) -> Steps[Things]:
        """Yields a `Progress` in bytes read, with the part that is being loaded as its message."""
        things: Things = dict(self.have)
        held: list[str] = []
        sizes = [part.stored_bytes() for part in self.parts]
        total = sum(sizes)
        try:
            for number, part in enumerate(self.parts):
                things[part] = yield from self._watched(part, things, sum(sizes[:number]), total, ctx)
                held.append(part.owner)
                self._enter(part, things[part], ctx)
            yield Progress(total, total, "answering a test input")
            for event in self._answer(things, ctx):
                yield Progress(total, total, "answering a test input") if isinstance(event, Progress) else event
        except BaseException:  # cancelled (GeneratorExit) or failed: what was entered leaves the ledger
            for owner in held:
                ctx.memory.release(owner)
            raise
        yield Progress(total, total, "ready")
        return things

    def _watched(self, part: LoadPart, things: Things, before: int, total: int, ctx: JobContext) -> Steps[Any]:
        message = f"loading the {part.role}"
        yield Progress(before, total, message)
        placement = self._placement(part)
        if not placement.is_spread:  # else whoever spreads the blocks asks, device by device
            ctx.memory.on(placement.home).require(
                part.nbytes(placement.home.type), f"Loading the {part.owner}", FREE_SOME
            )
        steps = self._load(part, things, placement, lambda device: ctx.memory.on(device).available())
        try:
            while True:
                event = next(steps)
                yield Progress(before + event.done, total, message) if isinstance(event, Progress) else event
        except StopIteration as end:
            return end.value
        finally:
            steps.close()

    def _enter(self, part: LoadPart, thing: Any, ctx: JobContext) -> None:
        for device, size in bytes_by_place(thing).items():
            ctx.memory.on(device).hold(part.owner, size)

    def _placement(self, part: LoadPart) -> Placement:
        return part.placement or Placement.of(torch.device(self.device))

    def _load(self, part: LoadPart, things: Things, placement: Placement, available: Available) -> Steps[Any]:
        where: Where = {"dtype": part.dtype, "device": placement, "available": available}
        match part.role:
            case Role.MODEL:
                return (yield from load_model_steps(part.folder, **where))
            case Role.DONOR:
                return (yield from load_donor_steps(_of(things, Role.MODEL), part.folder, available=available))
            case Role.VERBALIZER:
                check_sidecars(_of(things, Role.MODEL), part.folder, self._folder_of(Role.RECONSTRUCTOR), part.layer)
                return (yield from load_verbalizer_steps(part.folder, **where))
            case Role.RECONSTRUCTOR:
                assert part.beside is not None, "a reconstructor is loaded beside its verbalizer"
                check_sidecars(_of(things, Role.MODEL), part.beside, part.folder, part.layer)
                fallback = load_sidecar(part.beside, HalfOf.VERBALIZER)
                loaded = yield from load_reconstructor_steps(part.folder, fallback=fallback, layer=part.layer, **where)
                return loaded[0]

    def _folder_of(self, role: Role) -> Path:
        return next(part.folder for part in (*self.parts, *self.have) if part.role is role)

    def _answer(self, things: Things, ctx: JobContext) -> Steps[None]:
        roles = {part.role for part in things}
        model = _of(things, Role.DONOR if Role.DONOR in roles else Role.MODEL)
        answer_as_model(model)
        if Role.RECONSTRUCTOR in roles:
            yield from answer_as_pair(model, pair_of(things), ctx)


def pair_of(things: Mapping[LoadPart, Any]) -> NLAPair:
    """The pair that loaded parts make. Raises WidthMismatch, SidecarError."""
    by_role = {part.role: (part, thing) for part, thing in things.items()}
    (av, verbalizer), (ar, reconstructor) = by_role[Role.VERBALIZER], by_role[Role.RECONSTRUCTOR]
    return join_pair(by_role[Role.MODEL][1], verbalizer, reconstructor, av.folder, ar.folder)


def bytes_of(thing: LanguageModel | Verbalizer | Reconstructor) -> int:
    """Memory of the weights that a loaded part really holds; tensors that are tied count once."""
    return sum(bytes_by_place(thing).values())


def bytes_by_place(thing: LanguageModel | Verbalizer | Reconstructor) -> dict[str, int]:
    """The same, device by device."""
    return bytes_by_device(_tensors(thing))


def _tensors(thing: LanguageModel | Verbalizer | Reconstructor) -> Iterator[torch.Tensor]:
    if isinstance(thing, Reconstructor):
        yield thing.value_head
    model: nn.Module = thing.model if isinstance(thing, LanguageModel) else _language_model(thing).model
    yield from model.parameters()
    yield from model.buffers()


def _language_model(thing: Verbalizer | Reconstructor) -> LanguageModel:
    return thing.lm if isinstance(thing, Verbalizer) else thing.trunk


@torch.no_grad()
def answer_as_model(lm: LanguageModel) -> None:
    """One forward over a few tokens. Raises ModelError when a logit is not finite."""
    if not torch.isfinite(lm.logits(probe_ids(lm.config))).all():
        raise ModelError(
            f"{lm.family.name} in {lm.dtype} answers a test input with infinity or NaN: try another dtype."
        )


def answer_as_pair(model: LanguageModel, pair: NLAPair, ctx: JobContext) -> Steps[None]:
    """One token explained in a few words and rebuilt. Raises ModelError, and whatever an analysis raises."""
    ids = tuple(probe_ids(model.config)[0].tolist())
    request = AnalysisRequest(token_ids=ids, positions=(-1,), temperature=0, max_new_tokens=4, salience="none")
    steps = AnalysisJob(model, pair, request).run(ctx)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            (answer,) = finished.value.positions
            break
        yield Progress(0, None, "answering a test input")
    if answer.mse_nrm is None or not math.isfinite(answer.mse_nrm):
        raise ModelError("The pair rebuilds a test input as a vector that is not finite: try another dtype.")


def _of(things: Mapping[LoadPart, Any], role: Role) -> Any:
    return next(thing for part, thing in things.items() if part.role is role)
