"""One optimiser step of a k-sparse autoencoder, in phases that can be cut into slices.

A step is encode, decode and compare, gradients by latent, Adam. Every phase is a generator over rows or latents whose
yields change nothing but the time at which it runs. The weights are the module's own tensors, changed in place by
`apply` alone. This file holds the words of a step and the torch form of it, for any device; `compiled_step` has the
same phases in compiled kernels for the CPU. `sparse_step` chooses.

Loss: mean over rows of ||target - reconstruction||^2 (Matryoshka: also the mean over its prefixes), plus AuxK of Gao et
al., arXiv 2406.04093, appendix A.2: dead latents reconstruct the error, relative to the error's variance. Adam is the
dense Adam of `torch.optim`, every row in every step; with `unit_norm` the part of the decoder's gradient along its own
rows is removed before clipping, and rows are set to length one after the step.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from loupe.engine.sae import sparse
from loupe.engine.sae.kernels import batch_topk_encode, topk_encode
from loupe.engine.sae.topk import SparseActs


class Weights(NamedTuple):
    """The tensors of an SAE, or anything of their shapes. W_enc is best stored as the transpose of row-major."""

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]


@dataclass(frozen=True, slots=True)
class AdamOptions:
    """How gradients become steps; `clip` is the largest gradient norm, 0 for none."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    clip: float = 1.0
    unit_norm: bool = True


@dataclass(frozen=True, slots=True)
class AuxOptions:
    """AuxK: the k dead latents that explain the error of a row; dead is silent for `dead_tokens` rows."""

    k: int
    coefficient: float = 1 / 32
    dead_tokens: int = 10_000_000
    refresh: int = 50  # steps between two looks at who is dead


class StepSums(NamedTuple):
    """Sums over the rows of one `accumulate`; tensors, so that nothing waits for a GPU."""

    rows: int
    squared_error: Float[Tensor, ""]
    active: Float[Tensor, ""]  # latents that fired
    aux_loss: Float[Tensor, ""]
    grad_out: Float[Tensor, "rows d_out"]  # of the loss by the reconstruction: what a skip connection is trained with


class Compared(NamedTuple):
    """What decoding leaves behind for the gradients. `pull[level]` is the gradient of what a level's latents wrote."""

    squared_error: Tensor
    grad_values: Float[Tensor, "rows width"]
    pull: Float[Tensor, "levels rows d_out"]
    grad_b_dec: Float[Tensor, " d_out"]


Phase: TypeAlias = Generator[None, None, None]


@dataclass
class SparseStep:
    """The step in torch, for any device. Several `accumulate` may come before one `apply`; gradients add up."""

    weights: Weights
    k: int
    batchwise: bool = False
    centred: bool = True  # subtract b_dec before encoding
    prefix_sizes: tuple[int, ...] = ()  # Matryoshka; empty is one level
    adam: AdamOptions = field(default_factory=AdamOptions)
    aux: AuxOptions | None = None

    def __post_init__(self) -> None:
        self.weights = Weights(*(each.detach() for each in self.weights))
        d_sae, device = len(self.weights.W_dec), self.weights.W_dec.device
        ends = torch.tensor(self.prefix_sizes or (d_sae,), device=device)
        self.level_of = torch.bucketize(torch.arange(d_sae, device=device), ends, right=True)
        self.levels = len(ends)
        self.grads = self._zeros()
        self.means, self.squares = self._zeros(), self._zeros()
        self.steps = 0
        self.tokens_since_fired = torch.zeros(d_sae, dtype=torch.int64, device=device)
        self.dead = torch.empty(0, dtype=torch.int64, device=device)

    def _zeros(self) -> Weights:
        W_enc, b_enc, W_dec, b_dec = self.weights
        return Weights(torch.zeros_like(W_enc.t()).t(), *(torch.zeros_like(each) for each in (b_enc, W_dec, b_dec)))

    def state(self) -> dict[str, Tensor]:
        """Everything beside the weights that the next step depends on."""
        moments = {"mean": self.means, "square": self.squares}
        named = {f"{kind}.{name}": each for kind, of in moments.items() for name, each in of._asdict().items()}
        counters = {"tokens_since_fired": self.tokens_since_fired, "dead": self.dead, "steps": torch.tensor(self.steps)}
        return {name: each.detach().cpu().clone() for name, each in (named | counters).items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue where `state` was taken."""
        for kind, of in (("mean", self.means), ("square", self.squares)):
            for name, each in of._asdict().items():
                each.copy_(state[f"{kind}.{name}"])
        self.tokens_since_fired.copy_(state["tokens_since_fired"])
        self.dead = state["dead"].to(self.dead.device).clone()
        self.steps = int(state["steps"])

    @torch.no_grad()
    def accumulate(
        self, x: Float[Tensor, "rows d_in"], target: Float[Tensor, "rows d_out"] | None = None, batch_rows: int = 0
    ) -> Generator[None, None, StepSums]:
        """Forward and backward on some rows; `batch_rows` is how many the whole step will have (default: these)."""
        target, batch_rows = x if target is None else target, batch_rows or len(x)
        seen = yield from self.see(x)
        acts = yield from self.encode(seen, self.weights, self.k, self.batchwise)
        scale = 1 / (batch_rows * self.levels)
        compared = yield from self.compare(acts, target, self.weights, scale, self.level_of)
        fired = yield from self.add_gradients(seen, acts, compared, self.weights, self.grads, self.level_of)
        self.tokens_since_fired.add_(len(x)).masked_fill_(fired > 0, 0)
        aux_loss = target.new_zeros(())
        if self.aux is not None and len(self.dead):
            error = compared.pull[-1] / (-2 * scale)
            aux_loss = yield from self._revive(seen, error, self.aux, len(x) / batch_rows)
        return StepSums(len(x), compared.squared_error, fired.sum(), aux_loss, compared.pull[0])

    @torch.no_grad()
    def apply(self, lr: float) -> Generator[None, None, Float[Tensor, ""]]:
        """Turn the gathered gradients into a step and forget them; returns their norm before clipping."""
        self.steps += 1
        norm = yield from self.step(lr)
        if self.aux is not None and self.steps % self.aux.refresh == 0:
            self.dead = (self.tokens_since_fired > self.aux.dead_tokens).nonzero().flatten()
        return norm

    def _revive(self, seen: Tensor, error: Tensor, aux: AuxOptions, share: float) -> Generator[None, None, Tensor]:
        """AuxK: the same passes over a small SAE of the dead latents, with the error as target and no b_dec."""
        some = self._of(self.weights, self.dead)
        k = min(aux.k, len(self.dead))
        variance = (error - error.mean(0)).square().sum().clamp_min(1e-30)
        scale = share * aux.coefficient * min(1.0, len(self.dead) / aux.k) / float(variance)
        levels = torch.zeros_like(self.dead)
        acts = yield from self.encode(seen, some, k, False)
        compared = yield from self.compare(acts, error, some, scale, levels)
        grads = Weights(*(torch.zeros_like(each) for each in some))
        yield from self.add_gradients(seen, acts, compared, some, grads, levels)
        self.grads.W_enc.t().index_add_(0, self.dead, grads.W_enc.t())
        self.grads.b_enc.index_add_(0, self.dead, grads.b_enc)
        self.grads.W_dec.index_add_(0, self.dead, grads.W_dec)
        return compared.squared_error * scale

    def _of(self, weights: Weights, latents: Int64[Tensor, " some"]) -> Weights:
        rows = weights.W_enc.t()[latents].t()
        return Weights(rows, weights.b_enc[latents], weights.W_dec[latents], torch.zeros_like(weights.b_dec))

    def see(self, x: Tensor) -> Generator[None, None, Tensor]:
        """What the encoder is given."""
        yield
        return x - self.weights.b_dec if self.centred else x

    def encode(self, seen: Tensor, of: Weights, k: int, batchwise: bool) -> Generator[None, None, SparseActs]:
        """The code of every row."""
        acts = (batch_topk_encode if batchwise else topk_encode)(seen, of.W_enc, of.b_enc, k)
        yield
        return acts

    def compare(
        self, acts: SparseActs, target: Tensor, of: Weights, scale: float, level_of: Tensor
    ) -> Generator[None, None, Compared]:
        """Decode level by level; the error's gradient by what every level wrote, and by every value of the code."""
        levels = int(self.levels if level_of is self.level_of else 1)
        level = level_of[acts.indices]
        reconstruction, errors = of.b_dec.expand_as(target), []
        for each in range(levels):
            own = acts.values * (level == each) if levels > 1 else acts.values
            reconstruction = reconstruction + sparse.decode(own, acts.indices, of.W_dec)
            errors.append(reconstruction - target)
        pull = torch.stack(errors).mul_(2 * scale).flip(0).cumsum(0).flip(0)
        yield
        dots = [sparse.row_dots(each, acts.indices, of.W_dec) * (level == at) for at, each in enumerate(pull)]
        yield
        return Compared(errors[-1].square().sum(), torch.stack(dots).sum(0) * (acts.values > 0), pull, pull[0].sum(0))

    def add_gradients(
        self, seen: Tensor, acts: SparseActs, compared: Compared, of: Weights, to: Weights, level_of: Tensor
    ) -> Generator[None, None, Int64[Tensor, " d_sae"]]:
        """Add the gradient of every weight to `to`, and what flows through a centred input to b_dec.

        Returns how often each latent fired.
        """
        turned = sparse.by_latent(acts.indices, len(of.W_dec))
        picks = turned.rows + (level_of[acts.indices].flatten() * len(seen))[turned.slots]
        by_value, by_grad = (each.flatten()[turned.slots] for each in (acts.values, compared.grad_values))
        to.W_dec.add_(sparse.weighted_sum(compared.pull.flatten(0, 1), picks, by_value, turned.starts))
        yield
        to.W_enc.t().add_(sparse.weighted_sum(seen, turned.rows, by_grad, turned.starts))
        latents = acts.indices.flatten()
        grad_b_enc = torch.zeros_like(to.b_enc).index_add_(0, latents, compared.grad_values.flatten())
        to.b_enc.add_(grad_b_enc)
        yield
        if of is self.weights:
            to.b_dec.add_(compared.grad_b_dec)
        if self.centred:
            self.grads.b_dec.sub_(of.W_enc @ grad_b_enc)
        return of.b_enc.new_zeros(len(of.b_enc), dtype=torch.int64).index_add_(
            0, latents, (acts.values > 0).flatten().long()
        )

    def step(self, lr: float) -> Generator[None, None, Tensor]:
        """Project, clip, Adam, unit norm; gradients are zero afterwards."""
        weights, grads, adam = self.weights, self.grads, self.adam
        if adam.unit_norm:
            grads.W_dec.sub_(weights.W_dec * (grads.W_dec * weights.W_dec).sum(1, keepdim=True))
        norm = torch.stack([each.square().sum() for each in grads]).sum().sqrt()
        factor = (adam.clip / (norm + 1e-6)).clamp(max=1.0) if adam.clip else torch.ones_like(norm)
        yield
        unbias1, unbias2 = 1 - adam.beta1**self.steps, 1 - adam.beta2**self.steps
        for weight, grad, mean, square in zip(weights, grads, self.means, self.squares, strict=True):
            grad.mul_(factor)
            mean.lerp_(grad, 1 - adam.beta1)
            square.mul_(adam.beta2).addcmul_(grad, grad, value=1 - adam.beta2)
            weight.addcdiv_(mean, square.sqrt().div_(unbias2**0.5).add_(adam.eps), value=-lr / unbias1)
            grad.zero_()
            yield
        if adam.unit_norm:
            weights.W_dec.div_(weights.W_dec.norm(dim=1, keepdim=True).clamp_min_(1e-12))
        return norm


def sparse_step(
    weights: Weights,
    k: int,
    *,
    batchwise: bool = False,
    centred: bool = True,
    prefix_sizes: tuple[int, ...] = (),
    adam: AdamOptions | None = None,
    aux: AuxOptions | None = None,
) -> SparseStep:
    """The step for these weights where they are. Raises ValueError for a k no code can have."""
    if not 1 <= k <= len(weights.W_dec):
        raise ValueError(f"k is {k}; a code over {len(weights.W_dec)} latents holds from 1 to all of them.")
    from loupe.engine.sae import compiled_step  # brings the compiler, a second and 100 MB that others need not pay

    kind = compiled_step.CompiledStep if compiled_step.runs_here(weights) else SparseStep
    return kind(weights, k, batchwise, centred, prefix_sizes, adam or AdamOptions(), aux)
