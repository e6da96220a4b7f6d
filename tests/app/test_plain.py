"""Text in which nothing hides."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loupe.app.plain import file_label, plain
from tests.app.hostile import HOSTILE

COMMANDS = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text() | st.sampled_from(HOSTILE))
def test_no_character_that_is_not_seen_is_left(text: str) -> None:
    hidden = [c for c in plain(text) if unicodedata.category(c) in COMMANDS and c != "\u200d"]
    assert hidden == []


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("evil\u202egnp.exe", "evil⟨U+202E⟩gnp.exe"),
        ("two\n lines\tand more", "two lines and more"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("\x1b[2J", "⟨U+001B⟩[2J"),
        ("狐 é", "狐 é"),
    ],
)
def test_what_would_hide_is_written_out_and_the_rest_left(written: str, shown: str) -> None:
    assert plain(written) == shown


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert plain("a lantern in the dark", 10) == "a lantern…"


@pytest.mark.parametrize("path", ["/etc/passwd", "C:\\x\\passwd", "../../passwd", "passwd/", "a/../passwd"])
def test_only_the_last_part_of_a_path_is_a_label(path: str) -> None:
    assert file_label(path) == "passwd"
