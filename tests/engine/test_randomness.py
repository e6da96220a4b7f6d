"""Randomness is a function of its arguments: no state, no order, no batch."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loupe.engine.context import JobContext
from loupe.engine.randomness import seed_of, uniform

coordinates = st.integers(-(2**63), 2**63 - 1)


def test_the_first_words_are_those_of_the_published_splitmix64():
    # SplitMix64 seeded with 0 begins with this word; mixing four zero coordinates applies its round four times.
    from loupe.engine.randomness import _mix

    assert int(_mix(np.uint64(0))) == 0xE220A8397B1DCDAF
    state = np.uint64(0)
    for _ in range(4):
        state = _mix(state)
    assert float(uniform(0, 0, 0, 0)) == ((int(state) >> 12) + 0.5) / 2**52


@given(coordinates, coordinates, coordinates, coordinates)
def test_every_number_lies_strictly_between_zero_and_one(seed, position, rollout, step):
    assert 0.0 < float(uniform(seed, position, rollout, step)) < 1.0


@given(st.lists(st.tuples(coordinates, coordinates, coordinates, coordinates), min_size=1, max_size=20))
def test_a_row_drawn_in_a_batch_is_the_row_drawn_alone(rows):
    seeds, positions, rollouts, steps = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    batch = uniform(seeds, positions, rollouts, steps)
    assert batch.tolist() == [float(uniform(*row)) for row in rows]


def test_arguments_broadcast():
    grid = uniform(7, np.arange(3)[:, None], np.arange(4)[None, :], 0)
    assert grid.shape == (3, 4)
    assert len(np.unique(grid)) == 12


@pytest.mark.parametrize("axis", range(4))
def test_numbers_along_each_coordinate_are_spread_evenly_and_uncorrelated(axis):
    arguments: list = [3, 5, 7, 11]
    arguments[axis] = np.arange(20_000)
    drawn = uniform(*arguments)
    counts, _ = np.histogram(drawn, bins=20, range=(0, 1))
    chi_squared = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_squared < 50  # 19 degrees of freedom: 1 in 10 000 is 49
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.03


def test_coordinates_do_not_stand_in_for_each_other():
    assert len({float(uniform(*order)) for order in [(1, 2, 3, 4), (2, 1, 3, 4), (1, 3, 2, 4), (1, 2, 4, 3)]}) == 4


def test_a_number_that_is_not_an_integer_is_refused():
    with pytest.raises(TypeError, match="addressed by integers"):
        uniform(np.array([0.5]), 0, 0, 0)


def test_seeds_tell_types_apart_and_boundaries_too():
    assert len({seed_of("1"), seed_of(1), seed_of("1", ""), seed_of("", "1"), seed_of(1, 1), seed_of(11)}) == 6
    assert 0 <= seed_of("anything", "\ud800") < 2**63


def test_seeds_are_the_same_in_another_process():
    code = "from loupe.engine.randomness import seed_of, uniform; print(seed_of(1, 'a'), float(uniform(1, 2, 3, 4)))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": salt, "PYTHONPATH": "."},
            capture_output=True,
            check=True,
        ).stdout
        for salt in ("0", "1")
    }
    assert outputs == {f"{seed_of(1, 'a')} {float(uniform(1, 2, 3, 4))}\n".encode()}


def test_a_generator_depends_on_seed_step_and_key_alone():
    def draw(seed: int, step: int, key: str) -> float:
        return torch.rand((), generator=JobContext(seed=seed).generator(step, key)).item()

    first = draw(1, 2, "noise")
    torch.rand(100)
    assert draw(1, 2, "noise") == first
    assert len({first, draw(2, 2, "noise"), draw(1, 3, "noise"), draw(1, 2, "other")}) == 4
