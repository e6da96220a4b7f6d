"""An analysis: for every chosen position of a text an explanation, its reconstruction, and how far to trust them.

    job = AnalysisJob(model, pair, AnalysisRequest(text="The fox ran."))
    result = run_here(job)            # or device_thread.submit(job)

The way of a position: base run -> vector into the verbalizer's shared batch -> rollouts -> reconstructions -> best
rollout -> salience, KL, lenses -> `Progress(item=PositionResult)`. Positions are finished in groups as their rollouts
come in; who shares a forward with whom has no influence on the values beyond rounding. Every step is bounded by the
slice budget, and closing the generator withdraws its rows from the batch at once.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import torch

from loupe.engine.jobs import Priority, Progress, Steps
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.lens import TunedLens
from loupe.engine.models.size import cache_bytes_per_token
from loupe.engine.nla.batching import VerbalizerBatch
from loupe.engine.nla.explaining import Explaining
from loupe.engine.nla.extraction import BaseRun, base_run_steps
from loupe.engine.nla.pace import Pace, paced
from loupe.engine.nla.pair import NLAPair, check_pair
from loupe.engine.nla.request import AnalysisRequest as AnalysisRequest
from loupe.engine.nla.request import resolve
from loupe.engine.nla.results import AnalysisResult

if TYPE_CHECKING:
    from loupe.engine.context import JobContext


class AnalysisJob:
    """One analysis of one text. `model` may be a donor: any model of the pair's width whose block K is to be read.

    `batch` is where its rows decode; by default the one that all jobs of this verbalizer share. Raises BadInput and its
    leaves when made, so that nothing impossible is ever queued.
    """

    name = "analysis"

    def __init__(
        self,
        model: LanguageModel,
        pair: NLAPair,
        request: AnalysisRequest,
        *,
        lens: TunedLens | None = None,
        batch: VerbalizerBatch | None = None,
        priority: Priority = Priority.INTERACTIVE,
    ) -> None:
        check_pair(model, pair)
        self.model = model
        self.pair = pair
        self.question = resolve(model, request, pair.layer)
        self.lens = lens
        self.batch = batch if batch is not None else pair.verbalizer.batch
        self.priority = priority
        self.fingerprints = {"model": model.fingerprint, **dict(pair.fingerprints)}
        if lens is not None and pair.layer in lens.layers:
            lens.check_width(model)
            self.fingerprints |= {"tuned_lens": lens.fingerprint} if lens.fingerprint else {}

    def run(self, ctx: JobContext) -> Steps[AnalysisResult]:
        """Yields a `Progress` after every decode step at the latest, with an `item` for each finished position."""
        owner, size = f"analysis {secrets.token_hex(3)}, {len(self.question.ids)} tokens", _base_bytes(self)
        ctx.memory.require(size, f"Reading a text of {len(self.question.ids)} tokens")
        ctx.memory.hold(owner, size)
        try:
            base = yield from _base_run(self, ctx)
            run = Explaining(self, ctx, base)
            try:
                yield from run.steps()
            finally:
                run.ticket.close()
                run.note_cache()
        finally:
            ctx.memory.release(owner)
        positions = tuple(run.done[index] for index in range(len(self.question.positions)))
        return AnalysisResult(run.metadata(positions), positions)


def _base_run(job: AnalysisJob, ctx: JobContext) -> Steps[BaseRun]:
    pace = Pace(ctx.slice_budget_s, first=64, most=512 if job.model.device.type == "cpu" else 4096)
    ids = job.question.ids
    steps = base_run_steps(
        job.model, ids, [job.pair.layer], keep_context=job.question.request.kl, piece_tokens=pace.size
    )
    base = yield from paced(steps, pace, ctx, Progress(0, len(job.question.positions), "reading the text"))
    return base


def _base_bytes(job: AnalysisJob) -> int:
    """What the base run keeps: per token one activation, the last hidden state, and with KL all keys and values."""
    per_token = 2 * job.model.d_model * 4
    if job.question.request.kl:
        bytes_each = torch.finfo(job.model.torch_dtype).bits // 8
        per_token += cache_bytes_per_token(job.model.config.to_dict(), bytes_each) or 0
    return per_token * len(job.question.ids)
