"""Chats: the model's own template, once, whatever the template thinks of system messages."""

import pytest
from transformers import PreTrainedTokenizerFast

from loupe.engine.errors import BadInput, BadOption, BrokenText, EmptyText
from loupe.engine.models.chat import render_chat, render_chat_text
from tests.engine.models import vocabularies

CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
FORBIDS_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
DROPS_SYSTEM = CHATML.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")
WITH_BOS = "<s>" + CHATML
HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello"}


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> PreTrainedTokenizerFast:
    shared = vocabularies.byte_level()
    monkeypatch.setattr(shared, "chat_template", CHATML)
    return shared


def test_a_question_is_left_open_for_the_assistant(tokenizer: PreTrainedTokenizerFast) -> None:
    assert render_chat_text(tokenizer, [HI]) == "<|user|>Hi<|end|><|assistant|>"


def test_an_answered_question_is_closed(tokenizer: PreTrainedTokenizerFast) -> None:
    assert render_chat_text(tokenizer, [HI, HELLO]) == "<|user|>Hi<|end|><|assistant|>Hello<|end|>"


def test_the_generation_prompt_can_be_asked_for_or_left_out(tokenizer: PreTrainedTokenizerFast) -> None:
    assert render_chat_text(tokenizer, [HI], add_generation_prompt=False) == "<|user|>Hi<|end|>"
    assert render_chat_text(tokenizer, [HI, HELLO], add_generation_prompt=True).endswith("<|end|><|assistant|>")


def test_a_prefill_is_left_open_and_keeps_its_last_space(tokenizer: PreTrainedTokenizerFast) -> None:
    assert render_chat_text(tokenizer, [HI], prefill="Well, ") == "<|user|>Hi<|end|><|assistant|>Well, "


def test_a_system_prompt_comes_first(tokenizer: PreTrainedTokenizerFast) -> None:
    by_argument = render_chat_text(tokenizer, [HI], system="Be brief.")
    assert by_argument == "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>"
    assert render_chat_text(tokenizer, [{"role": "system", "content": "Be brief."}, HI]) == by_argument


@pytest.mark.parametrize("template", [FORBIDS_SYSTEM + CHATML, DROPS_SYSTEM], ids=["forbids", "drops"])
def test_a_system_prompt_the_template_does_not_take_goes_before_the_first_question(
    tokenizer: PreTrainedTokenizerFast, template: str
) -> None:
    tokenizer.chat_template = template
    text = render_chat_text(tokenizer, [HI, HELLO, HI], system="Be brief.")
    assert text.startswith("<|user|>Be brief.\n\nHi<|end|><|assistant|>Hello<|end|><|user|>Hi<|end|>")


def test_a_system_prompt_without_a_question_to_put_it_before_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = FORBIDS_SYSTEM + CHATML
    with pytest.raises(BadInput, match="System role not supported"):
        render_chat(tokenizer, [{"role": "system", "content": "Be brief."}])
    tokenizer.chat_template = DROPS_SYSTEM
    with pytest.raises(BadInput, match="drops the system message"):
        render_chat(tokenizer, [{"role": "system", "content": "Be brief."}, HELLO])


def test_what_a_template_forbids_is_told_in_its_own_words(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = "{{ raise_exception('Roles must alternate') }}"
    with pytest.raises(BadInput, match="Roles must alternate"):
        render_chat(tokenizer, [HI, HI])


def test_ids_are_plain_numbers_and_special_tokens_come_once() -> None:
    tokenizer = vocabularies.sentencepiece()
    tokenizer.chat_template = WITH_BOS
    ids = render_chat(tokenizer, [HI])
    assert all(isinstance(token, int) for token in ids)
    assert ids.count(tokenizer.bos_token_id) == 1
    tokenizer.chat_template = None


def test_a_model_without_a_template_asks_for_plain_text() -> None:
    with pytest.raises(BadOption, match="no chat template"):
        render_chat(vocabularies.word_piece(), [HI])


def test_no_message_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(EmptyText):
        render_chat(tokenizer, [])


@pytest.mark.parametrize(
    "message", [{"role": "narrator", "content": "secret"}, {"content": "secret"}, {"role": "user"}]
)
def test_a_message_that_is_none_is_refused_with_the_roles(
    tokenizer: PreTrainedTokenizerFast, message: dict[str, str]
) -> None:
    with pytest.raises(BadInput, match="system, user, assistant, tool") as error:
        render_chat(tokenizer, [message])
    assert "secret" not in str(error.value)  # errors are logged, prompts are not


def test_two_system_prompts_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(BadOption, match="once"):
        render_chat(tokenizer, [{"role": "system", "content": "a"}, HI], system="b")


def test_a_prefill_after_an_assistant_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(BadOption, match="prefill"):
        render_chat(tokenizer, [HI, HELLO], prefill="And")


@pytest.mark.parametrize("where", ["message", "system", "prefill"])
def test_half_a_surrogate_pair_is_refused_anywhere(tokenizer: PreTrainedTokenizerFast, where: str) -> None:
    bad = "x\ud800"
    message = {"role": "user", "content": bad if where == "message" else "Hi"}
    with pytest.raises(BrokenText):
        render_chat(tokenizer, [message], **{where: bad} if where != "message" else {})
