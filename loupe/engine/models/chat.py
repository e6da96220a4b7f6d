"""Chats through the model's own template, in one step, so that no special token comes twice.

Some templates refuse a system message, others drop it without a word. In both cases it is put before the first user
message with a blank line between, as the makers of those models do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from loupe.engine.errors import BadInput, BadOption, EmptyText
from loupe.engine.models.tokens import whole_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, str]
_ROLES = ("system", "user", "assistant", "tool")


def render_chat(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    system: str | None = None,
    prefill: str | None = None,
    add_generation_prompt: bool | None = None,
) -> list[int]:
    """The token ids of a chat.

    `messages` are `{"role", "content"}`; `system` goes before them; `prefill` is the beginning of the assistant's next
    message, left open. `add_generation_prompt` defaults to whether the last message is not the assistant's.
    Raises BadOption (no chat template; two system messages; prefill after an assistant), EmptyText (no message),
    BadInput (unknown role; whatever the template itself refuses).
    """
    text = render_chat_text(
        tokenizer, messages, system=system, prefill=prefill, add_generation_prompt=add_generation_prompt
    )
    return tokenizer.encode(text, add_special_tokens=False)


def render_chat_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    *,
    system: str | None = None,
    prefill: str | None = None,
    add_generation_prompt: bool | None = None,
) -> str:
    """The chat as the text that is tokenised, special tokens included. Arguments and errors as `render_chat`."""
    if not tokenizer.chat_template:
        raise BadOption("This model has no chat template: give plain text instead of messages.")
    turns = _turns(messages, system, prefill)
    if add_generation_prompt is None:
        add_generation_prompt = turns[-1]["role"] != "assistant"
    return _rendered(tokenizer, turns, generation=add_generation_prompt, open_end=prefill is not None)


def _turns(messages: Sequence[Message], system: str | None, prefill: str | None) -> list[dict[str, str]]:
    turns = [_turn(message) for message in messages]
    if not turns:
        raise EmptyText("The chat has no message.")
    if system is not None:
        if turns[0]["role"] == "system":
            raise BadOption("The chat already begins with a system message: give the system prompt once.")
        turns.insert(0, {"role": "system", "content": whole_text(system)})
    if prefill is not None:
        if turns[-1]["role"] == "assistant":
            raise BadOption("The chat ends with an assistant message: write the prefill into it, or leave it out.")
        turns.append({"role": "assistant", "content": whole_text(prefill)})
    return turns


def _turn(message: Message) -> dict[str, str]:
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES or not isinstance(content, str):
        # The content stays out of the message: errors are logged, prompts are not.
        kind = type(content).__name__
        raise BadInput(f"A message needs a role of {', '.join(_ROLES)} and a text; got role {role!r} and a {kind}.")
    return {"role": role, "content": whole_text(content)}


def _rendered(
    tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], *, generation: bool, open_end: bool
) -> str:
    if turns[0]["role"] != "system":
        return _applied(tokenizer, turns, generation=generation, open_end=open_end)
    can_merge = len(turns) > 1 and turns[1]["role"] == "user"
    try:
        text = _applied(tokenizer, turns, generation=generation, open_end=open_end)
    except BadInput:
        if not can_merge:
            raise
    else:
        if turns[0]["content"].strip() in text:
            return text
        if not can_merge:
            raise BadInput("The model's chat template drops the system message, and no user message follows it.")
    return _applied(tokenizer, _merged(turns), generation=generation, open_end=open_end)


def _merged(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    system, first, *rest = turns
    return [{"role": "user", "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def _applied(
    tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], *, generation: bool, open_end: bool
) -> str:
    from jinja2 import TemplateError

    try:
        text = tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=generation and not open_end,
            continue_final_message=open_end,
            return_dict=False,
        )
    except (TemplateError, ValueError) as error:
        raise BadInput(f"The model's chat template refuses this chat: {error}") from error
    assert isinstance(text, str)
    return text
