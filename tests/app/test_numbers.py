"""Numbers as people read them."""

import pytest

from loupe.app.pages import numbers
from loupe.app.sizes import size_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.7314, "0.731"), (12.44, "12.4"), (1234.0, "1234"), (-0.0524, "−0.0524"), (4.1e-7, "4.10e-07")],
)
def test_three_significant_digits(value: float, shown: str) -> None:
    assert numbers.show(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "100 %"), (0.374, "37 %"), (0.0996, "10 %"), (0.052, "5.2 %"), (0.0004, "<0.1 %")]
)
def test_probabilities_are_percent(value: float, shown: str) -> None:
    assert numbers.percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.44, "0.4 s"), (12.2, "12 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_durations(value: float, shown: str) -> None:
    assert numbers.seconds(value) == shown


@pytest.mark.parametrize(("value", "word"), [(0.29, "high"), (0.3, "medium"), (0.5, "low")])
def test_trust_is_a_word_with_a_definition(value: float, word: str) -> None:
    assert numbers.trust(value) == word


def test_sizes_are_binary() -> None:
    told = [size_text(count) for count in (812, 5_900_000, 700 << 20, 3 << 40)]
    assert told == ["812 B", "5.6 MiB", "700 MiB", "3.0 TiB"]
