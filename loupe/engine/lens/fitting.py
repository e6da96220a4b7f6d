"""Fitting a tuned lens (Belrose et al. 2023, arXiv 2303.08112): per block an affine correction of the residual stream.

    job = FitLens(lm, rows, held_out, LensRecipe(steps=400))
    fitted = run_here(job, writer=store.write)           # or device.submit(job, ...)

For block K, W and b minimise KL(model || lens), the lens being the model's own norm and head on `h + W h + b`, averaged
over tokens. Nothing else is trained, and no label is needed. Choices:

- W and b start at zero, so every lens starts as the logit lens and is compared with it on held-out text.
- The last block is left out: its logit lens is the model's prediction already.
- Adam sees each block in units of that block's own root mean square, and its step shrinks with the width: one rate fits
  blocks and models whose activations differ by orders of magnitude.
- The rows are those of `ActivationStream`: a function of (seed, step), so a fit that was interrupted goes on with the
  same bits on a CPU. Special tokens and the first of every row are left out, as when SAEs are trained.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.context import ArtefactWriter, JobContext
from loupe.engine.data.rows import TokenRows
from loupe.engine.errors import BadOption
from loupe.engine.jobs import Checkpoint, Priority, Progress, Steps
from loupe.engine.lens.files import FitState, write_lens, write_state
from loupe.engine.lens.judging import LensScore, judge, log_probabilities, rows_at_once
from loupe.engine.lens.recipe import LensRecipe
from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.lens import TunedLens
from loupe.engine.sae.stream import ActivationStream

BETAS, EPSILON = (0.9, 0.99), 1e-8


@dataclass(frozen=True, slots=True)
class LensPoint:
    """A point of the curves: KL(model || lens) in nats by block, over the tokens since the last point."""

    step: int
    kl: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class FittedLens:
    """What a fit leaves: the lens as it is kept, its scores as such, and its artefact where one was made."""

    lens: TunedLens
    scores: tuple[LensScore, ...]
    card: Mapping[str, Any]
    artefact: str | None = None


class FitLens:
    """Fits the blocks of a recipe on `rows` and judges them on `held_out`.

    `model` is what the lens's card calls the model, `about` what else it says. Raises BadOption, LayerOutOfRange,
    BadInput at once.
    """

    priority = Priority.TRAINING

    def __init__(
        self,
        lm: LanguageModel,
        rows: TokenRows,
        held_out: TokenRows,
        recipe: LensRecipe,
        *,
        model: str = "",
        about: Mapping[str, Any] | None = None,
        state: FitState | None = None,
        store_dtype: torch.dtype = torch.float32,
        name: str = "tuned lens",
    ) -> None:
        self.lm, self.recipe, self.name, self.model = lm, recipe.settled(lm.n_layers), name, model
        self.layers = self.recipe.layers or ()
        self.step = 0
        self._store_dtype, self._about = store_dtype, dict(about or {})
        self._points = tuple(HookPoint(layer) for layer in (*self.layers, lm.n_layers - 1))
        self._stream = self._stream_of(rows, self.recipe.buffer_rows)
        whole = held_out.n_tokens + int(held_out.lengths.max())
        self._held_out = self._stream_of(held_out, min(whole, self.recipe.buffer_rows))
        self._fits = {layer: _Fit(lm.d_model, lm.device) for layer in self.layers}
        if state is not None:
            self._restore(state)

    def run(self, ctx: JobContext) -> Steps[FittedLens]:
        """Fit and judge; yields Progress (a LensPoint as `item` now and then) and Checkpoint."""
        needed = self._stream.nbytes + self._held_out.nbytes + sum(fit.nbytes for fit in self._fits.values())
        ctx.memory.require(needed, f"Fitting {len(self._fits)} blocks", "Fit fewer blocks, or shuffle fewer tokens.")
        sums, seen = dict.fromkeys(self.layers, 0.0), 0
        while self.step < self.recipe.steps:
            rows = yield from self._driven(self._stream.next_batch(self.recipe.batch_rows), "reading activations")
            losses = yield from self._driven(self._update(rows), "fitting")
            self.step += 1
            seen += 1
            sums = {layer: sums[layer] + losses[layer] for layer in self.layers}
            if self.step % self.recipe.log_interval == 0 or self.step == self.recipe.steps:
                means = {layer: total / seen for layer, total in sums.items()}
                yield Progress(self.step, self.recipe.steps, "fitting", LensPoint(self.step, means))
                sums, seen = dict.fromkeys(self.layers, 0.0), 0
            if ctx.writer is not None and self._is_checkpoint_due():
                yield Checkpoint(self._save(ctx.writer))
        return (yield from self._finish(ctx))

    def _stream_of(self, rows: TokenRows, buffer_rows: int) -> ActivationStream:
        longest = int(rows.lengths.max())
        forward = max(longest, min(2048, buffer_rows))
        room = max(buffer_rows, forward)
        return ActivationStream(
            self.lm, rows, self._points, seed=self.recipe.seed, buffer_rows=room, forward_tokens=forward
        )

    def _update(self, rows: Mapping[HookPoint, Tensor]) -> Generator[None, None, dict[int, float]]:
        """One step of every block; nothing changes before all gradients are known."""
        last = rows[self._points[-1]]
        for layer, fit in self._of():
            fit.take_scale(rows[HookPoint(layer)])
        losses = dict.fromkeys(self.layers, 0.0)
        gradients = {layer: [torch.zeros_like(fit.weight), torch.zeros_like(fit.bias)] for layer, fit in self._of()}
        at_once = rows_at_once(self.lm)
        for start in range(0, len(last), at_once):
            part = slice(start, start + at_once)
            with torch.no_grad():
                target = log_probabilities(self.lm, last[part])
            for layer, fit in self._of():
                loss, grads = _loss_and_gradients(self.lm, fit, rows[HookPoint(layer)][part], target)
                losses[layer] += loss / len(last)
                for total, grad in zip(gradients[layer], grads, strict=True):
                    total.add_(grad, alpha=1 / len(last))
                yield
        for layer, fit in self._of():
            fit.update(gradients[layer], self._rate(), self.step + 1)
        return losses

    def _of(self) -> list[tuple[int, _Fit]]:
        return list(self._fits.items())

    def _rate(self) -> float:
        recipe = self.recipe
        rising = min(1.0, (self.step + 1) / (recipe.warmup + 1))
        return recipe.lr / self.lm.d_model * rising * (1 - self.step / recipe.steps)

    def _is_checkpoint_due(self) -> bool:
        interval = self.recipe.checkpoint_interval
        return interval > 0 and self.step % interval == 0 and self.step < self.recipe.steps

    def _save(self, writer: ArtefactWriter) -> dict[str, Any]:
        with writer("checkpoint", f"{self.name} at step {self.step}", {"step": self.step}) as draft:
            write_state(draft, self.state())
        return {"artefact": draft.id, "step": self.step}

    def state(self) -> FitState:
        """All of the fit as it stands between two steps."""
        tensors = {f"{layer}.{name}": value for layer, fit in self._of() for name, value in fit.tensors().items()}
        return FitState(self.recipe.to_dict(), self.lm.fingerprint, self.step, self._stream.state(), tensors)

    def _restore(self, state: FitState) -> None:
        if LensRecipe.from_dict(state.recipe) != self.recipe or state.model != self.lm.fingerprint:
            raise BadOption("This checkpoint belongs to a fit of another model or with other options.")
        for layer, fit in self._of():
            fit.restore({name: state.tensors[f"{layer}.{name}"] for name in fit.tensors()})
        self._stream.restore(state.stream)
        self.step = state.step

    def _finish(self, ctx: JobContext) -> Steps[FittedLens]:
        lens = TunedLens(
            {layer: fit.weight.to("cpu", self._store_dtype) for layer, fit in self._of()},
            {layer: fit.raw_bias().to("cpu", self._store_dtype) for layer, fit in self._of()},
        )
        scores = yield from self._driven(judge(self.lm, lens, self._held_out), "judging on held-out text")
        card = {
            "model": self.model,
            "model_fingerprint": self.lm.fingerprint,
            "recipe": self.recipe.to_dict(),
            "rows": self._stream.rows.fingerprint,
            "tokens": self.recipe.steps * self.recipe.batch_rows,
            "scores": [score.to_dict() for score in scores],
            **self._about,
        }
        artefact = None
        if ctx.writer is not None:
            with ctx.writer("lens", self.name, {"model": self.model, "layers": list(self.layers)}) as draft:
                write_lens(draft.folder, lens, card)
            artefact = draft.id
        return FittedLens(lens, scores, card, artefact)

    def _driven(self, work: Generator[None, None, Any], message: str) -> Steps[Any]:
        while True:
            try:
                next(work)
            except StopIteration as stop:
                return stop.value
            yield Progress(self.step, self.recipe.steps, message)


class _Fit:
    """W and b of one block with Adam's moments; b and its moments in units of the block's root mean square."""

    def __init__(self, d_model: int, device: torch.device) -> None:
        self.weight, self.bias = torch.zeros(d_model, d_model, device=device), torch.zeros(d_model, device=device)
        self.moments = [torch.zeros_like(each) for each in (self.weight, self.weight, self.bias, self.bias)]
        self.scale = torch.zeros((), device=device)

    def tensors(self) -> dict[str, Tensor]:
        names = ("weight", "bias", "scale", "weight_1", "weight_2", "bias_1", "bias_2")
        return dict(zip(names, (self.weight, self.bias, self.scale, *self.moments), strict=True))

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        for name, tensor in self.tensors().items():
            tensor.copy_(saved[name])

    def take_scale(self, hidden: Float[Tensor, "rows d"]) -> None:
        """From the first rows of all; afterwards it stays."""
        if not self.scale:
            self.scale.copy_(hidden.square().mean().sqrt().clamp_min(1e-12))

    @property
    def nbytes(self) -> int:
        return 2 * sum(tensor.nbytes for tensor in self.tensors().values())  # as much again for gradients and the copy

    def raw_bias(self) -> Tensor:
        return self.bias * self.scale

    @torch.no_grad()
    def update(self, gradients: list[Tensor], rate: float, step: int) -> None:
        first, second = BETAS
        for index, (value, grad) in enumerate(zip((self.weight, self.bias), gradients, strict=True)):
            mean, square = self.moments[2 * index], self.moments[2 * index + 1]
            mean.lerp_(grad, 1 - first)
            square.lerp_(grad.square(), 1 - second)
            spread = (square / (1 - second**step)).sqrt_().add_(EPSILON)
            value.addcdiv_(mean, spread, value=-rate / (1 - first**step))


def _loss_and_gradients(
    lm: LanguageModel, fit: _Fit, hidden: Float[Tensor, "rows d"], target: Float[Tensor, "rows vocab"]
) -> tuple[float, tuple[Tensor, ...]]:
    """KL(model || lens) summed over rows, and its gradient to W and to b in units of the scale."""
    with torch.enable_grad():
        weight, bias = fit.weight.clone().requires_grad_(), fit.bias.clone().requires_grad_()
        corrected = hidden + hidden @ weight.T + bias * fit.scale
        read = log_probabilities(lm, corrected)
        loss = (target.exp() * (target - read)).sum()
        return float(loss.detach()), torch.autograd.grad(loss, (weight, bias))
