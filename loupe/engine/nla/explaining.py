"""From activations to explanations: the state of one running analysis, once its text was read.

Rollouts come out of the verbalizer's shared batch, position by position; those that are complete are scored, weighed
and read out in groups, so that their texts share forwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.jobs import Progress, Steps
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.tokens import TokenView, display_tokens
from loupe.engine.nla.extraction import BaseRun
from loupe.engine.nla.metrics import Denominator, Scores, agreement, denominator_from, score
from loupe.engine.nla.pace import Pace, paced
from loupe.engine.nla.readout import Readouts
from loupe.engine.nla.replacement import kl_steps
from loupe.engine.nla.request import Question, filled
from loupe.engine.nla.results import PositionResult, Rollout
from loupe.engine.nla.salience import Salience, Unit, as_salience, without_each
from loupe.engine.nla.smells import smells
from loupe.engine.nla.ticket import RolloutText
from loupe.engine.nla.unreliable import flags_of, min_position_of
from loupe.engine.nla.verbalizer import parse_explanation

if TYPE_CHECKING:
    from loupe.engine.context import JobContext
    from loupe.engine.nla.analysis import AnalysisJob

_PATIENCE_S = 0.25  # how long finished rollouts may wait for others to be scored with


@dataclass(frozen=True, slots=True)
class Explained:
    """A rollout with the part of it that is scored."""

    rollout: RolloutText
    text: str
    parsed: bool


class Explaining:
    """The state of one running analysis, from the base run on."""

    def __init__(self, job: AnalysisJob, ctx: JobContext, base: BaseRun) -> None:
        self.job, self.ctx, self.base = job, ctx, base
        self.question: Question = job.question
        self.request = job.question.request
        self.unit = Unit(self.request.salience)
        self.vectors = base.activations[job.pair.layer][list(self.question.positions)]
        self.flags = _flags(job, base)
        self.denominator = _denominator(job, self.vectors, [self.flags[p] for p in self.question.positions])
        self.tokens = _display(job.model, self.question.ids)
        has_lens = job.lens is not None and job.pair.layer in job.lens.layers
        tuned = job.lens.only(job.pair.layer, self.vectors.device) if job.lens and has_lens else None
        self.readouts = Readouts(job.model, job.pair.layer, self.request.logit_lens_k, self.request.next_token_k, tuned)
        on_cpu = job.pair.reconstructor.trunk.device.type == "cpu"
        self.text_pace = Pace(ctx.slice_budget_s, first=64, most=256 if on_cpu else 2048)
        self.kl_pace = Pace(ctx.slice_budget_s, first=32, most=128)
        self.rebuilt: dict[str, Tensor] = {}
        self.done: dict[int, PositionResult] = {}
        self.ticket = job.batch.submit(self.vectors, self.request.sampling, self.question.positions)

    def steps(self) -> Steps[None]:
        """Advance the shared batch; finish positions as their rollouts come in."""
        ready: list[int] = []
        since = self.ctx.clock()
        while len(self.done) < len(self.question.positions):
            self.job.batch.admission.step_budget_s = self.ctx.slice_budget_s
            self.job.batch.admission.available_bytes = self.ctx.memory.available
            if not self.ticket.done:
                self.job.batch.advance()
            self.ticket.raise_if_failed()
            self.note_cache()
            since = since if ready else self.ctx.clock()
            ready += self.ticket.take_finished()
            yield self._progress()
            if ready and self._is_time_to_finish(ready, since):
                yield from self._finish(sorted(ready))
                ready = []

    def note_cache(self) -> None:
        """Put the shared batch's keys and values into the ledger, or strike them when nobody decodes."""
        batch = self.job.batch
        owner = f"rollouts of {batch.verbalizer.name}"
        if batch.nbytes:
            self.ctx.memory.hold(owner, batch.nbytes)
        else:
            self.ctx.memory.release(owner)

    def metadata(self, positions: Sequence[PositionResult]) -> dict[str, object]:
        """What is needed to repeat the analysis and to read it."""
        job = self.job
        return {
            "layer": job.pair.layer,
            "d_model": job.model.d_model,
            "request": asdict(filled(self.question)),
            "tokens": [
                {"token_id": token, "text": view.text, "is_special": view.is_special, "partial": view.partial}
                for token, view in zip(self.question.ids, self.tokens, strict=True)
            ],
            "fve_denominator": asdict(self.denominator) if self.denominator else None,
            "injection_scale": job.pair.verbalizer.injection_scale,
            "mse_scale": job.pair.reconstructor.mse_scale,
            "fingerprints": job.fingerprints,
            "dtype": {"model": job.model.dtype, "verbalizer": job.pair.verbalizer.lm.dtype},
            "device": str(job.model.device),
            "torch": torch.__version__,
            "warnings": [asdict(smell) for smell in smells(positions)],
        }

    def _is_time_to_finish(self, ready: Sequence[int], since: float) -> bool:
        """When nothing of ours is decoding, when there is a forward's worth of text, or the first waited enough."""
        tokens = sum(len(rollout.ids) for index in ready for rollout in self.ticket.rollouts(index))
        waited = self.ctx.clock() - since
        return self.ticket.running == 0 or tokens >= 2 * self.text_pace.size() or waited >= _PATIENCE_S

    def _finish(self, group: Sequence[int]) -> Steps[None]:
        """Score, weigh and read out a group of positions whose rollouts are complete."""
        explained = [[_explained(rollout) for rollout in self.ticket.rollouts(index)] for index in group]
        self.rebuilt = {}
        if self.request.best_of == 1:  # the winners are known already: their variants share their forwards
            texts = [one.text for (one,) in explained]
            yield from self._reconstruct(
                [*texts, *(text for whole in texts for text in without_each(whole, self.unit))]
            )
        rebuilt, scores = yield from self._score(group, explained)
        best = [_best(own) for own in scores]
        winners = [texts[choice].text for texts, choice in zip(explained, best, strict=True)]
        whole = [own[choice].mse_nrm for own, choice in zip(scores, best, strict=True)]
        saliences = yield from self._saliences(group, winners, whole)
        kls = yield from self._kls(group, torch.stack([rebuilt[row][choice] for row, choice in enumerate(best)]))
        for row, index in enumerate(group):
            rollouts = tuple(map(_rollout, explained[row], scores[row]))
            found = self._position(index, rollouts, best[row], agreement(rebuilt[row]), saliences[row], kls[row])
            self.done[index] = found
            yield Progress(len(self.done), len(self.question.positions), "explaining", found)

    def _score(
        self, group: Sequence[int], explained: Sequence[Sequence[Explained]]
    ) -> Steps[tuple[Float[Tensor, "group rollouts d_model"], list[list[Scores]]]]:
        count = self.request.best_of
        rebuilt = yield from self._reconstruct([one.text for texts in explained for one in texts])
        gold = self.vectors[list(group)].repeat_interleave(count, dim=0)
        scores = self._scores(rebuilt, gold)
        return rebuilt.view(len(group), count, -1), [scores[i : i + count] for i in range(0, len(scores), count)]

    def _saliences(
        self, group: Sequence[int], winners: Sequence[str], whole: Sequence[float]
    ) -> Steps[list[tuple[Salience, ...] | None]]:
        if self.unit is Unit.NONE:
            return [None] * len(group)
        variants = [without_each(text, self.unit) for text in winners]
        rebuilt = yield from self._reconstruct([text for texts in variants for text in texts])
        owners = [index for index, texts in zip(group, variants, strict=True) for _ in texts]
        without = iter(scores.mse_nrm for scores in self._scores(rebuilt, self.vectors[owners]))
        return [
            as_salience(text, self.unit, value, [next(without) for _ in texts])
            for text, value, texts in zip(winners, whole, variants, strict=True)
        ]

    def _kls(self, group: Sequence[int], winners: Float[Tensor, "group d_model"]) -> Steps[list[float] | list[None]]:
        if not self.request.kl:
            return [None] * len(group)
        positions = [self.question.positions[index] for index in group]
        steps = kl_steps(self.job.model, self.base, self.job.pair.layer, positions, winners, self.kl_pace.size)
        values = yield from paced(steps, self.kl_pace, self.ctx, self._progress())
        return values

    def _reconstruct(self, texts: Sequence[str]) -> Steps[Float[Tensor, "texts d_model"]]:
        """Reconstructions of texts; within a group of positions no text is run twice."""
        missing = [text for text in dict.fromkeys(texts) if text not in self.rebuilt]
        steps = self.job.pair.reconstructor.reconstruct_steps(missing, self.text_pace.size)
        rebuilt = yield from paced(steps, self.text_pace, self.ctx, self._progress())
        self.rebuilt.update(zip(missing, rebuilt.to(self.vectors.device), strict=True))
        return torch.stack([self.rebuilt[text] for text in texts]) if texts else self.vectors[:0]

    def _scores(self, rebuilt: Tensor, gold: Tensor) -> list[Scores]:
        return score(rebuilt, gold, mse_scale=self.job.pair.reconstructor.mse_scale, denominator=self.denominator)

    def _position(
        self,
        index: int,
        rollouts: tuple[Rollout, ...],
        best: int,
        agree: float | None,
        salience: tuple[Salience, ...] | None,
        kl: float | None,
    ) -> PositionResult:
        position, winner = self.question.positions[index], rollouts[best]
        return PositionResult(
            position=position,
            token=self.tokens[position].text,
            token_id=self.question.ids[position],
            flags=self.flags[position],
            explanation=winner.text,
            raw_output=winner.raw_output,
            rollouts=rollouts,
            best=best,
            norm=self.vectors[index].norm().item(),
            agreement=agree,
            mse_nrm=winner.scores.mse_nrm,
            cosine=winner.scores.cosine,
            fve_nrm=winner.scores.fve_nrm,
            mse=winner.scores.mse,
            relative_rmse=winner.scores.relative_rmse,
            kl=kl,
            salience=salience,
            **self.readouts.read(self.vectors[index], self.base.normed[position]),
        )

    def _progress(self) -> Progress:
        return Progress(len(self.done), len(self.question.positions), f"explaining, {self.ticket.tokens} tokens")


def _explained(rollout: RolloutText) -> Explained:
    text = parse_explanation(rollout.text)
    return Explained(rollout, rollout.text.strip() if text is None else text, text is not None)


def _rollout(explained: Explained, scores: Scores) -> Rollout:
    raw = explained.rollout
    return Rollout(explained.text, raw.text, explained.parsed, raw.ended, raw.ids, raw.ties, scores)


def _best(scores: Sequence[Scores]) -> int:
    """The rollout with the least mse_nrm; the first of equals."""
    return min(range(len(scores)), key=lambda index: scores[index].mse_nrm)


def _flags(job: AnalysisJob, base: BaseRun) -> list[tuple[str, ...]]:
    return flags_of(
        base.ids,
        base.activations[job.pair.layer].norm(dim=-1).tolist(),
        special_ids=job.model.tokenizer.all_special_ids if job.model.tokenizer else (),
        template=job.question.template,
        min_position=min_position_of(job.pair.verbalizer.sidecar),
    )


def _denominator(job: AnalysisJob, vectors: Tensor, flags: Sequence[tuple[str, ...]]) -> Denominator | None:
    """The pair's own, else the one given, else the variance of this text's positions (reliable ones, if any two)."""
    if job.pair.denominator is not None:
        return job.pair.denominator
    if job.question.request.fve_denominator is not None:
        return Denominator(job.question.request.fve_denominator, "given")
    reliable = [index for index, reasons in enumerate(flags) if not reasons]
    chosen = vectors[reliable] if len(reliable) > 1 else vectors
    return denominator_from(chosen, job.pair.reconstructor.mse_scale)


def _display(model: LanguageModel, ids: Sequence[int]) -> list[TokenView]:
    if model.tokenizer is None:
        return [TokenView(f"<id {token}>", b"", is_special=False, partial=False) for token in ids]
    return display_tokens(model.tokenizer, ids)
