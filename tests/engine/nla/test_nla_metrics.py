"""The arithmetic of the public format, on cases worked out by hand (conformance table of the contract)."""

from __future__ import annotations

import math

import pytest
import torch

from loupe.engine.nla.metrics import (
    Denominator,
    agreement,
    baselines,
    denominator_from,
    scale_to_norm,
    score,
)


def rows(*values: list[float]) -> torch.Tensor:
    return torch.tensor(values)


def test_scaling_gives_the_exact_norm_and_leaves_zero_alone():
    assert scale_to_norm(rows([3.0, 4.0]), 10).tolist() == [[6.0, 8.0]]
    assert scale_to_norm(rows([0.0, 0.0]), 150).tolist() == [[0.0, 0.0]]
    assert scale_to_norm(rows([1.0, 2.0, 2.0]), 150).tolist() == [[50.0, 100.0, 100.0]]


def test_scaling_divides_by_norm_over_scale_to_the_last_bit():
    assert scale_to_norm(rows([1.0, 2.0, 3.0]), 150)[0, 2].item() == 120.2675552368164
    assert scale_to_norm(rows([1.0, 3.0]), 150)[0, 0].item() == 47.43416213989258


@pytest.mark.parametrize("vector", [[1.0, 2.0, 3.0], [1.0, 3.0], [0.1, 0.2, 0.7]])
def test_scaling_twice_changes_at_most_one_unit_in_the_last_place(vector):
    once = scale_to_norm(rows(vector), 150)
    twice = scale_to_norm(once, 150)
    assert ((twice - once).abs() <= torch.nextafter(once, torch.tensor(math.inf)) - once).all()


def test_scaling_keeps_the_dtype_and_takes_the_norm_in_fp32():
    scaled = scale_to_norm(rows([300.0, 400.0]).half(), 10)
    assert scaled.dtype == torch.float16
    assert scaled.tolist() == [[6.0, 8.0]]


@pytest.mark.parametrize(
    ("predicted", "gold", "expected"),
    [
        ([1.0, 0.0], [0.6, 0.8], 0.8),
        ([1.0, 0.0], [0.0, 1.0], 2.0),
        ([1.0, 0.0], [-2.0, 0.0], 4.0),
        ([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0], 2 / 3),
    ],
)
def test_mse_nrm_is_twice_one_minus_the_cosine(predicted, gold, expected):
    (found,) = score(rows(predicted), rows(gold))
    assert found.mse_nrm == pytest.approx(expected, abs=1e-6)
    assert found.cosine == pytest.approx(1 - expected / 2, abs=1e-6)


def test_another_scale_multiplies_mse_nrm_by_its_square_over_d():
    (found,) = score(rows([1.0, 0.0]), rows([0.0, 1.0]), mse_scale=3.0)
    assert found.mse_nrm == pytest.approx(2 * 9 / 2)


def test_a_zero_reconstruction_scores_one_and_has_no_cosine():
    (found,) = score(rows([0.0, 0.0, 0.0, 0.0]), rows([1.0, 2.0, 3.0, 4.0]))
    assert found.mse_nrm == pytest.approx(1.0)
    assert found.cosine is None
    assert found.relative_rmse == pytest.approx(1.0)


def test_against_a_zero_activation_relative_values_are_absent():
    (found,) = score(rows([1.0, 1.0]), rows([0.0, 0.0]))
    assert found.cosine is None
    assert found.relative_rmse is None
    assert found.mse == pytest.approx(1.0)


def test_raw_errors_are_those_of_the_unscaled_vectors():
    (found,) = score(rows([1.0, 2.0]), rows([3.0, 4.0]))
    assert found.mse == pytest.approx(4.0)
    assert found.relative_rmse == pytest.approx(math.sqrt(8) / 5)


def test_the_published_row_of_qwen_position_zero():
    gold = torch.tensor([[1.0, 0.0]])
    predicted = torch.tensor([[0.019, math.sqrt(1 - 0.019**2)]])
    (found,) = score(predicted, gold, denominator=Denominator(0.7335, "sidecar"))
    assert found.mse_nrm == pytest.approx(1.962, abs=1e-3)
    assert found.fve_nrm == pytest.approx(-1.674, abs=2e-3)


def test_without_a_denominator_there_is_no_fve():
    assert score(rows([1.0, 0.0]), rows([1.0, 1.0]))[0].fve_nrm is None


def test_baselines_of_two_orthogonal_vectors():
    found = baselines(rows([math.sqrt(2), 0.0], [0.0, math.sqrt(2)]), math.sqrt(2))
    assert found.variance == pytest.approx(0.5, abs=1e-6)
    assert found.renormalised_mean == pytest.approx(0.585786, abs=1e-6)


@pytest.mark.parametrize(
    ("variance", "loose"), [(0.7335, 0.9675), (0.0302, 0.0304), (0.0579, 0.0588), (0.9169, 1.4235)]
)
def test_published_denominators_fix_the_loose_baseline(variance, loose):
    """Var = 1 - r^2 and loose = 2(1 - r), built here from two vectors at the angle that gives r."""
    half_angle = math.acos(math.sqrt(1 - variance))
    pair = rows([math.cos(half_angle), math.sin(half_angle)], [math.cos(half_angle), -math.sin(half_angle)])
    found = baselines(pair, math.sqrt(2))
    assert found.variance == pytest.approx(variance, abs=1e-5)
    assert found.renormalised_mean == pytest.approx(loose, abs=1e-4)


def test_a_denominator_says_where_it_comes_from_and_is_absent_without_variance():
    assert denominator_from(rows([1.0, 0.0]), 1.0) is None
    assert denominator_from(rows([1.0, 0.0], [2.0, 0.0]), 1.0) is None
    found = denominator_from(rows([1.0, 0.0], [0.0, 1.0]), math.sqrt(2))
    assert found is not None
    assert (round(found.value, 6), found.source) == (0.5, "this text, 2 positions")


def test_agreement_is_the_mean_cosine_over_pairs_of_rollouts():
    assert agreement(rows([1.0, 0.0], [0.0, 2.0], [3.0, 0.0])) == pytest.approx(1 / 3)
    assert agreement(rows([1.0, 0.0])) is None
    assert agreement(rows([1.0, 0.0], [0.0, 0.0])) is None
