"""Signs of a broken set-up, each on a made-up result that shows it and on ordinary ones that do not."""

from __future__ import annotations

import pytest

from loupe.engine.nla.metrics import Scores
from loupe.engine.nla.results import PositionResult, Rollout
from loupe.engine.nla.smells import smells


def position(text: str, *, mse_nrm: float = 0.4, fve: float | None = 0.5, parsed: bool = True, ended: str = "closed"):
    scores = Scores(mse_nrm, 1 - mse_nrm / 2, fve, 1.0, 1.0)
    rollout = Rollout(text, text, parsed, ended, (1,), (), scores)
    return PositionResult(
        position=3,
        token="x",
        token_id=3,
        flags=(),
        explanation=text,
        raw_output=text,
        rollouts=(rollout,),
        best=0,
        norm=1.0,
        mse_nrm=mse_nrm,
        fve_nrm=fve,
    )


def codes(*positions: PositionResult) -> list[str]:
    return [smell.code for smell in smells(positions)]


ORDINARY = [position(text) for text in ("a fox runs", "a boat at dawn", "狐狸 and a river")]


def test_ordinary_results_smell_of_nothing():
    assert codes(*ORDINARY) == []


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        (["狐狸在河边", "清晨的船", "很多河流"], "vector_not_injected"),
        (["A Chinese character.", "This is a CJK sign", "a kanji in brackets"], "vector_not_injected"),
        (["\ufffd\ufffd\u0003\ufffd", "\ufffd\u0001 a\ufffd", "\ufffd\ufffd\ufffd"], "unreadable"),
        (["\n\n\n", "\n\n", "\n"], "newlines_only"),
    ],
)
def test_a_fault_that_spoils_every_text_is_named(texts, code):
    assert code in codes(*map(position, texts))
    assert code not in codes(*map(position, texts), position("a fox runs"))


def test_one_explanation_for_all_vectors_is_named():
    assert "identical_explanations" in codes(*[position("a fox")] * 3)


def test_unclosed_outputs_are_counted_and_blamed_on_the_cap_where_it_cut_them():
    cut, open_ended = position("a", parsed=False, ended="length"), position("b", parsed=False, ended="end")
    (smell,) = smells([*ORDINARY, cut, open_ended])
    assert smell.code == "no_closing_tag"
    assert "2 of 5" in smell.message
    assert "1 of them were cut off" in smell.message
    assert "cut off" not in smells([*ORDINARY, open_ended])[0].message


def test_reconstructions_near_orthogonal_are_named():
    assert codes(*(position(text, mse_nrm=1.98, fve=-1.6) for text in "abc")) == ["orthogonal_reconstructions"]


def test_reconstructions_worse_than_the_mean_are_named():
    assert codes(*(position(text, mse_nrm=1.2, fve=-0.3) for text in "abc")) == ["worse_than_the_mean"]


def test_too_few_positions_accuse_nobody():
    assert codes(position("same"), position("same")) == []
