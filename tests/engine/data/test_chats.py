"""Every shape in which datasets keep chats becomes one; what is no chat is refused by its place."""

import json

import pytest

from loupe.engine.data.chats import alpaca, as_messages, looks_like_chat
from loupe.engine.errors import WrongColumn

ASKED, ANSWERED = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "A fox."}


@pytest.mark.parametrize(
    "cell",
    [
        [ASKED, ANSWERED],
        {"messages": [ASKED, ANSWERED], "id": 7},
        json.dumps([ASKED, ANSWERED]),
        [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "A fox."}],
        [{"role": "user", "content": "Who?", "weight": 0}, {"from": "bot", "value": "A fox."}],
        ["Who?", "A fox."],
    ],
    ids=["messages", "wrapped", "json", "share gpt", "mixed", "alternating"],
)
def test_a_chat_is_the_same_in_every_shape(cell: object) -> None:
    assert as_messages(cell, "row 3") == [ASKED, ANSWERED]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("The fox ran.", "plain text"),
        ([], "a list, not a chat"),
        (None, "nothing, not a chat"),
        ({"messages": "Who?"}, "a dict, not a chat"),
        ([ASKED, 7], "a int among the messages"),
        ([ASKED, None], "nothing among the messages"),
        ([{"role": "narrator", "content": "It rained."}], "role 'narrator'"),
        ([{"role": "user", "content": None}], "nothing as content"),
        ([{"content": "Who?"}], "role None"),
    ],
)
def test_what_is_no_chat_is_refused_by_its_place(cell: object, reason: str) -> None:
    with pytest.raises(WrongColumn, match=f"^row 3 holds.*{reason}"):
        as_messages(cell, "row 3")


def test_a_row_of_instructions_asks_with_its_input_where_it_has_one() -> None:
    row = {"instruction": "Translate.", "input": "le renard", "output": "the fox"}
    assert alpaca(row, "row 1")[0]["content"] == "Translate.\n\nle renard"
    assert alpaca({**row, "input": "  "}, "row 1")[0]["content"] == "Translate."
    assert [message["role"] for message in alpaca(row, "row 1")] == ["user", "assistant"]
    with pytest.raises(WrongColumn, match="row 1 has no instruction and output"):
        alpaca({"instruction": "Translate.", "output": None}, "row 1")


def test_only_lists_of_turns_look_like_chats() -> None:
    assert looks_like_chat([ASKED]) and looks_like_chat(["Who?"])
    assert not any(map(looks_like_chat, ["Who?", [], [1], None, {"messages": []}]))
