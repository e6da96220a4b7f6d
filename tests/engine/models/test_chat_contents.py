"""Where messages stand in a rendered chat, whatever the template does to them."""

import pytest
from transformers import PreTrainedTokenizerFast

from loupe.engine.models.chat import render_chat_text
from loupe.engine.models.chat_contents import chat_frame, content_positions
from tests.engine.models import vocabularies

HEAD = "{% for m in messages %}<|{{ m['role'] }}|>"
CHATML = HEAD + "{{ m['content'] }}<|end|>{% endfor %}"
STRIPS = HEAD + "{{ m['content'] | trim }}<|end|>{% endfor %}"
DROPS_TOOLS = CHATML.replace("in messages %}", "in messages if m['role'] != 'tool' %}")
LOOKS_INSIDE = "{% if 'fox' not in messages[0]['content'] %}{{ raise_exception('no fox') }}{% endif %}" + CHATML
CHAT = [{"role": "user", "content": " the fox "}, {"role": "assistant", "content": "ran"}]


def told(monkeypatch: pytest.MonkeyPatch, template: str, chat: list[dict[str, str]]) -> list[str]:
    """The text of the positions that each message is said to have."""
    tokenizer: PreTrainedTokenizerFast = vocabularies.byte_level()
    monkeypatch.setattr(tokenizer, "chat_template", template)
    rendered = render_chat_text(tokenizer, chat)
    ids = tokenizer.encode(rendered, add_special_tokens=False)
    found = content_positions(tokenizer, chat, rendered, ids, chat_frame(tokenizer, chat))
    assert found is not None
    return [str(tokenizer.decode(ids[where.start : where.stop])).strip() for where in found]


@pytest.mark.parametrize("template", [CHATML, STRIPS, LOOKS_INSIDE])
def test_a_message_stands_where_the_template_wrote_it(monkeypatch: pytest.MonkeyPatch, template: str) -> None:
    assert told(monkeypatch, template, CHAT) == ["the fox", "ran"]


def test_a_message_that_the_template_dropped_stands_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = [CHAT[0], {"role": "tool", "content": "7"}, CHAT[1]]
    assert told(monkeypatch, DROPS_TOOLS, chat) == ["the fox", "", "ran"]


def test_an_empty_message_stands_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, CHATML, [CHAT[0], {"role": "assistant", "content": " "}]) == ["the fox", ""]


def test_a_template_that_wants_to_know_the_content_has_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = vocabularies.byte_level()
    monkeypatch.setattr(tokenizer, "chat_template", LOOKS_INSIDE)
    assert chat_frame(tokenizer, CHAT) == ""
