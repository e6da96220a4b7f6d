"""Tokens as bytes: nothing is lost, nothing is invented, and broken input is refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from loupe.engine.errors import BadInput, BrokenText, EmptyText, TextTooLong
from loupe.engine.models.tokens import Vocabulary, display_tokens, encode_text, whole_text
from tests.engine.models.vocabularies import byte_level, metaspace, sentencepiece, word_piece

any_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def joined(tokenizer: PreTrainedTokenizerFast, text: str) -> bytes:
    ids = encode_text(tokenizer, text, add_special_tokens=False)
    return b"".join(view.raw_bytes for view in display_tokens(tokenizer, ids))


@given(any_text)
def test_byte_level_tokens_join_to_the_text(text: str) -> None:
    assert joined(byte_level(), text) == text.encode()


@given(any_text)
def test_sentencepiece_tokens_join_to_the_text(text: str) -> None:
    text = text.replace("▁", "_")  # a ▁ in the text is read as a space by every tokenizer of this kind
    assert joined(sentencepiece(invents_a_space=True), text) == text.encode()
    assert joined(sentencepiece(invents_a_space=False), text) == text.encode()


@pytest.mark.parametrize("tokenizer", [byte_level(), sentencepiece()], ids=["byte_level", "sentencepiece"])
def test_half_a_character_stays_visible(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = encode_text(tokenizer, "\u00a7", add_special_tokens=False)[-2:]
    first, second = display_tokens(tokenizer, ids, from_start=False)
    assert (first.raw_bytes + second.raw_bytes).decode() == "\u00a7"
    assert (first.text, second.text) == ("<0xC2>", "<0xA7>")
    assert first.partial
    assert second.partial


def test_whole_characters_beside_a_stray_byte_are_readable() -> None:
    tokenizer = byte_level()
    alphabet = {Vocabulary.of(tokenizer).bytes_of(token): token for token in range(len(tokenizer))}
    from loupe.engine.models.tokens import _readable

    view = _readable("ß".encode() + b"\xf0\x9f" + b"ok", special=False)
    assert view.text == "ß<0xF0><0x9F>ok"
    assert view.partial
    assert len(alphabet) == len(tokenizer)  # all tokens stand for different bytes


def test_whole_tokens_read_as_text() -> None:
    views = display_tokens(byte_level(), encode_text(byte_level(), "The quick brown fox"))
    assert "".join(view.text for view in views) == "The quick brown fox"
    assert not any(view.partial or view.is_special for view in views)


def test_the_space_a_tokenizer_invents_is_taken_off_behind_the_special_tokens() -> None:
    tokenizer = sentencepiece()
    ids = encode_text(tokenizer, "The fox")
    views = display_tokens(tokenizer, ids)
    assert [view.text for view in views] == ["<s>", "The", " fox"]
    assert views[0].is_special
    assert not views[1].is_special


def test_a_space_that_is_in_the_text_stays() -> None:
    tokenizer = sentencepiece(invents_a_space=False)
    views = display_tokens(tokenizer, encode_text(tokenizer, " The fox", add_special_tokens=False))
    assert [view.text for view in views] == [" The", " fox"]


def test_ids_that_do_not_begin_a_text_keep_their_space() -> None:
    tokenizer = sentencepiece()
    ids = encode_text(tokenizer, "The fox", add_special_tokens=False)
    assert display_tokens(tokenizer, ids[1:], from_start=False)[0].text == " fox"
    assert Vocabulary.of(tokenizer).bytes_of(ids[0]) == b" The"


def test_a_metaspace_pre_tokenizer_invents_a_space_too() -> None:
    tokenizer = metaspace()
    views = display_tokens(tokenizer, encode_text(tokenizer, "the fox", add_special_tokens=False))
    assert [view.text for view in views] == ["the", " fox"]


def test_another_kind_of_vocabulary_is_shown_as_it_decodes() -> None:
    tokenizer = word_piece()
    views = display_tokens(tokenizer, encode_text(tokenizer, "the foxes", add_special_tokens=False))
    assert [view.text for view in views] == ["the", "fox", "##es"]


def test_special_tokens_show_their_name() -> None:
    tokenizer = byte_level()
    (view,) = display_tokens(tokenizer, [tokenizer.eos_token_id])
    assert (view.text, view.raw_bytes, view.is_special) == ("</s>", b"</s>", True)


@pytest.mark.parametrize("token", [10_000, -1])
def test_an_id_beyond_the_vocabulary_shows_its_number(token: int) -> None:
    (view,) = display_tokens(byte_level(), [token])
    assert (view.text, view.raw_bytes, view.partial) == (f"<id {token}>", b"", False)


def test_no_ids_show_as_nothing() -> None:
    assert display_tokens(byte_level(), []) == []


def test_empty_text_is_refused() -> None:
    with pytest.raises(EmptyText, match="empty"):
        encode_text(sentencepiece(), "")


def test_text_of_which_no_token_is_made_is_refused() -> None:
    with pytest.raises(EmptyText, match="no token of these 2 characters"):
        encode_text(word_piece(), "  ", add_special_tokens=False)


def test_one_token_is_enough() -> None:
    assert len(encode_text(byte_level(), "T")) == 1


def test_too_long_a_text_is_refused_with_both_numbers_and_not_cut() -> None:
    with pytest.raises(TextTooLong, match=r"100000 tokens; the limit is 2048"):
        encode_text(byte_level(), "T " * 50_000, max_tokens=2048)
    assert len(encode_text(byte_level(), "T " * 500, max_tokens=1000)) == 1000


@pytest.mark.parametrize(
    ("text", "where"), [("ab\ud83d", 2), ("\udc00", 0), ("a\udc00\ud83d", 1), ("\ud83d\ude00\ud83d", 2)]
)
def test_half_a_surrogate_pair_is_refused_with_its_place(text: str, where: int) -> None:
    with pytest.raises(BrokenText, match=f"Character {where} is U") as error:
        encode_text(byte_level(), text)
    assert isinstance(error.value, BadInput)


def test_a_surrogate_pair_is_the_character_it_means() -> None:
    assert whole_text("a\ud83d\ude00b") == "a😀b"


@given(any_text)
def test_whole_text_is_left_alone(text: str) -> None:
    assert whole_text(text) == text
