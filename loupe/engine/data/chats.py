"""Chats in the shapes that datasets have them in, brought to one: a list of {"role", "content"}.

OpenAI messages, ShareGPT turns, plain lists of alternating texts, and Alpaca's columns. How a chat becomes text is the
model's own business (`engine/models/chat.py`), so chats are kept as chats until they are tokenised.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from loupe.engine.errors import WrongColumn

Message = dict[str, str]
_SHARE_GPT = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant"}
_ROLES = ("system", "user", "assistant", "tool")
ALPACA = ("instruction", "output")
CHAT_COLUMNS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue")


def as_messages(value: Any, where: str) -> list[Message]:
    """The messages of one cell. Raises WrongColumn, naming the place."""
    if isinstance(value, str):
        value = _parsed(value, where)
    if isinstance(value, Mapping) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if not isinstance(value, list) or not value:
        raise WrongColumn(f"{where} holds {_named(value)}, not a chat: expected a list of messages.")
    if all(isinstance(turn, str) for turn in value):
        return [{"role": "assistant" if index % 2 else "user", "content": turn} for index, turn in enumerate(value)]
    return [_message(turn, where) for turn in value]


def alpaca(row: Mapping[str, Any], where: str) -> list[Message]:
    """The two messages of a row with instruction, input and output. Raises WrongColumn."""
    asked, answered = row.get("instruction"), row.get("output")
    if not isinstance(asked, str) or not isinstance(answered, str):
        raise WrongColumn(f"{where} has no instruction and output as text.")
    given = row.get("input")
    question = f"{asked}\n\n{given}" if isinstance(given, str) and given.strip() else asked
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answered}]


def looks_like_chat(value: Any) -> bool:
    """Whether a cell could be a chat; cells of text are text."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, Mapping | str) for turn in value)


def _message(turn: Any, where: str) -> Message:
    if not isinstance(turn, Mapping):
        raise WrongColumn(f"{where} holds {_named(turn)} among the messages.")
    role = turn.get("role", turn.get("from"))
    content = turn.get("content", turn.get("value"))
    role = _SHARE_GPT.get(str(role), role)
    if role not in _ROLES or not isinstance(content, str):
        raise WrongColumn(
            f"{where} holds a message with role {role!r} and {_named(content)} as content: expected a role of "
            f"{', '.join(_ROLES)} (or human, gpt) and text."
        )
    return {"role": role, "content": content}


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise WrongColumn(f"{where} holds plain text, not a chat: choose it as a text column.") from None


def _named(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
