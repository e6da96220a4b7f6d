"""One SAE while it is trained: weights, moments, counters; one step, one measurement, one complete state.

- Everything a step changes is changed in `_apply`, after the last piece of the gradient: a step that was abandoned
  (out of memory, cancelled) has changed nothing and may be done again.
- The decoder's rows are kept at length 1 where the architecture asks for it: the gradient along a row is removed, and
  rows are renormalised after Adam (arXiv 2406.04093, A.1).
- Who is dead is looked up every `dead_refresh` steps, so no step waits for the device.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.errors import BadInput, BadOption
from loupe.engine.sae.architectures import Batch, StepResult, step_gradients
from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.controller import L0Controller
from loupe.engine.sae.initial import ROWS_AT_ONCE, initialise
from loupe.engine.sae.kernels import can_be_compiled
from loupe.engine.sae.kinds import Activation, JumpReLURecipe
from loupe.engine.sae.measures import Measures, Sums, density_histogram
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.scaling import folded, measure_scales, unscaled
from loupe.engine.sae.schedule import lr_factor, sparsity_factor
from loupe.engine.sae.threshold import ThresholdCount
from loupe.engine.sae.warming import kernels_ready

THRESHOLD_MEMORY = 0.99
COUNTED_ELEMENTS = 1 << 20  # pre-activations that a threshold is counted from at once


class Learner:
    """Trains one SAE on rows it is given. `training` must be settled for the config."""

    def __init__(
        self, name: str, config: SAEConfig, training: TrainingConfig, device: torch.device | str = "cpu"
    ) -> None:
        self.name, self.config, self.training = name, config, training
        self.device = torch.device(device)
        self.sae = SAE(config, device=device)
        for weight in self.sae.parameters():
            weight.requires_grad_(False)
        self.micro_rows = training.micro_rows or default_micro_rows(config, training, self.device)
        self.step_number = 0
        self.tokens = 0
        self.scales = unscaled(config, device)
        self._moments: dict[str, dict[str, Tensor]] = {}
        self._optimizer: torch.optim.Adam | None = None
        self._since_fired = torch.zeros(config.d_sae, dtype=torch.int64, device=device)
        self._dead = torch.zeros(0, dtype=torch.int64, device=device)
        self._threshold = torch.zeros(2, dtype=torch.float64, device=device)  # running sum, and its weight
        self._is_finite = torch.ones((), dtype=torch.bool, device=device)
        target = training.l0_target
        self._controller = None if target is None else L0Controller(target, training.steps, device)
        self.sums = Sums(config.d_sae, self.sae.d_out, self.device)

    def initialise(self, x: Float[Tensor, "rows d_in"], y: Float[Tensor, "rows d_out"]) -> Generator[None, None, None]:
        """Take scales and starting values from raw rows."""
        _check_rows(x, self.name)
        self.scales = measure_scales(self.config, self.training, x, y)
        yield
        yield from initialise(self.sae, self.training, x, y, self.name, self.scales)
        self.sums.centre.copy_(y.mean(0) * self.scales.y)

    def step(self, x: Float[Tensor, "rows d_in"], y: Float[Tensor, "rows d_out"]) -> Generator[None, None, None]:
        """One optimiser step on raw rows; yields between pieces. Raises BadInput for values that are not finite."""
        if self.step_number % self.training.dead_refresh == 0:
            self._refresh()
        scaled_x = self.scales.read(x)
        batch = Batch(
            scaled_x, scaled_x if x is y and self.scales.centre is None else y * self.scales.y, self.micro_rows
        )
        result = yield from step_gradients(self.sae, self.training, batch, self._coefficient(), self._dead)
        if self.device.type == "cpu" and not bool(torch.isfinite(result.reconstruction)):
            self._refuse(x)
        if can_be_compiled(*self._by_latent().values()):
            yield from self._apply_in_slices(result, batch.y)
        else:
            self._apply(result, batch.y)

    def measure(self, tokens_per_s: float | None = None, memory: int | None = None) -> Measures:
        """Read the interval's sums and begin a new one; speed and memory are whoever's who knows them."""
        self.check_finite()
        loss, reconstruction, sparsity, aux, _, grad_norm = self.sums.means()
        rows = max(1, self.sums.rows)
        measures = Measures(
            name=self.name,
            step=self.step_number,
            steps=self.training.steps,
            tokens=self.tokens,
            loss=loss,
            reconstruction=reconstruction,
            sparsity=None if self.config.is_k_sparse else sparsity,
            aux=aux if self.config.is_k_sparse else None,
            l0=int(self.sums.fired.sum()) / rows,
            l0_target=self.config.k if self.config.is_k_sparse else self.training.l0_target,
            explained_variance=self.sums.explained_variance(),
            dead_share=self.dead_share(),
            lr=self._lr(max(0, self.step_number - 1)),
            grad_norm=grad_norm,
            coefficient=None if self.config.is_k_sparse else float(self._coefficient()),
            threshold=self._mean_threshold(),
            density=density_histogram(self.sums.fired, rows),
            micro_rows=self.micro_rows,
            tokens_per_s=tokens_per_s,
            memory=memory,
        )
        self.sums.clear()
        return measures

    def dead_share(self) -> float:
        """Share of latents that have not fired for `dead_tokens` tokens."""
        return float((self._since_fired >= (self.training.dead_tokens or 0)).double().mean())

    def check_finite(self) -> None:
        """Raises BadOption when a loss was not finite since the last look."""
        if not bool(self._is_finite):
            raise BadOption(
                f"The loss of {self.name} is no longer finite at step {self.step_number}. Lower the learning rate "
                f"(now {self.training.lr:g}) and start again from the last checkpoint."
            )

    def acts(self, x: Float[Tensor, "rows d_in"]) -> Float[Tensor, "rows d_sae"]:
        """feature_acts of raw rows now, in scaled units."""
        self._use_running_threshold()
        return self.sae.encode(self.scales.read(x))

    def count_threshold(self, count: ThresholdCount, x: Float[Tensor, "rows d_in"]) -> Generator[None, None, None]:
        """Let a count see raw rows, a tile at a time."""
        size = min(self.micro_rows, max(1, COUNTED_ELEMENTS // self.config.d_sae))
        for at in range(0, len(x), size):
            count.add(self.scales.read(x[at : at + size]))
            yield

    def settle_threshold(self, count: ThresholdCount) -> None:
        """Fix the inference threshold at the one where k latents fire per row."""
        assert self.config.k is not None
        self.sae.threshold.fill_(count.threshold(self.config.k))
        self._threshold.zero_()

    def finished(self) -> SAE:
        """The SAE as it stands, for raw activations, on the CPU."""
        self._use_running_threshold()
        return folded(self.sae, self.scales)

    def _use_running_threshold(self) -> None:
        if (running := self._mean_threshold()) is not None and self.config.activation is Activation.BATCHTOPK:
            self.sae.threshold.fill_(running)

    def state(self) -> dict[str, Tensor]:
        """Every tensor that the next step depends on, on the CPU; with `numbers()` it is the whole learner."""
        copying = self.copying()
        while True:
            try:
                next(copying)
            except StopIteration as stop:
                return stop.value

    def copying(self) -> Generator[None, None, dict[str, Tensor]]:
        """`state()`, one tensor at a time: nobody steps in between, and copying large weights takes a while."""
        tensors = {f"weights.{name}": tensor for name, tensor in self.sae.state_dict().items()}
        for name, moments in self._moments.items():
            tensors |= {f"moments.{name}.{key}": value for key, value in moments.items()}
        tensors |= {f"counters.{name}": tensor for name, tensor in self._counters().items()}
        copies = {}
        for name, tensor in tensors.items():
            copies[name] = tensor.detach().to("cpu", copy=True).contiguous()
            yield
        return copies

    def numbers(self) -> dict[str, Any]:
        """The rest of the state, as plain JSON."""
        return {
            "step": self.step_number,
            "tokens": self.tokens,
            "micro_rows": self.micro_rows,
            "interval": [self.sums.steps, self.sums.rows],
        }

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Go on from a state. Raises BadOption for one of another shape."""
        weights = {name.removeprefix("weights."): value for name, value in tensors.items() if name[:8] == "weights."}
        shapes = {name: tuple(value.shape) for name, value in self.sae.state_dict().items()}
        if (found := {name: tuple(value.shape) for name, value in weights.items()}) != shapes:
            raise BadOption(f"The checkpoint of {self.name} holds other shapes: {found}, this SAE has {shapes}.")
        self.sae.load_state_dict(weights)
        self._optimizer = None
        for name in self._by_latent():
            moments = {key: tensors.get(f"moments.{name}.{key}") for key in ("step", "exp_avg", "exp_avg_sq")}
            if all(value is not None for value in moments.values()):
                self._moments[name] = {key: self._placed(key, value) for key, value in moments.items()}
        for name, tensor in self._counters().items():
            if (saved := tensors.get(f"counters.{name}")) is not None:
                tensor.resize_(saved.shape).copy_(saved)
        self.step_number, self.tokens = numbers["step"], numbers["tokens"]
        self.micro_rows = numbers["micro_rows"]
        self.sums.steps, self.sums.rows = numbers["interval"]

    def _placed(self, key: str, value: Tensor | None) -> Tensor:
        assert value is not None
        return value.clone() if key == "step" and self.device.type == "cpu" else value.to(self.device, copy=True)

    def _counters(self) -> dict[str, Tensor]:
        counters = {
            "since_fired": self._since_fired,
            "dead": self._dead,
            "threshold": self._threshold,
            "scale_x": self.scales.x,
            "scale_y": self.scales.y,
            "totals": self.sums.totals,
            "shift": self.sums.shift,
            "fired": self.sums.fired,
            "centre": self.sums.centre,
        }
        if self.scales.centre is not None:
            counters["centre_x"] = self.scales.centre
        return counters if self._controller is None else counters | {"controller": self._controller.state}

    def _by_latent(self) -> dict[str, Tensor]:
        """The weights as they lie in memory, each the same tensor object every time."""
        if not hasattr(self, "_stored"):
            named = dict(self.sae.named_parameters())
            self._stored = {name: w.data.t() if name == "W_enc" else w.data for name, w in named.items()}
        return self._stored

    def _torch_adam(self) -> torch.optim.Adam:
        """On our moments. Made when first needed: it imports torch's compiler, a second and 70 MiB on a CPU."""
        if self._optimizer is None:
            training, weights = self.training, self._by_latent()
            assert training.lr is not None and training.beta1 is not None
            betas = (training.beta1, training.beta2)
            self._optimizer = torch.optim.Adam(list(weights.values()), lr=training.lr, betas=betas, fused=True)
            for name, weight in weights.items():
                self._optimizer.state[weight] = self._moments_of(name)
        return self._optimizer

    def _lr(self, step: int) -> float:
        assert self.training.lr is not None
        return self.training.lr * lr_factor(self.training, step)

    def _coefficient(self) -> Float[Tensor, ""]:
        relu = self.config.activation in (Activation.RELU, Activation.GATED)
        weight = self.training.l1_coefficient if relu else self.training.l0_coefficient
        assert weight is not None
        now = torch.full((), weight * sparsity_factor(self.training, self.step_number), device=self.device)
        return now if self._controller is None else now * self._controller.factor()

    def _refresh(self) -> None:
        assert self.training.dead_tokens is not None
        self._dead = (self._since_fired >= self.training.dead_tokens).nonzero().squeeze(1)

    def _apply_in_slices(self, result: StepResult, y: Tensor) -> Generator[None, None, None]:
        """`_apply` in compiled kernels. Once a weight has moved everything does, even if this is closed."""
        yield from kernels_ready()
        from loupe.engine.sae.adam import AdamNumbers, CompiledAdam  # brings the compiler, which GPUs need not pay

        training, weights = self.training, self._by_latent()
        assert training.beta1 is not None
        grads = {name: (g.t() if name == "W_enc" else g).contiguous() for name, g in result.grads.items()}
        moments = {name: self._moments_of(name) for name in weights}
        adam = CompiledAdam(weights, grads, moments, "W_dec" if self._has_unit_rows else "")
        norm = yield from adam.norm()
        step, lr = self.step_number + 1, self._lr(self.step_number)
        numbers = AdamNumbers(step, lr, training.beta1, training.beta2, clip=training.grad_clip)
        try:
            yield from adam.move(norm, numbers)
        finally:
            for each in moments.values():
                each["step"].fill_(step)
            if self.config.activation is Activation.JUMPRELU:
                self.sae.threshold.clamp_(min=0)
            self._count(result, y, norm)

    def _moments_of(self, name: str) -> dict[str, Tensor]:
        """Adam's, by its own names, made when first asked for."""
        if name not in self._moments:
            weight = self._by_latent()[name]
            zeros = {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
            self._moments[name] = {"step": torch.zeros((), device=self.device), **zeros}
        return self._moments[name]

    @torch.no_grad()
    def _apply(self, result: StepResult, y: Tensor) -> None:
        grads = result.grads
        if self._has_unit_rows:
            along = (grads["W_dec"] * self.sae.W_dec).sum(1, keepdim=True)
            grads["W_dec"].addcmul_(along, self.sae.W_dec, value=-1)
        norm = self._clip(grads)
        for name, weight in self._by_latent().items():
            weight.grad = grads[name].t() if name == "W_enc" else grads[name]
        optimizer = self._torch_adam()
        for group in optimizer.param_groups:
            group["lr"] = self._lr(self.step_number)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if self._has_unit_rows:
            self.sae.W_dec.div_(self.sae.W_dec.norm(dim=1, keepdim=True).clamp(min=1e-12))
        if self.config.activation is Activation.JUMPRELU:
            self.sae.threshold.clamp_(min=0)
        self._count(result, y, norm)

    def _clip(self, grads: dict[str, Tensor]) -> Float[Tensor, ""]:
        norm = torch.stack([grad.norm() for grad in grads.values()]).norm()
        if self.training.grad_clip:
            factor = (self.training.grad_clip / (norm + 1e-6)).clamp(max=1.0)
            for grad in grads.values():
                grad.mul_(factor)
        return norm

    def _count(self, result: StepResult, y: Tensor, norm: Tensor) -> None:
        self._since_fired += len(y)
        self._since_fired.masked_fill_(result.fired > 0, 0)
        if self.config.activation is Activation.BATCHTOPK:
            least = torch.where(torch.isfinite(result.smallest), result.smallest, 0.0).double()
            self._threshold.mul_(THRESHOLD_MEMORY)
            self._threshold += (1 - THRESHOLD_MEMORY) * torch.stack([least, torch.ones_like(least)])
        if self._controller is not None:
            self._controller.update(result.fired.sum() / len(y))
        self._is_finite &= torch.isfinite(result.reconstruction)
        self.sums.add(result, y, norm)
        self.step_number += 1
        self.tokens += len(y)

    @property
    def _has_unit_rows(self) -> bool:
        deepmind = self.training.jumprelu_recipe is JumpReLURecipe.DEEPMIND
        is_jumprelu = self.config.activation is Activation.JUMPRELU
        return self.config.activation is not Activation.RELU and (not is_jumprelu or deepmind)

    def _mean_threshold(self) -> float | None:
        if self.config.activation is Activation.JUMPRELU:
            return float(self.sae.threshold.mean())
        if self.config.activation is Activation.BATCHTOPK and float(self._threshold[1]) > 0:
            return float(self._threshold[0] / self._threshold[1])
        return None

    def _refuse(self, x: Tensor) -> None:
        _check_rows(x, f"{self.name}, step {self.step_number + 1}")
        self._is_finite.fill_(False)
        self.check_finite()


def default_micro_rows(config: SAEConfig, training: TrainingConfig, device: torch.device) -> int:
    """Rows whose pre-activations fit a cache level, and whose product takes some tens of milliseconds, on a CPU."""
    assert config.d_out is not None
    elements, products = (1 << 22, 1 << 31) if device.type == "cpu" else (1 << 27, 1 << 40)
    rows = min(elements // config.d_sae, products // (config.d_sae * config.d_in))
    return max(1, min(training.batch_rows, 1 << max(4, rows.bit_length() - 1)))


def _check_rows(x: Tensor, where: str) -> None:
    is_finite = torch.empty(len(x), dtype=torch.bool, device=x.device)
    for at in range(0, len(x), ROWS_AT_ONCE):
        rows = slice(at, at + ROWS_AT_ONCE)
        is_finite[rows] = torch.isfinite(x[rows]).all(1)
    broken = (~is_finite).nonzero().squeeze(1)
    if len(broken):
        raise BadInput(
            f"{len(broken)} of {len(x)} activations of {where} hold NaN or infinity, first row {int(broken[0])}. "
            "The model may overflow in its dtype: load it as bf16 or fp32."
        )
