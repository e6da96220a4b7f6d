"""The lower part of a model in pieces: activations at hook points, stopping at the last of them, yielding on the way.

A forward of one batch may take longer than a slice of the device. `PiecewiseForward` cuts it between blocks: the
first piece is the model's own forward, stopped at the input of a block; the others continue from there with
`run_blocks`. The same operations run on the same tensors, so the numbers do not depend on where it is cut; that is
checked on a few tokens before the first cut, and a model that does not pass runs uncut. How many blocks a piece has
follows from the time that pieces take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loupe.engine.errors import BadOption
from loupe.engine.models.hooks import HookPoint, Site, capture
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.partial import run_blocks

Activations = dict[HookPoint, Float[Tensor, "batch seq d_model"]]


class PiecewiseForward:
    """Activations at `points`, one batch at a time, in pieces of about `piece_s` seconds.

    Raises BadOption (no hook point), LayerOutOfRange.
    """

    def __init__(
        self,
        lm: LanguageModel,
        points: Sequence[HookPoint],
        *,
        piece_s: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not points:
            raise BadOption("No hook point was given: name at least one place to read activations at.")
        self.lm, self.points = lm, tuple(dict.fromkeys(points))
        self.end = max(point.layer for point in self.points) + 1
        self._piece_s, self._clock = piece_s, clock
        self._seconds_per_block = 0.0  # of a batch as large as the last one
        self._tokens = 1
        self._can_cut: bool | None = None

    def steps(self, ids: Int[Tensor, "batch seq"]) -> Generator[None, None, Activations]:
        """Run one batch (rows padded on the right); yields between pieces, with no hook open. Returns copies."""
        found: Activations = {}
        hidden: Tensor | None = None
        start = 0
        while start < self.end:
            stop = self._next_cut(start, ids.numel())
            began = self._clock()
            hidden = self._piece(ids, hidden, start, stop, found)
            self._note(self._clock() - began, stop - start, ids.numel())
            start = stop
            if start < self.end:
                yield
        return found

    @torch.no_grad()
    def _piece(self, ids: Tensor, hidden: Tensor | None, start: int, stop: int, found: Activations) -> Tensor | None:
        wanted = [point for point in self.points if start <= point.layer < stop]
        last = stop >= self.end
        border = HookPoint(stop, Site.RESID_PRE)
        if hidden is None:
            with capture(self.lm, wanted if last else [*wanted, border], stop=True) as store:
                self.lm.forward(ids)
            found.update({point: store[point] for point in wanted})
            return None if last else store[border]
        after = None
        with capture(self.lm, wanted, stop=last) as store:
            after = run_blocks(self.lm, hidden, start, stop)
        found.update({point: store[point] for point in wanted})
        return after

    def _note(self, seconds: float, blocks: int, tokens: int) -> None:
        if self.lm.device.type == "cpu":  # elsewhere the call returns before the work is done
            self._seconds_per_block, self._tokens = seconds / blocks, tokens

    def _next_cut(self, start: int, tokens: int) -> int:
        per_block = self._seconds_per_block * tokens / self._tokens
        known = per_block > 0 or self.lm.device.type != "cpu"
        if (known and per_block * (self.end - start) <= self._piece_s) or not self._may_cut():
            return self.end
        if not known:  # the first piece of all is one block, to see how long that takes
            return start + 1
        return min(self.end, start + max(1, int(self._piece_s / per_block)))

    def _may_cut(self) -> bool:
        if self._can_cut is None:
            self._can_cut = self.end > 1 and _same_when_cut(self.lm, self.end)
        return self._can_cut


@torch.no_grad()
def _same_when_cut(lm: LanguageModel, end: int) -> bool:
    ids = torch.arange(6).remainder(lm.vocab_size)[None]
    border, last = HookPoint(end // 2, Site.RESID_PRE), HookPoint(end - 1)
    with capture(lm, [border, last], stop=True) as store:
        lm.forward(ids)
    return torch.equal(run_blocks(lm, store[border], end // 2, end), store[last])
