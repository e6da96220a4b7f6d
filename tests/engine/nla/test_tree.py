"""Every sequence is found again by walking up from its leaf, whatever the cuts; no shared token is computed twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from loupe.engine.nla.tree import Piece, ancestry, cut_into_pieces, positions

sequences = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=7), min_size=1, max_size=12)


def rebuilt(pieces: list[Piece]) -> dict[int, list[int]]:
    """What each leaf sees, read through the visibility matrix and the carried contexts alone."""
    found: dict[int, list[int]] = {}
    carried: list[int] = []
    for piece in pieces:
        reach = carried[: piece.kept] + list(piece.tokens)
        visible = ancestry(piece)
        for number, leaf in piece.leaves.items():
            found[number] = [token for token, seen in zip(reach, visible[leaf].tolist(), strict=True) if seen]
        carried = [reach[index] for index in piece.carried().tolist()]
    return found


@settings(deadline=None, max_examples=60)
@given(sequences, st.integers(1, 12))
def test_every_leaf_sees_exactly_its_own_sequence(given_sequences, limit):
    pieces = list(cut_into_pieces(given_sequences, lambda: limit))
    assert rebuilt(pieces) == dict(enumerate(given_sequences))


@settings(deadline=None, max_examples=60)
@given(sequences, st.integers(1, 12))
def test_each_distinct_beginning_is_computed_once(given_sequences, limit):
    pieces = list(cut_into_pieces(given_sequences, lambda: limit))
    prefixes = {tuple(sequence[:end]) for sequence in given_sequences for end in range(1, len(sequence) + 1)}
    assert sum(len(piece.tokens) for piece in pieces) == len(prefixes)


@settings(deadline=None, max_examples=30)
@given(sequences, st.integers(1, 12))
def test_pieces_keep_to_the_limit_unless_one_sequence_is_longer(given_sequences, limit):
    for piece in cut_into_pieces(given_sequences, lambda: limit):
        assert len(piece.tokens) <= limit or len(set(piece.leaves.values())) == 1


def test_positions_are_depths_after_the_start():
    (piece,) = cut_into_pieces([[5, 6, 7], [5, 6, 8, 9]], lambda: 100)
    assert piece.tokens == (5, 6, 7, 8, 9)
    assert positions(piece, 10).tolist() == [10, 11, 12, 12, 13]
    assert piece.leaves == {0: 2, 1: 4}


def test_equal_sequences_end_at_one_token():
    (piece,) = cut_into_pieces([[1, 2], [1, 2], [1, 2]], lambda: 1)
    assert piece.tokens == (1, 2)
    assert set(piece.leaves.values()) == {1}
