"""Positions as people write them, and options as programs send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from loupe.app.services.options import AnalysisOptions, parse_positions
from loupe.engine.errors import BadPositions, EmptyText


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("all", (0, 1, 2, 3, 4)),
        ("", (0, 1, 2, 3, 4)),
        ("2", (2,)),
        ("-1", (4,)),
        ("0-2,4", (0, 1, 2, 4)),
        ("1..3", (1, 2, 3)),
        ("-2--1", (3, 4)),
        (" 3 , 1 , 3 ", (1, 3)),
    ],
)
def test_positions_are_read_as_written(written: str, expected: tuple[int, ...]) -> None:
    assert parse_positions(written, 5) == expected


@pytest.mark.parametrize("written", ["5", "-6", "3-1", "one", "1-", ",", "0-9", "1.5"])
def test_positions_that_make_no_sense_are_refused(written: str) -> None:
    with pytest.raises(BadPositions):
        parse_positions(written, 5)


def test_an_empty_text_has_no_positions() -> None:
    with pytest.raises(EmptyText):
        parse_positions("all", 0)


@given(st.text(max_size=20), st.integers(1, 50))
def test_whatever_is_written_gives_positions_inside_the_text_or_a_clear_error(written: str, length: int) -> None:
    try:
        found = parse_positions(written, length)
    except BadPositions:
        return
    assert found == tuple(sorted(set(found))) and all(0 <= p < length for p in found)


def test_a_request_needs_a_text_or_messages_but_not_both() -> None:
    with pytest.raises(ValidationError, match="either text or messages"):
        AnalysisOptions()
    with pytest.raises(ValidationError, match="either text or messages"):
        AnalysisOptions.model_validate({"text": "a", "messages": [{"role": "user", "content": "b"}]})


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(ValidationError, match="bestof"):
        AnalysisOptions.model_validate({"text": "a", "bestof": 3})
