"""Drawing a token: by hand on small cases, and by frequency against the distribution."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loupe.engine.errors import BadOption
from loupe.engine.models.sampling import nucleus, sample_next

HALVES = torch.log(torch.tensor([[0.5, 0.25, 0.125, 0.125]]))


def draw(logits: torch.Tensor, uniform: float, **options: float) -> int:
    return int(sample_next(logits, torch.tensor([uniform]), **options)[0])


def test_temperature_zero_takes_the_first_of_the_most_probable() -> None:
    assert draw(torch.tensor([[1.0, 3.0, 3.0]]), 0.99, temperature=0.0) == 1


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.01, 0), (0.49, 0), (0.51, 1), (0.74, 1), (0.76, 2), (0.88, 3), (0.9999, 3)]
)
def test_a_number_falls_where_the_cumulative_distribution_puts_it(uniform: float, token: int) -> None:
    assert draw(HALVES, uniform) == token


def test_a_nucleus_is_the_smallest_set_that_holds_enough() -> None:
    probabilities = HALVES.exp()
    assert nucleus(probabilities, 0.5).tolist() == [[0.5, 0.0, 0.0, 0.0]]
    assert nucleus(probabilities, 0.51).tolist() == [[0.5, 0.25, 0.0, 0.0]]
    assert nucleus(probabilities, 1.0).tolist() == probabilities.tolist()


def test_tokens_outside_the_nucleus_are_never_drawn() -> None:
    drawn = {draw(HALVES, (i + 0.5) / 100, top_p=0.7) for i in range(100)}
    assert drawn == {0, 1}


def test_frequencies_follow_the_tempered_distribution() -> None:
    count = 4000
    uniforms = (torch.arange(count) + 0.5) / count
    drawn = sample_next(HALVES.expand(count, -1), uniforms, temperature=0.5)
    expected = torch.softmax(HALVES[0] / 0.5, -1)
    torch.testing.assert_close(torch.bincount(drawn, minlength=4) / count, expected, rtol=0, atol=1e-3)


def test_each_row_is_drawn_by_its_own_number() -> None:
    assert sample_next(HALVES.expand(3, -1), torch.tensor([0.1, 0.6, 0.9])).tolist() == [0, 1, 3]


@given(st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(0, 30))
def test_impossible_tokens_are_never_drawn(uniform: float, possible: int) -> None:
    logits = torch.full((1, 31), float("-inf"))
    logits[0, possible] = 1.0
    assert draw(logits, uniform) == possible
    assert draw(logits, uniform, top_p=0.3) == possible


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_ties_that_change_ranks_do_not_change_the_draw(uniform: float) -> None:
    one = torch.zeros(1, 16)
    other = one + 1e-7 * torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    if abs(uniform * 16 - round(uniform * 16)) > 1e-4:  # away from the edges between tokens
        assert draw(one, uniform) == draw(other, uniform)


@pytest.mark.parametrize(
    "options", [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.1}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(BadOption):
        draw(HALVES, 0.5, **options)
