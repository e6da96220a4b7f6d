"""Chats as people paste them: an OpenAI-style request, or a plain list of messages."""

import json
from typing import Any

from loupe.app.services.options import Message
from loupe.engine.errors import BadInput

ROLES = {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant"}
ROLES |= {"model": "assistant", "gpt": "assistant", "ai": "assistant", "bot": "assistant"}
MOST = 200


def looks_like_chat(text: str) -> bool:
    """Whether a pasted text could be a chat as JSON; cheap enough to ask at every paste."""
    return text.lstrip()[:1] in ("[", "{") and ('"role"' in text or '"from"' in text)


def parse_chat(text: str) -> tuple[Message, ...]:
    """The messages of a chat written as JSON.

    Takes `{"messages": [...]}`, a list of `{"role", "content"}` (content a string or a list of text parts), or of
    `{"from", "value"}`. Raises BadInput, which says where and what was expected.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(f"This is not JSON: {error}. Expected a list of messages with role and content.") from None
    found = value.get("messages", value.get("conversations")) if isinstance(value, dict) else value
    if not isinstance(found, list) or not found:
        raise BadInput('Expected a list of messages, or an object with "messages"; got something else.')
    if len(found) > MOST:
        raise BadInput(f"The chat has {len(found)} messages; at most {MOST} are taken.")
    return tuple(_message(number, one) for number, one in enumerate(found, 1))


def _message(number: int, one: Any) -> Message:
    if not isinstance(one, dict):
        raise BadInput(f"Message {number} is no object with role and content.")
    said = str(one.get("role", one.get("from", ""))).lower()
    if said not in ROLES:
        known = ", ".join(dict.fromkeys(ROLES.values()))
        raise BadInput(f"Message {number} has the role {said!r}; known are {known}.")
    return Message(role=ROLES[said], content=_content(number, one.get("content", one.get("value"))))  # pyright: ignore[reportArgumentType] - looked up in ROLES


def _content(number: int, content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        other = [part.get("type") for part in content if not isinstance(part.get("text"), str)]
        if not other:
            return "".join(part["text"] for part in content)
        raise BadInput(f"Message {number} has a part of type {other[0]!r}; only text can be read.")
    raise BadInput(f"Message {number} has no text as its content.")
