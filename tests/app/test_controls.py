"""The question's controls: made from the schema, and what they ask is what the page shows."""

from typing import Any

import pytest
from nicegui import ui
from nicegui.testing.user_simulation import user_simulation

from loupe.app.pages.controls import SchemaForm, Segmented
from loupe.app.services.chats import looks_like_chat, parse_chat
from loupe.app.services.options import AnalysisOptions, parse_positions
from loupe.engine.errors import BadInput, BadPositions

FIELDS = ("best_of", "temperature", "top_p", "seed", "max_new_tokens", "salience", "kl")


async def test_a_form_has_the_defaults_ranges_and_words_of_its_schema() -> None:
    made: dict[str, Any] = {}

    def page() -> None:
        made["form"] = SchemaForm(AnalysisOptions, FIELDS, limits={"best_of": 32})

    async with user_simulation(page) as user:
        await user.open("/")
        form: SchemaForm = made["form"]
        assert form.values() == {}, "untouched means the schema's defaults"
        assert (form.controls["best_of"].min, form.controls["best_of"].max) == (1, 32)
        assert (form.controls["temperature"].min, form.controls["temperature"].max) == (0, 5)
        assert set(form.controls["salience"].options) == {"none", "line", "word"}
        await user.should_see("Rollouts per token")
        form.controls["best_of"].value = 4.0
        form.controls["kl"].value = False
        form.controls["salience"].value = "word"
        asked = AnalysisOptions.model_validate({"text": "a"} | form.values())
        assert (asked.best_of, asked.kl, asked.salience, asked.max_new_tokens) == (4, False, "word", None)
        assert isinstance(form.values()["best_of"], int)
        form.fill({"seed": 9})
        assert form.values() == {"seed": 9}


async def test_a_choice_among_a_few_tells_only_of_changes() -> None:
    picked: list[str] = []

    def page() -> None:
        Segmented({"a": "One", "b": "Two"}, "a", picked.append, label="Which", testid="which")

    async with user_simulation(page) as user:
        await user.open("/")
        made = sorted(user.find(kind=ui.element).elements, key=lambda element: element.id)
        buttons = [element for element in made if element.tag == "button"]
        assert [button.props["aria-pressed"] for button in buttons] == ["true", "false"]
        for button in (buttons[1], buttons[1], buttons[0]):
            for listener in button._event_listeners.values():
                listener.handler(None)  # pyright: ignore[reportOptionalCall] - it has one
        assert picked == ["b", "a"]


@pytest.mark.parametrize(
    "pasted",
    [
        '[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]',
        '{"model": "x", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}',
        '[{"role": "user", "content": [{"type": "text", "text": "hi"}]}, {"role": "model", "content": "ho"}]',
        '{"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}',
    ],
)
def test_a_chat_is_read_however_it_was_written(pasted: str) -> None:
    assert looks_like_chat(pasted)
    assert [(m.role, m.content) for m in parse_chat(pasted)] == [("user", "hi"), ("assistant", "ho")]


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("[", "not JSON"),
        ("{}", "list of messages"),
        ("[]", "list of messages"),
        ("[1]", "Message 1 is no object"),
        ('[{"role": "wizard", "content": "x"}]', "the role 'wizard'"),
        ('[{"role": "user"}]', "no text"),
        ('[{"role": "user", "content": [{"type": "image_url"}]}]', "a part of type 'image_url'"),
    ],
)
def test_what_is_no_chat_is_refused_with_its_place(pasted: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_chat(pasted)


def test_a_text_in_brackets_is_no_chat() -> None:
    assert not looks_like_chat("[He laughed.] Then the fox ran.") and not looks_like_chat("role")


TURNS = [(1, 4), (7, 9), (12, 15)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("last_turn", [12, 13, 14, 15]),
        ("last_turns:2", [7, 8, 9, 12, 13, 14, 15]),
        ("last_turns:9", [1, 2, 3, 4, 7, 8, 9, 12, 13, 14, 15]),
        ("reply", [12, 13, 14, 15, 16]),
        ("-2", [15]),
    ],
)
def test_positions_may_name_turns_and_the_reply(written: str, expected: list[int]) -> None:
    assert list(parse_positions(written, 17, TURNS, 12)) == expected


@pytest.mark.parametrize("written", ["last_turn", "last_turns:0", "reply"])
def test_turns_that_are_not_there_cannot_be_chosen(written: str) -> None:
    with pytest.raises(BadPositions):
        parse_positions(written, 17, TURNS if written == "last_turns:0" else ())


def test_a_continued_text_has_its_reply_as_the_last_turn() -> None:
    assert list(parse_positions("last_turn", 6, (), 4)) == [4, 5]
