# ruff: noqa: RUF009 - option() makes a dataclass field
"""What a sparse autoencoder is and how it is trained: two frozen configs whose fields document themselves.

Defaults and their sources are those of the papers, gathered per architecture in `defaults.py`; activations are scaled
to a mean norm of sqrt(d) while training, so coefficients mean the same on every model. All errors are `BadOption`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loupe.engine.errors import BadOption
from loupe.engine.sae.defaults import defaults_for
from loupe.engine.sae.kinds import Activation, Architecture, Centring, JumpReLURecipe, Precision
from loupe.engine.sae.options import OptionFacts, check, describe, from_dict, option, to_dict

K_SPARSE = (Activation.TOPK, Activation.BATCHTOPK)
TRANSCODERS = (Architecture.TRANSCODER, Architecture.SKIP_TRANSCODER)
_CODES_OF_CHOICE = ("transcoder", "skip_transcoder", "crosscoder")
_WITH_K = ("topk", "batchtopk", "matryoshka", *_CODES_OF_CHOICE)
_FIXED = {
    Architecture.STANDARD: Activation.RELU,
    Architecture.GATED: Activation.GATED,
    Architecture.TOPK: Activation.TOPK,
    Architecture.BATCHTOPK: Activation.BATCHTOPK,
    Architecture.JUMPRELU: Activation.JUMPRELU,
    Architecture.MATRYOSHKA: Activation.BATCHTOPK,
}


@dataclass(frozen=True, slots=True)
class SAEConfig:
    """The shape of an SAE and how its codes are made; enough to run it, given its weights.

    Raises BadOption, also for combinations that make no sense (k above d_sae, a width that the parts do not share).
    """

    architecture: Architecture = option(help="How codes are made sparse, and what is reconstructed from them.")
    d_in: int = option(help="Width of what is read; all parts together for a crosscoder.", low=1)
    d_sae: int = option(help="Number of latents, that is of features.", low=1)
    k: int | None = option(
        None, "Active latents per token (its mean over the batch for BatchTopK). Default 32.", low=1, only_for=_WITH_K
    )
    d_out: int | None = option(
        None, "Width of what is reconstructed. Default: d_in.", low=1, only_for=("transcoder", "skip_transcoder")
    )
    activation: Activation | None = option(
        None, "How codes are made sparse. Default: batchtopk.", only_for=_CODES_OF_CHOICE
    )
    parts: int = option(1, "Hook points a crosscoder reads and writes.", low=1, only_for=("crosscoder",))
    prefixes: tuple[float, ...] = option(
        (1 / 32, 3 / 32, 7 / 32, 15 / 32, 1.0),
        "Shares of the latents that must reconstruct on their own.",
        above=0,
        high=1,
        only_for=("matryoshka",),
    )
    apply_b_dec_to_input: bool | None = option(
        None, "Subtract b_dec before encoding. Default: yes, but not for transcoders."
    )

    def __post_init__(self) -> None:
        check(self)
        self._check_activation()
        self._check_shapes()
        set_once = object.__setattr__
        set_once(self, "activation", self.activation or _FIXED.get(self.architecture, Activation.BATCHTOPK))
        set_once(self, "d_out", self.d_out or self.d_in)
        if self.activation in K_SPARSE and self.k is None:
            set_once(self, "k", min(32, self.d_sae))
        if self.apply_b_dec_to_input is None:
            set_once(self, "apply_b_dec_to_input", not self.is_transcoder)

    def _check_activation(self) -> None:
        fixed = _FIXED.get(self.architecture)
        if self.activation is None:
            return
        if fixed is not None and self.activation is not fixed:
            raise BadOption(f"A {self.architecture} SAE has {fixed} codes; got activation = {self.activation}.")
        if self.activation is Activation.GATED and fixed is None:
            raise BadOption(f"A {self.architecture} has relu, topk, batchtopk or jumprelu codes; got gated.")

    def _check_shapes(self) -> None:
        if self.k is not None and self.k > self.d_sae:
            raise BadOption(f"k = {self.k} is above d_sae = {self.d_sae}: at most all latents can be active.")
        if self.k is not None and self.architecture.value not in _WITH_K:
            raise BadOption(f"A {self.architecture} SAE has no k; set its sparsity with l0_target or a coefficient.")
        if self.d_out is not None and self.d_out != self.d_in and not self.is_transcoder:
            raise BadOption(f"d_out = {self.d_out} differs from d_in = {self.d_in}: only transcoders may do that.")
        if self.parts > 1 and self.architecture is not Architecture.CROSSCODER:
            raise BadOption(f"parts = {self.parts} is for crosscoders; a {self.architecture} reads one hook point.")
        if self.d_in % self.parts:
            raise BadOption(f"d_in = {self.d_in} cannot be shared by {self.parts} parts of equal width.")
        if list(self.prefixes) != sorted(set(self.prefixes)) or not self.prefixes or self.prefixes[-1] != 1:
            raise BadOption(f"prefixes must rise and end with 1, got {list(self.prefixes)}.")

    @property
    def is_transcoder(self) -> bool:
        """Whether one site is read and another reconstructed."""
        return self.architecture in TRANSCODERS

    @property
    def has_skip(self) -> bool:
        """Whether a linear path runs past the codes."""
        return self.architecture is Architecture.SKIP_TRANSCODER

    @property
    def is_k_sparse(self) -> bool:
        """Whether the number of active latents is chosen, not learnt."""
        return self.activation in K_SPARSE

    @property
    def prefix_sizes(self) -> tuple[int, ...]:
        """Latents per Matryoshka level, smallest first."""
        sizes = sorted({max(1, round(share * self.d_sae)) for share in self.prefixes})
        return tuple(sizes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SAEConfig:
        """The reverse of `to_dict`; also what an API or a command line gives. Raises BadOption."""
        return from_dict(cls, values)

    @classmethod
    def schema(cls) -> tuple[OptionFacts, ...]:
        """Every option with default, range and meaning."""
        return describe(cls)


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How SAEs are trained. None means the architecture's own default, which `settled_for` puts in.

    Raises BadOption.
    """

    steps: int = option(10_000, "Optimiser steps.", low=1, high=10_000_000)
    batch_rows: int = option(4096, "Activations per step.", low=1, high=1 << 20, unit="rows")
    lr: float | None = option(
        None, "Peak learning rate. Default: 2e-4 sqrt(16384/d_sae) for topk, the paper's elsewhere.", above=0, high=0.1
    )
    warmup: int | None = option(
        None, "Steps over which the learning rate rises. Default: 1000, at most 5 % of the run.", low=0
    )
    decay: float = option(0.2, "Share of the run, at its end, over which the learning rate falls to 0.", low=0, high=1)
    beta1: float | None = option(None, "Adam's memory of gradients.", low=0, high=0.9999)
    beta2: float = option(0.999, "Adam's memory of squared gradients.", low=0, high=0.999999)
    grad_clip: float = option(1.0, "Largest gradient norm of a step; 0 does not clip.", low=0, high=1e6)
    seed: int = option(0, "Seed of starting values and of the order of the data.", low=0, high=2**63 - 1)
    micro_rows: int | None = option(
        None, "Rows computed at once; gradients of a batch are summed over them. Default: by width.", low=1
    )
    precision: Precision = option(
        Precision.FP32, "On a GPU, bf16 chooses the active latents and fp32 says how active they are.", only_for=_WITH_K
    )
    l1_coefficient: float | None = option(
        None, "Weight of the L1 penalty. Default 5.", low=0, high=1e6, only_for=("standard", "gated")
    )
    l0_target: float | None = option(
        None,
        "Active latents per token to steer for.",
        above=0,
        only_for=("standard", "gated", "jumprelu"),
    )
    sparsity_warmup: float | None = option(
        None,
        "Share of the run over which the penalty rises. Default: 5 %; all of it for Anthropic.",
        low=0,
        high=1,
    )
    jumprelu_recipe: JumpReLURecipe = option(JumpReLURecipe.ANTHROPIC, "Whose JumpReLU.", only_for=("jumprelu",))
    l0_coefficient: float | None = option(
        None, "Weight of JumpReLU's penalty. Default: 20 tanh, 1 L0.", low=0, high=1e6, only_for=("jumprelu",)
    )
    bandwidth: float | None = option(
        None, "Width of the kernel around the threshold. Default: 2 or 1e-3.", above=0, high=10, only_for=("jumprelu",)
    )
    initial_threshold: float | None = option(
        None, "What thresholds start as. Default: 0.1 or 1e-3.", above=0, high=100, only_for=("jumprelu",)
    )
    tanh_scale: float = option(4.0, "c of Anthropic's tanh(c f).", above=0, high=1e3, only_for=("jumprelu",))
    preact_coefficient: float = option(
        3e-6, "Weight that pulls dead pre-activations up.", low=0, high=1, only_for=("jumprelu",)
    )
    aux_coefficient: float = option(
        1 / 32, "Weight of the loss that revives dead latents.", low=0, high=100, only_for=_WITH_K
    )
    aux_k: int | None = option(
        None, "Dead latents that explain each token's error. Default: a power of two near d/2.", low=1, only_for=_WITH_K
    )
    dead_tokens: int | None = option(
        None, "Tokens without firing after which a latent is dead. Default: 10 M, at most 10 % of the run.", low=1
    )
    dead_refresh: int = option(50, "Steps between two looks at who is dead.", low=1, high=100_000)
    centring: Centring = option(Centring.MEAN, "What b_dec starts as.")
    initial_rows: int = option(65_536, "Rows that means and scales are taken from.", low=1, high=1 << 24)
    normalise: bool = option(True, "Scale activations to a mean norm of sqrt(d) while training; folded in at the end.")
    threshold_rows: int = option(
        1_048_576, "Rows the inference threshold of BatchTopK is fixed on; at most those of the run.", low=1
    )
    log_interval: int = option(50, "Steps between two points of the curves.", low=1, high=100_000)
    evaluation_interval: int = option(
        1000, "Steps between two evaluations on held-out text; 0 evaluates at the end only.", low=0
    )
    checkpoint_interval: int = option(1000, "Steps between two checkpoints; 0 saves none by itself.", low=0)

    def __post_init__(self) -> None:
        check(self)

    def settled_for(self, sae: SAEConfig) -> TrainingConfig:
        """The same with every None replaced by the default for this SAE. Raises BadOption where they do not fit."""
        from dataclasses import replace

        defaults = defaults_for(sae, self)
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        if self.l0_target is not None and self.l0_target > sae.d_sae:
            raise BadOption(f"l0_target = {self.l0_target} is above d_sae = {sae.d_sae}.")
        if self.l0_target is not None and sae.is_k_sparse:
            raise BadOption(f"A {sae.architecture} with {sae.activation} codes has its L0 from k; got an l0_target.")
        return replace(self, **missing)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingConfig:
        """The reverse of `to_dict`; also what an API or a command line gives. Raises BadOption."""
        return from_dict(cls, values)

    @classmethod
    def schema(cls) -> tuple[OptionFacts, ...]:
        """Every option with default, range and meaning."""
        return describe(cls)
