"""A model shows that its hook points are what they claim to be, before anyone relies on them.

Each check compares Loupe's reading with the model's own behaviour on a few tokens. Equality is exact where both sides
are the same arithmetic, and otherwise relative to the size of what is compared. A model may do without sites that its
blocks do not have, without `partial forward` (callers then run whole forwards), and without `block 0 receives
inputs_embeds` (granite multiplies them, bloom normalises them: a vector injected there is not what block 0 sees).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from loupe.engine.context import JobContext
from loupe.engine.errors import BadOption, CertificationFailed
from loupe.engine.jobs import Priority, Progress
from loupe.engine.models.hooks import HookPoint, Site, capture, intervene
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.partial import run_blocks
from loupe.engine.models.structure import probe_ids

Readings = dict[HookPoint, Tensor]
INJECTION = "block 0 receives inputs_embeds"


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: what was compared, whether it held, and the largest relative difference that was seen."""

    name: str
    passed: bool
    difference: float
    required: bool = True


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was checked on one model. `sites` can be read; `partial_forward` says whether `run_blocks` may be used."""

    family: str
    listed: bool
    sites: tuple[Site, ...]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks if check.required)

    @property
    def partial_forward(self) -> bool:
        return any(check.passed for check in self.checks if check.name == "partial forward")

    @property
    def injects(self) -> bool:
        """Whether a row put into `inputs_embeds` is what block 0 receives, so that a vector can be injected there."""
        return any(check.passed for check in self.checks if check.name == INJECTION)


def certify(lm: LanguageModel) -> Certificate:
    """Check the hook points of a model against the model. Raises CertificationFailed naming the checks that failed."""
    steps = examine(lm)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return require_passed(finished.value)


class CertifyJob:
    """The same as a job: a slice may end after each check. Its result is the certificate, passed or not."""

    name = "certify"

    def __init__(self, lm: LanguageModel, *, priority: Priority = Priority.BATCH) -> None:
        self.lm = lm
        self.priority = priority

    def run(self, ctx: JobContext) -> Generator[Progress, None, Certificate]:
        """Yields a `Progress` named after each check."""
        done, steps = 0, examine(self.lm)
        while True:
            try:
                check = next(steps)
            except StopIteration as finished:
                return finished.value
            done += 1
            yield Progress(done, None, check.name)


def require_passed(certificate: Certificate) -> Certificate:
    """The certificate itself. Raises CertificationFailed naming the required checks that failed."""
    if not certificate.passed:
        lost = [check for check in certificate.checks if check.required and not check.passed]
        failed = "; ".join(f"{check.name} ({check.difference:.2g})" for check in lost)
        raise CertificationFailed(f"{certificate.family} does not do what its hook points say: {failed}.")
    return certificate


def examine(lm: LanguageModel) -> Generator[Check, None, Certificate]:
    """The checks one by one, between which other work may run on the model; returns all of them, passed or not."""
    checks: list[Check] = []
    pending = _checks(lm)
    while True:
        with torch.no_grad():  # not as a decorator: the mode must not outlast a yield
            check = next(pending, None)
        if check is None:
            return Certificate(lm.family.name, lm.family.listed, available_sites(lm), tuple(checks))
        checks.append(check)
        yield check


def _checks(lm: LanguageModel) -> Iterator[Check]:
    ids = probe_ids(lm.config).to(lm.device)
    sites = available_sites(lm)
    hooks_before = count_hooks(lm.model)
    with capture(lm, [HookPoint(layer, site) for layer in range(lm.n_layers) for site in sites]) as readings:
        logits = lm.logits(ids)
    yield from _against_hidden_states(lm, ids, readings, logits)
    yield from _of_sites(lm, sites, readings)
    yield from _of_interventions(lm, ids, sites, logits, readings)
    yield _of_partial_forward(lm, readings, logits)
    yield Check("no hook remains", count_hooks(lm.model) == hooks_before, 0.0)


def available_sites(lm: LanguageModel) -> tuple[Site, ...]:
    """The sites that can be read in this model's blocks."""
    layout = lm.family.layout
    found = {
        Site.RESID_MID: layout.parallel or layout.resid_mid,
        Site.ATTN_OUT: layout.attn_out,
        Site.MLP_IN: layout.mlp_in,
        Site.MLP_OUT: layout.mlp_out,
    }
    return tuple(site for site in Site if found.get(site, True))


def count_hooks(model: nn.Module) -> int:
    """Forward hooks and forward pre-hooks on all modules together."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def _against_hidden_states(lm: LanguageModel, ids: Tensor, readings: Readings, logits: Tensor) -> Iterator[Check]:
    with _own_recording_hooks_removed(lm.model):
        own = lm.model(input_ids=ids, output_hidden_states=True, use_cache=False)
    states, blocks = own.hidden_states, range(lm.n_layers)
    yield _equal("resid_pre is hidden_states[K]", [(readings[HookPoint(k, Site.RESID_PRE)], states[k]) for k in blocks])
    inner = [(readings[HookPoint(k)], states[k + 1]) for k in blocks[:-1]]
    yield _equal("resid_post is hidden_states[K+1]", inner)
    yield _equal("logits are the model's own", [(logits, own.logits)])
    yield _close("final norm and head give the logits", lm.unembed(readings[HookPoint(lm.n_layers - 1)]), logits)
    yield _equal("inputs_embeds is what ids become", [(lm.logits(embeds=lm.embed(ids)), logits)])
    if lm.family.project_in is None:
        yield replace(_of_injection(lm, ids, states[0]), required=False)


def _of_injection(lm: LanguageModel, ids: Tensor, entering: Tensor) -> Check:
    """What enters block 0 is the embedding, or differs from it by learned positions alone."""
    if lm.family.positions is None:
        return _equal(INJECTION, [(lm.embed(ids), entering)])
    other = ids.flip(-1)
    with capture(lm, [HookPoint(0, Site.RESID_PRE)], stop=True) as store:
        lm.forward(other)
    moved = entering - store[HookPoint(0, Site.RESID_PRE)]
    return _close(INJECTION, moved, lm.embed(ids) - lm.embed(other))


def _of_sites(lm: LanguageModel, sites: tuple[Site, ...], readings: Readings) -> Iterator[Check]:
    layout = lm.family.layout
    if layout.post_norm or not {Site.ATTN_OUT, Site.MLP_OUT} <= set(sites):
        return
    for layer in range(lm.n_layers):
        at = {site: readings[HookPoint(layer, site)] for site in sites}
        if layout.parallel:
            total = at[Site.RESID_PRE] + at[Site.ATTN_OUT] + at[Site.MLP_OUT]
            yield _close(f"blocks.{layer}: pre + attention + MLP = post", total, at[Site.RESID_POST])
        else:
            mid = at[Site.RESID_PRE] + at[Site.ATTN_OUT]
            yield _close(f"blocks.{layer}: pre + attention = mid", mid, at[Site.RESID_MID])
            total = at[Site.RESID_MID] + at[Site.MLP_OUT]
            yield _close(f"blocks.{layer}: mid + MLP = post", total, at[Site.RESID_POST])


def _of_interventions(
    lm: LanguageModel, ids: Tensor, sites: tuple[Site, ...], logits: Tensor, readings: Readings
) -> Iterator[Check]:
    layer, position = lm.n_layers // 2, ids.shape[1] // 2
    for site in sites:
        point = HookPoint(layer, site)
        push = _push(readings[point], position)
        try:
            with intervene(lm, point, torch.clone):
                same = lm.logits(ids)
            with intervene(lm, point, lambda value, push=push: value + push):
                pushed = lm.logits(ids)
        except BadOption:
            continue  # a parallel block has no resid_mid to intervene on
        yield _equal(f"identity at {site} changes no bit", [(same, logits)])
        moved = (pushed - logits).abs().amax(-1)[0]
        yield Check(f"a change at {site} is seen from its position on", bool((moved[position:] > 0).any()), 0.0)
        yield _close(f"a change at {site} is not seen before", pushed[:, :position], logits[:, :position])


def _push(reading: Tensor, position: int) -> Tensor:
    """A direction as large as the activation itself, at one position."""
    push = torch.zeros_like(reading)
    push[:, position] = reading[:, position].roll(1, -1)
    return push


def _of_partial_forward(lm: LanguageModel, readings: Readings, logits: Tensor) -> Check:
    start = lm.n_layers // 2
    try:
        ran = lm.unembed(run_blocks(lm, readings[HookPoint(start, Site.RESID_PRE)], start))
    except Exception:  # whatever an unknown forward does with a shortened block list, it only means "not available"
        return Check("partial forward", False, float("inf"), required=False)
    difference = _relative(ran, logits)
    return Check("partial forward", difference <= _slack(logits), difference, required=False)


def _equal(name: str, pairs: list[tuple[Tensor, Tensor]]) -> Check:
    difference = max((_relative(one, other) for one, other in pairs), default=0.0)
    return Check(name, all(torch.equal(one, other) for one, other in pairs), difference)


def _close(name: str, one: Tensor, other: Tensor) -> Check:
    difference = _relative(one, other)
    return Check(name, difference <= _slack(other), difference)


def _relative(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return float("inf")
    scale = other.float().norm().clamp_min(1e-12)
    return float((one.float() - other.float()).norm() / scale)


def _slack(value: Tensor) -> float:
    """A few roundings in the dtype at hand."""
    return 16 * torch.finfo(value.dtype).eps


@contextmanager
def _own_recording_hooks_removed(model: nn.Module) -> Iterator[None]:
    """Transformers leaves its hidden-state hooks on the blocks for good; take off those this call put on."""
    before = {module: set(module._forward_hooks) for module in model.modules()}
    flags = {module: module.__dict__.get("_output_capturing_hooks_installed") for module in before}
    try:
        yield
    finally:
        for module, kept in before.items():
            for handle in set(module._forward_hooks) - kept:
                del module._forward_hooks[handle]
            if flags[module] is None:
                module.__dict__.pop("_output_capturing_hooks_installed", None)
