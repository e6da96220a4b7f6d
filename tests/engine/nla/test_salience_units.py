"""Cutting an explanation into units and leaving each out."""

from __future__ import annotations

import pytest

from loupe.engine.nla.salience import Unit, as_salience, spans, without_each


@pytest.mark.parametrize(
    ("text", "unit", "units", "variants"),
    [
        ("a fox  ran", Unit.WORD, ["a", "fox", "ran"], ["fox  ran", "a ran", "a fox"]),
        ("first line\n\n second \nthird", Unit.LINE, ["first line", "second", "third"], None),
        ("alone", Unit.WORD, ["alone"], [""]),
        ("", Unit.WORD, [], []),
        ("a b", Unit.NONE, [], []),
    ],
)
def test_units_and_variants(text, unit, units, variants):
    assert [text[start:end] for start, end in spans(text, unit)] == units
    if variants is not None:
        assert without_each(text, unit) == variants


def test_leaving_out_a_line_leaves_no_blank_line_behind():
    assert without_each("one\ntwo\nthree", Unit.LINE) == ["two\nthree", "one\nthree", "one\ntwo"]


def test_salience_is_what_the_error_grows_by():
    found = as_salience("a fox", Unit.WORD, 0.25, [0.5, 0.125])
    assert found == (("a", 0.25), ("fox", -0.125))
