"""Text that grows token by token is what decoding everything at once gives, and each token costs the same."""

from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from loupe.engine.models.growing_text import GrowingText
from loupe.engine.models.tokens import Vocabulary
from tests.engine.models.vocabularies import byte_level, metaspace, sentencepiece, word_piece

KINDS = {"byte_level": byte_level, "sentencepiece": sentencepiece, "metaspace": metaspace, "word_piece": word_piece}
any_text = st.text(st.characters(codec="utf-8"), max_size=30)


def steps(tokenizer: PreTrainedTokenizerFast, before: list[int], made: list[int]) -> list[str]:
    growing = GrowingText(tokenizer, before)
    return [growing.add(token) for token in made]


@given(any_text)
@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_the_whole_is_what_decoding_at_once_gives(kind: str, text: str) -> None:
    tokenizer = KINDS[kind]()
    ids = tokenizer.encode("The fox" + text.replace("▁", "_"), add_special_tokens=False)
    whole = steps(tokenizer, ids[:1], ids[1:])[-1]
    assert str(tokenizer.decode(ids[:1], clean_up_tokenization_spaces=False)) + whole == tokenizer.decode(
        ids, clean_up_tokenization_spaces=False
    )


@given(st.lists(st.integers(0, 255), max_size=24))
def test_stray_bytes_read_as_when_decoded_at_once_and_hold_nothing_up(raw: list[int]) -> None:
    tokenizer = byte_level()
    ids = [_one_byte_tokens()[bytes([byte])] for byte in raw] + tokenizer.encode("The", add_special_tokens=False)
    assert steps(tokenizer, [], ids)[-1] == tokenizer.decode(ids, clean_up_tokenization_spaces=False)


@lru_cache
def _one_byte_tokens() -> dict[bytes, int]:
    return {Vocabulary.of(byte_level()).bytes_of(token): token for token in range(len(byte_level()))}


def test_half_a_character_waits_for_its_other_half() -> None:
    tokenizer = sentencepiece()
    ids = tokenizer.encode("a狐", add_special_tokens=False)[-3:]
    assert steps(tokenizer, [5], ids) == ["", "", "狐"]


def test_a_character_that_the_prompt_began_is_finished_by_the_reply() -> None:
    tokenizer = byte_level()
    ids = tokenizer.encode("狐 ran", add_special_tokens=False)
    cut = next(i for i in range(1, len(ids)) if "�" in tokenizer.decode(ids[:i]))
    assert steps(tokenizer, ids[:cut], ids[cut:])[-1] == "狐 ran"


def test_the_space_before_a_reply_is_kept_where_a_tokenizer_invents_one() -> None:
    tokenizer = sentencepiece()
    ids = tokenizer.encode("The fox", add_special_tokens=False)
    assert steps(tokenizer, ids[:1], ids[1:])[-1] == " fox"


def test_special_tokens_are_left_out_wherever_they_stand() -> None:
    tokenizer = byte_level()
    fox = tokenizer.encode(" fox", add_special_tokens=False)
    assert steps(tokenizer, [0], [*fox, 1, *fox, 1])[-1] == " fox fox"


def test_a_piece_that_joins_the_one_before_it_joins_it_far_into_a_text() -> None:
    tokenizer = word_piece()
    assert steps(tokenizer, [1], [2, 3] * 20)[-1] == " foxes" * 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_costs_the_same_however_long_the_text_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = KINDS[kind]()
    decoded: list[int] = []
    real = type(tokenizer).decode

    def counted(self, ids, *rest, **options):
        decoded.append(len(ids) if isinstance(ids, list) else 1)
        return real(self, ids, *rest, **options)

    monkeypatch.setattr(type(tokenizer), "decode", counted)
    steps(tokenizer, [1], [2] * 300)
    assert sum(decoded) <= 300 * 20
