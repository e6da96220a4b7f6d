"""Sparsity where it was asked for: BatchTopK's threshold, the L0 controller, JumpReLU's targets, schedules."""

import pytest
import torch

from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.controller import L0Controller
from loupe.engine.sae.plan import SAERun, TrainingPlan
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.schedule import lr_factor, sparsity_factor
from loupe.engine.sae.stream import MemoryRows
from loupe.engine.sae.threshold import ThresholdCount
from loupe.engine.sae.trainer import TrainingJob
from loupe.engine.task import run_here

POINT = HookPoint(0)


def world(rows: int, seed: int) -> torch.Tensor:
    """Six of thirty directions in sixteen dimensions, off centre; rows differ by `seed`, the world does not."""
    directions = torch.nn.functional.normalize(torch.randn(30, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    generator = torch.Generator().manual_seed(seed)
    amounts = torch.rand(rows, 30, generator=generator) * (torch.rand(rows, 30, generator=generator) < 0.2)
    return 3 * amounts @ directions + 1


def trained(architecture: str, steps: int, k: int | None = None, **changes) -> SAE:
    config = SAEConfig.from_dict({"architecture": architecture, "d_in": 16, "d_sae": 48, "k": k})
    training = TrainingConfig.from_dict(
        {"steps": steps, "batch_rows": 256, "lr": 2e-3, "checkpoint_interval": 0, "threshold_rows": 20_000, **changes}
    )
    job = TrainingJob(TrainingPlan((SAERun("it", config, (POINT,)),), training), MemoryRows(world(20_000, 1)))
    return run_here(job).saes[0].sae


def l0_of(sae: SAE, rows: torch.Tensor) -> float:
    return float((sae.encode(rows) > 0).sum(1).double().mean())


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka"])
def test_the_threshold_gives_k_latents_within_two_percent_on_held_out_rows(architecture):
    sae = trained(architecture, steps=60, k=4)
    assert l0_of(sae, world(20_000, seed=2)) == pytest.approx(4, rel=0.02)


def test_the_threshold_is_where_k_are_above_on_average():
    sae = SAE(SAEConfig.from_dict({"architecture": "batchtopk", "d_in": 16, "d_sae": 48, "k": 5}))
    with torch.no_grad():
        sae.W_enc.copy_(torch.randn(16, 48, generator=torch.Generator().manual_seed(0)))
    rows, count = world(3000, 3), ThresholdCount(sae)
    for part in rows.split(700):
        count.add(part)
    for k in (1, 5, 20):
        above = float((sae.pre_activations(rows) > count.threshold(k)).sum(1).double().mean())
        assert above == pytest.approx(k, rel=2e-3)
    assert count.threshold(48) == 0  # so many are never positive: all that are may fire


@pytest.mark.parametrize("recipe", ["anthropic", "deepmind"])
def test_jumprelu_reaches_its_target_within_ten_percent(recipe):
    sae = trained("jumprelu", steps=800, l0_target=4, jumprelu_recipe=recipe)
    assert l0_of(sae, world(5000, seed=2)) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("architecture", ["standard", "gated"])
def test_an_l1_penalty_is_steered_to_its_target(architecture):
    sae = trained(architecture, steps=800, l0_target=4)
    assert l0_of(sae, world(5000, seed=2)) == pytest.approx(4, rel=0.15)


def test_the_controller_follows_a_moving_target_without_overshooting():
    """A plant that answers late: log L0 falls towards 5 - log(penalty) with a time constant of 30 steps."""
    controller, log_l0, seen = L0Controller(10.0, steps=1000), 5.0, []
    for _ in range(1000):
        controller.update(torch.tensor(log_l0).exp())
        log_l0 += (5.0 - float(controller.factor().log()) - log_l0) / 30
        seen.append(log_l0)
    assert torch.tensor(seen[-1]).exp().item() == pytest.approx(10, rel=0.03)
    assert min(seen) > torch.tensor(10.0).log() - 0.25


def test_schedules_by_hand():
    training = TrainingConfig.from_dict({"steps": 100, "warmup": 9, "decay": 0.2, "sparsity_warmup": 0.5})
    assert [lr_factor(training, step) for step in (0, 4, 9, 50, 80, 90, 99)] == pytest.approx(
        [0.1, 0.5, 1, 1, 1, 0.5, 0.05]
    )
    assert [sparsity_factor(training, step) for step in (0, 24, 49, 99)] == pytest.approx([0.02, 0.5, 1, 1])
