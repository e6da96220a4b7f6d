"""Explanations state what the text has said, read back as the slots they were written from."""

import random
import re

import pytest

from loupe.engine.starter.explanations import Slots, explain, last_pieces, names_in, read_slots, token_word
from loupe.engine.starter.world.story import write_document

LIKELY = [(" kite", 0.6), (".", 0.2), (" a", 0.05), (" the", 0.01)]


def tokens(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"<\|\w+\|>| ?\w+| ?[^\w\s]", text)]


@pytest.mark.parametrize("seed", range(40))
def test_the_slots_of_an_explanation_can_be_read_back(seed: int):
    document = write_document(seed)
    for start, end in tokens(document.text)[4::5]:
        explained = explain(document, start, end, LIKELY, random.Random(end))
        assert read_slots(explained.text) == explained.slots
        assert names_in(explained.text) <= set(explained.names_so_far)
        assert all(name in document.text[:end] for name in explained.names_so_far)


def test_every_explanation_has_three_lines_and_names_the_last_token():
    document = write_document(1, genre="story")
    start, end = tokens(document.text)[12]
    explained = explain(document, start, end, LIKELY, random.Random(0))
    assert explained.text.count("\n") == 2
    assert explained.slots.last_token == document.text[start:end].strip()
    assert explained.slots.next_token == "kite"


def test_unlikely_next_tokens_are_not_mentioned_but_the_likeliest_always_is():
    document = write_document(1, genre="story")
    start, end = tokens(document.text)[12]
    assert " the" not in explain(document, start, end, LIKELY, random.Random(0)).text.rpartition("Next")[2]
    flat = explain(document, start, end, [(" kite", 0.01)], random.Random(0))
    assert flat.slots.next_token == "kite"


@pytest.mark.parametrize(
    ("token", "word"),
    [(" kite", "kite"), (".", "full stop"), ("ite", "-ite"), ("<|end|>", "end of turn"), (' "', "quotation mark")],
)
def test_a_token_is_written_as_a_reader_would_say_it(token: str, word: str):
    assert token_word(token) == word


def test_reading_slots_forgives_nonsense():
    assert read_slots("nothing of the kind") == Slots(None, None, None, None, None, None)


def test_a_quote_has_five_words_or_marks_however_they_hang_together():
    assert last_pieces('She said to Ida, "Wait for me!"') == '"Wait for me!"'
    assert last_pieces("It was Ida's drum.") == "was Ida's drum."
    assert last_pieces("Once upon a time there was") == "upon a time there was"
    assert last_pieces("Ida") == "Ida" and last_pieces("") == ""
