"""Drawing by inverse CDF: the right distribution, the right token for a number, and rows that do not see each other."""

from __future__ import annotations

import pytest
import torch

from loupe.engine.nla.sampling import draw
from loupe.engine.randomness import uniform


def options(rows: int, temperature: float, top_p: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((rows,), temperature), torch.full((rows,), top_p)


def test_temperature_zero_is_the_first_of_the_best():
    logits = torch.tensor([[0.0, 3.0, 3.0], [5.0, 1.0, 2.0]])
    drawn = draw(logits, torch.full((2,), 0.99), *options(2, 0.0))
    assert drawn.tokens.tolist() == [1, 0]
    assert drawn.ties.tolist() == [True, False]


@pytest.mark.parametrize("vocab", [7, 256, 1000])
def test_the_number_picks_the_token_whose_share_of_the_line_it_falls_in(vocab):
    generator = torch.Generator().manual_seed(vocab)
    logits = torch.randn(50, vocab, generator=generator) * 2
    numbers = torch.rand(50, generator=generator, dtype=torch.float64)
    cumulative = torch.softmax(logits.double() / 0.7, -1).cumsum(-1)
    expected = (cumulative <= numbers[:, None]).sum(-1)
    assert draw(logits, numbers, *options(50, 0.7)).tokens.tolist() == expected.tolist()


def test_frequencies_are_probabilities():
    logits = torch.tensor([[0.0, 1.0, -1.0, 0.5]])
    numbers = torch.from_numpy(uniform(3, torch.arange(20000).numpy(), 0, 0))
    tokens = draw(logits.expand(20000, -1), numbers, *options(20000, 1.0)).tokens
    shares = torch.bincount(tokens, minlength=4) / 20000
    torch.testing.assert_close(shares, torch.softmax(logits[0], -1), atol=0.012, rtol=0)


def test_the_nucleus_is_the_smallest_set_that_reaches_its_share():
    logits = torch.tensor([[0.1, 0.5, 0.3, 0.1]]).log().expand(1000, -1)
    numbers = torch.linspace(0.0005, 0.9995, 1000)
    assert set(draw(logits, numbers, *options(1000, 1.0, 0.7)).tokens.tolist()) == {1, 2}
    assert set(draw(logits, numbers, *options(1000, 1.0, 0.01)).tokens.tolist()) == {1}


def test_a_token_without_probability_is_never_drawn():
    logits = torch.full((2, 600), -torch.inf)
    logits[:, 300] = 0.0
    numbers = torch.tensor([1e-12, 1 - 1e-12], dtype=torch.float64)
    assert draw(logits, numbers, *options(2, 1.0)).tokens.tolist() == [300, 300]


def test_greedy_and_sampled_rows_share_a_batch():
    logits = torch.tensor([[0.0, 2.0], [0.0, 2.0]])
    drawn = draw(logits, torch.tensor([0.01, 0.01]), torch.tensor([0.0, 1.0]), torch.ones(2))
    assert drawn.tokens.tolist() == [1, 0]


def test_a_row_draws_the_same_alone_and_in_company():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(32, 500, generator=generator)
    numbers = torch.rand(32, generator=generator)
    together = draw(logits, numbers, *options(32, 0.9, 0.95)).tokens
    alone = [draw(logits[i : i + 1], numbers[i : i + 1], *options(1, 0.9, 0.95)).tokens.item() for i in range(32)]
    assert together.tolist() == alone


def test_a_number_on_the_edge_between_two_tokens_is_a_tie():
    logits = torch.zeros(2, 4)
    drawn = draw(logits, torch.tensor([0.5, 0.6], dtype=torch.float64), *options(2, 1.0))
    assert drawn.ties.tolist() == [True, False]
