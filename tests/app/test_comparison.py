"""Two runs side by side: what belongs together, what differs, and what a difference comes to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loupe.app.services.alignment import align, side_by_side
from loupe.app.services.comparison import Kind, Verdict, compare, word_diff
from loupe.app.services.run_files import older
from loupe.app.services.run_files.document import Document
from loupe.app.services.run_setup import Differing
from tests.app.sample import sample_run


def document(*, run: dict[str, Any] | None = None, **changes: dict[str, Any]) -> Document:
    """The sample run; `_3={...}` changes the row of position 3."""
    found = older.read(sample_run())
    rows = [row | changes.get(f"_{row['position']}", {}) for row in found.data]
    return Document({**found.run, "id": "a", **(run or {})}, found.metadata, tuple(rows))


def of_tokens(*tokens: str, explained: dict[int, str] | None = None, prints: str | None = None) -> Document:
    rows = tuple(
        {"position": i, "token": tokens[i], "token_id": 1, "explanation": said, "fve_nrm": 0.5}
        for i, said in (explained or {}).items()
    )
    facts: dict[str, Any] = {"fingerprints": {"model": prints}} if prints else {}
    return Document(facts, {"tokens": [{"text": token} for token in tokens]}, rows)


def longest(a: str, b: str) -> int:
    """The length of a longest common subsequence, by the book."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(st.text("abc", max_size=14), st.text("abc", max_size=14))
def test_an_alignment_holds_everything_once_in_order_and_as_much_together_as_possible(a: str, b: str) -> None:
    pairs = align(a, b)
    assert [i for i, _ in pairs if i is not None] == list(range(len(a)))
    assert [j for _, j in pairs if j is not None] == list(range(len(b)))
    together = [(i, j) for i, j in pairs if i is not None and j is not None]
    assert all(a[i] == b[j] for i, j in together) and len(together) == longest(a, b)


@given(st.text("abc", max_size=10), st.text("abc", max_size=10))
def test_what_was_replaced_stands_beside_what_replaced_it_and_nothing_is_lost(a: str, b: str) -> None:
    pairs = side_by_side(align(a, b))
    assert [i for i, _ in pairs if i is not None] == list(range(len(a)))
    assert [j for _, j in pairs if j is not None] == list(range(len(b)))


def test_a_run_is_equal_to_itself() -> None:
    found = compare(document(), document())
    assert (found.verdict, found.same_tokens, found.setup) == (Verdict.EQUAL, True, ())
    assert found.counts == {Kind.EQUAL: len(document().data)}
    assert found.means["fve_nrm"].difference == 0 and found.means["fve_nrm"].places == len(document().data) - 1


def test_a_score_that_moved_by_rounding_is_told_from_one_that_moved() -> None:
    near, far = document(_3={"kl": 0.125 * (1 + 1e-5)}), document(_3={"kl": 0.2})
    assert compare(document(), near).verdict is Verdict.ROUNDING
    found = compare(document(), far)
    assert (found.verdict, found.counts[Kind.SCORES]) == (Verdict.CHANGED, 1)
    place = found.places[3]
    assert place.scores["kl"].difference == pytest.approx(0.075) and place.words == ()


def rollout(ids: list[int], *, ties: list[int] | None = None, said: str = "") -> dict[str, Any]:
    return {"explanation": said, "rollouts": [{"text": said, "token_ids": ids, "ties": ties or []}]}


@pytest.mark.parametrize(
    "a, b, kind",
    [
        (rollout([1, 2, 3], ties=[1], said="x"), rollout([1, 5, 9], said="y"), Kind.TIE),
        (rollout([1, 2, 3], said="x"), rollout([1, 5, 9], ties=[1], said="y"), Kind.TIE),
        (rollout([1, 2, 3], ties=[2], said="x"), rollout([1, 5, 9], said="y"), Kind.CHANGED),
        (rollout([1, 2], ties=[2], said="x"), rollout([1, 2, 9], said="y"), Kind.TIE),
        (rollout([1, 2, 3], said="x"), rollout([1, 5, 9], said="y"), Kind.CHANGED),
        (rollout([1, 2], said="x"), rollout([1, 2], said="y"), Kind.CHANGED),
        (rollout([1, 2], said="x") | {"best": 0}, rollout([1, 2], said="y") | {"best": 1}, Kind.TIE),
        ({"explanation": "x", "rollouts": []}, {"explanation": "y", "rollouts": []}, Kind.CHANGED),
    ],
    ids=[
        "tie in A",
        "tie in B",
        "tie too late",
        "one ended at a tie",
        "no tie",
        "the same tokens",
        "another one is best",
        "no rollouts",
    ],
)
def test_other_words_are_a_tie_only_where_the_sampler_marked_one_at_the_step_of_parting(a, b, kind) -> None:
    found = compare(document(_3=a), document(_3=b))
    assert found.places[3].kind is kind
    assert found.verdict is (Verdict.TIES if kind is Kind.TIE else Verdict.CHANGED)


def test_texts_that_differ_are_laid_along_their_common_tokens() -> None:
    a = of_tokens("The", " old", " fox", " ran", explained={0: "s", 2: "fox", 3: "end"})
    b = of_tokens("The", " fox", " slept", explained={0: "s", 1: "fox", 2: "rest"})
    found = compare(a, b)
    assert found.verdict is Verdict.OTHER_TEXT
    assert [(p.a, p.b) for p in found.places] == [(0, 0), (1, None), (2, 1), (3, 2)]
    assert [p.kind for p in found.places] == [Kind.EQUAL, Kind.NEITHER, Kind.EQUAL, Kind.CHANGED]
    assert [p.same_token for p in found.places] == [True, False, True, False]
    assert found.means["fve_nrm"].places == 2


def test_positions_explained_on_one_side_only_are_told() -> None:
    a, b = of_tokens("a", "b", explained={0: "x"}), of_tokens("a", "b", explained={1: "y"})
    assert [p.kind for p in compare(a, b).places] == [Kind.ONLY_A, Kind.ONLY_B]


def test_equal_texts_under_other_ids_are_no_comparison_by_position() -> None:
    a, b = document(run={"token_ids": [1, 2]}), document(run={"token_ids": [3, 4]})
    assert not compare(a, b).same_tokens


def test_what_was_asked_differently_is_named_and_nothing_else() -> None:
    a = document(run={"seed": 1, "request": {"best_of": 1, "name": "x"}, "fingerprints": {"model": "f", "av": "g"}})
    b = document(run={"seed": 2, "request": {"best_of": 4, "name": "y"}, "fingerprints": {"model": "f", "av": "h"}})
    assert compare(a, b).setup == (
        Differing("seed", 1, 2),
        Differing("best_of", 1, 4),
        Differing("weights of av", "g", "h"),
    )


def test_a_repetition_is_known_as_one() -> None:
    assert compare(document(run={"id": "a"}), document(run={"id": "b", "repeat_of": "a"})).is_repeat
    assert not compare(document(run={"id": "b", "repeat_of": "a"}), document(run={"id": "a"})).is_repeat


@given(st.text("ab .\n", max_size=24), st.text("ab .\n", max_size=24))
def test_a_word_diff_gives_both_texts_back(a: str, b: str) -> None:
    pieces = word_diff(a, b)
    assert "".join(p.text for p in pieces if p.kind != "gained") == a
    assert "".join(p.text for p in pieces if p.kind != "lost") == b


def test_a_word_diff_names_words_not_letters() -> None:
    assert [tuple(p) for p in word_diff("a story about the sea.", "a tale about the sea!")] == [
        ("same", "a "),
        ("lost", "story "),
        ("gained", "tale "),
        ("same", "about the sea"),
        ("lost", "."),
        ("gained", "!"),
    ]
