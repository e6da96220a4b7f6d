"""Reading and changing the residual stream of a running model.

    with capture(lm, [HookPoint(3)], stop=True) as store:
        lm.forward(ids)
    store[HookPoint(3)]                                   # [batch, seq, d_model]

    with intervene(lm, HookPoint(3), lambda h: h + v):
        logits = lm.logits(ids)

Choices:

- A hook point is read at one module (the family's `Tap`). A site with a second module attached: an intervention on
  `resid_mid`, which is no module's output, changes what the MLP reads and adds the same change to the block's output.
- Every hook is removed when its `with` ends, exception or not. There is no state outside the `with`.
- Contexts nest, in the order of opening: a capture opened inside an intervention sees the intervened tensor.
  Transformers' own `output_hidden_states` hooks stay on the blocks from their first use on, so they are outermost:
  they record what the block computed, before any intervention on that block's output.
- What is captured and what an intervention returns is copied: falcon adds the attention output into its MLP output in
  place, and would write into the caller's tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loupe.engine.errors import BadOption, InterventionDidNotFire, LayerOutOfRange
from loupe.engine.models.families import Tap
from loupe.engine.models.language_model import LanguageModel

Change = Callable[[Float[Tensor, "batch seq d_model"]], Float[Tensor, "batch seq d_model"]]


class Site(StrEnum):
    """The six places of a block. What each means in parallel and post-norm blocks: `families.py`."""

    RESID_PRE = "resid_pre"
    RESID_MID = "resid_mid"
    RESID_POST = "resid_post"
    ATTN_OUT = "attn_out"
    MLP_IN = "mlp_in"
    MLP_OUT = "mlp_out"


@dataclass(frozen=True, slots=True, order=True)
class HookPoint:
    """A place in the model. `resid_post` of block K is the block's output, Hugging Face's `hidden_states[K+1]`."""

    layer: int
    site: Site = Site.RESID_POST

    def __str__(self) -> str:
        return f"blocks.{self.layer}.{self.site}"

    @classmethod
    def parse(cls, text: str) -> HookPoint:
        """From "blocks.3.resid_post". Raises BadOption."""
        match text.split("."):
            case ["blocks", layer, site] if layer.isdecimal() and site in set(Site):
                return cls(int(layer), Site(site))
        sites = ", ".join(Site)
        raise BadOption(f"{text!r} is not a hook point: expected blocks.<layer>.<site> with a site of {sites}.")


class _Stop(BaseException):
    """Ends a forward whose remaining blocks nobody reads. BaseException, so that no model code swallows it."""

    def __init__(self, owner: object) -> None:
        self.owner = owner


@contextmanager
def capture(
    lm: LanguageModel, points: Sequence[HookPoint], *, stop: bool = False
) -> Iterator[dict[HookPoint, Float[Tensor, "batch seq d_model"]]]:
    """Keep the activations at `points` of the forward that runs inside; of the last one when several do.

    With `stop`, the forward ends as soon as all points have been read, and so does the body of the `with`: put the
    forward last in it. A KV cache given to a stopped forward is filled for the first blocks only; throw it away.

    Raises LayerOutOfRange, BadOption (the block has no such site), InterventionDidNotFire (no forward reached it).
    """
    store: dict[HookPoint, Tensor] = {}

    def keeper(point: HookPoint) -> Change:
        def keep(value: Tensor) -> Tensor:
            store[point] = value.to(lm.device, copy=True)
            if stop and len(store) == len(wanted):
                raise _Stop(store)
            return value

        return keep

    wanted = set(points)
    with ExitStack() as hooks:
        for point in wanted:
            hooks.enter_context(_hooked(lm, point.layer, _tap(lm, point), keeper(point)))
        try:
            yield store
        except _Stop as stopped:
            if stopped.owner is not store:
                raise
    missed = sorted(wanted - store.keys())
    if missed:
        raise InterventionDidNotFire(f"No forward reached {', '.join(map(str, missed))} while it was being captured.")


@contextmanager
def intervene(lm: LanguageModel, point: HookPoint, change: Change) -> Iterator[None]:
    """Replace the activation at `point` by `change(activation)` in every forward that runs inside.

    `change` takes and returns [batch, seq, d_model]; with a KV cache, seq counts the new positions only. Returning its
    argument is the identity and changes no bit of the logits.

    Raises LayerOutOfRange, BadOption (the block has no such site; a result of another shape), InterventionDidNotFire
    (the `with` ended without an exception and no forward reached the point).
    """
    fired = False

    def checked(value: Tensor) -> Tensor:
        nonlocal fired
        seen = value.to(lm.device)  # a block may be elsewhere
        changed = change(seen)
        if changed.shape != value.shape:
            raise BadOption(f"The intervention at {point} returned {list(changed.shape)} for {list(value.shape)}.")
        fired = True
        return value if changed is seen else changed.to(value.device, value.dtype, copy=True)

    with ExitStack() as hooks:
        for tap, apply in _interventions(lm, point, checked):
            hooks.enter_context(_hooked(lm, point.layer, tap, apply))
        yield
    if not fired:
        raise InterventionDidNotFire(f"No forward reached {point} while the intervention on it was open.")


def _interventions(lm: LanguageModel, point: HookPoint, change: Change) -> list[tuple[Tap, Change]]:
    layout = lm.family.layout
    tap = _tap(lm, point)
    if point.site is not Site.RESID_MID:
        return [(tap, change)]
    if layout.parallel:
        raise BadOption(
            f"{lm.family.name} runs attention and MLP in parallel: nothing passes between them to intervene on. "
            "Use resid_pre or mlp_in."
        )
    if tap.side == "out":
        return [(tap, change)]
    return _through_mlp_input(tap, change)


def _through_mlp_input(tap: Tap, change: Change) -> list[tuple[Tap, Change]]:
    difference: list[Tensor] = []

    def on_mlp_branch(value: Tensor) -> Tensor:
        changed = change(value)
        difference[:] = [changed - value]
        return changed

    def on_block_output(value: Tensor) -> Tensor:
        delta = difference.pop()
        return value + delta.reshape(value.shape) if delta.any() else value

    return [(tap, on_mlp_branch), (Tap("", "out"), on_block_output)]


def _tap(lm: LanguageModel, point: HookPoint) -> Tap:
    if not 0 <= point.layer < lm.n_layers:
        raise LayerOutOfRange(f"{point} does not exist: this model's blocks are 0 to {lm.n_layers - 1}.")
    layout = lm.family.layout
    taps = {
        Site.RESID_PRE: Tap("", "in"),
        Site.RESID_MID: Tap("", "in") if layout.parallel else layout.resid_mid,
        Site.RESID_POST: Tap("", "out"),
        Site.ATTN_OUT: layout.attn_out,
        Site.MLP_IN: layout.mlp_in,
        Site.MLP_OUT: layout.mlp_out,
    }
    tap = taps[point.site]
    if tap is None:
        raise BadOption(f"The blocks of {lm.family.name} have no {point.site} that Loupe could certify.")
    return tap


@contextmanager
def _hooked(lm: LanguageModel, layer: int, tap: Tap, apply: Change) -> Iterator[None]:
    block = lm.blocks[layer]
    module = block.get_submodule(tap.module)
    with ExitStack() as handles:
        if lm.family.layout.flat and tap.module:
            apply = _unflattened(block, apply, handles)
        handles.callback(_register(module, tap, apply).remove)
        yield


def _register(module: nn.Module, tap: Tap, apply: Change) -> torch.utils.hooks.RemovableHandle:
    if tap.side == "in":
        return module.register_forward_pre_hook(
            lambda _, args, kwargs: _on_input(args, kwargs, apply), with_kwargs=True
        )
    return module.register_forward_hook(lambda _, args, output: _on_output(output, apply))


def _on_input(args: tuple[Any, ...], kwargs: dict[str, Any], apply: Change) -> tuple[Any, dict[str, Any]] | None:
    if args:
        changed = apply(args[0])
        return None if changed is args[0] else ((changed, *args[1:]), kwargs)
    changed = apply(kwargs["hidden_states"])
    return None if changed is kwargs["hidden_states"] else (args, {**kwargs, "hidden_states": changed})


def _on_output(output: Any, apply: Change) -> Any:
    if isinstance(output, tuple):
        changed = apply(output[0])
        return None if changed is output[0] else (changed, *output[1:])
    changed = apply(output)
    return None if changed is output else changed


def _unflattened(block: nn.Module, apply: Change, handles: ExitStack) -> Change:
    """OPT's MLP sees [batch * seq, d]: note the block's input shape and show `apply` the tensor in that shape."""
    shape: list[torch.Size] = []

    def note(value: Tensor) -> Tensor:
        shape[:] = [value.shape]
        return value

    handles.callback(_register(block, Tap("", "in"), note).remove)

    def reshaped(value: Tensor) -> Tensor:
        rows = value.view(*shape[0][:-1], value.shape[-1])
        changed = apply(rows)
        return value if changed is rows else changed.reshape(value.shape)

    return reshaped
