"""A chat as rows of role and text, or pasted whole as JSON; the last row may be the beginning of the answer."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from loupe.app.pages.controls import on_enter
from loupe.app.pages.frame import problem_html, told
from loupe.app.services.chats import looks_like_chat, parse_chat
from loupe.app.services.options import Message
from loupe.engine.errors import BadInput

ROLES = {"system": "system", "user": "user", "assistant": "assistant"}
FIRST = (Message(role="user", content=""),)
PASTED = (
    "(e) => { const t = e.clipboardData.getData('text'); if (/^\\s*[\\[{]/.test(t)) { e.preventDefault(); emit(t); } }"
)


class ChatInput:
    """Rows of a chat. `on_change()` is called after every edit; `on_start()` by Ctrl Enter."""

    def __init__(self, limit: int, on_change: Callable[[], Any], on_start: Callable[[], Any]) -> None:
        self._limit, self._on_change, self._on_start = limit, on_change, on_start
        self._rows: list[tuple[ui.select, ui.textarea]] = []
        self.box = ui.element("div").classes("chat").props('role=group aria-label="Chat" data-testid=chat')
        with self.box:
            self._list = ui.element("div").classes("chat-rows")
            with ui.element("div").classes("actions"):
                self._button("Add message", "add", self._add, "chat-add")
                self._button("System message", "settings_suggest", self._add_system, "chat-system")
                self._button("Begin the answer", "edit_note", self._add_prefill, "chat-prefill")
                self._button("Paste JSON", "data_object", self._open_paste, "chat-json")
            self.problem = ui.html("", sanitize=False).props("role=alert data-testid=chat-problem")
        self.fill(FIRST)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The rows as they stand, empty ones left out."""
        rows = [{"role": role.value, "content": text.value or ""} for role, text in self._rows]
        return [row for row in rows if row["content"].strip()]

    def split(self) -> tuple[list[dict[str, str]], str | None]:
        """The messages, and the beginning of the answer when the last row is the assistant's and left open."""
        messages = self.messages
        if self._open_end.value and messages and messages[-1]["role"] == "assistant":
            return messages[:-1], messages[-1]["content"]
        return messages, None

    def fill(self, messages: Sequence[Message], *, open_end: bool = False) -> None:
        """Show these messages instead."""
        self._list.clear()
        self._rows.clear()
        with self._list:
            for message in messages:
                self._row(message.role, message.content)
            self._open_end = ui.checkbox("The last message is only the beginning of the answer", value=open_end)
            self._open_end.props("dense data-testid=chat-open-end").on_value_change(lambda _: self._on_change())
        self._mark()

    def read_json(self, text: str) -> bool:
        """Take over a chat written as JSON; tells what is wrong with it otherwise."""
        self.problem.set_content("")
        try:
            self.fill(parse_chat(text))
        except BadInput as error:
            self.problem.set_content(f'<div class="look failed">{problem_html(told(error))}</div>')
            return False
        self._on_change()
        return True

    def _button(self, text: str, icon: str, act: Callable[[], Any], testid: str) -> None:
        button = ui.button(text, icon=icon, on_click=act, color=None).classes("quiet small-button")
        button.props(f"flat no-caps dense data-testid={testid}")

    def _row(self, role: str, content: str) -> None:
        with ui.element("div").classes("chat-row") as line:
            who = ui.select(ROLES, value=role).props('dense outlined options-dense aria-label="Role"')
            who.props("data-testid=chat-role").on_value_change(lambda _: self._changed())
            text = ui.textarea(value=content).props("outlined autogrow rows=1 dense spellcheck=false")
            text.props(f'aria-label="Message" maxlength={self._limit} data-testid=chat-content debounce=200')
            text.on_value_change(lambda _: self._on_change())
            text.on("paste", lambda event: self._pasted(event.args), js_handler=PASTED)
            on_enter(text, self._on_start)
            gone = ui.button(icon="close", color=None).classes("icon")
            gone.props('flat round dense aria-label="Remove this message" data-testid=chat-remove')
        row = (who, text)
        gone.on_click(lambda: self._remove(line, row))
        self._rows.append(row)

    def _insert(self, role: str, at: int | None = None) -> None:
        rows = [Message(role=who.value, content=text.value or "") for who, text in self._rows]
        rows.insert(len(rows) if at is None else at, Message(role=role, content=""))  # pyright: ignore[reportArgumentType] - one of ROLES
        self.fill(rows, open_end=bool(self._open_end.value))

    def _add(self) -> None:
        last = self._rows[-1][0].value if self._rows else "assistant"
        self._insert("assistant" if last == "user" else "user")

    def _add_system(self) -> None:
        if not self._rows or self._rows[0][0].value != "system":
            self._insert("system", 0)

    def _add_prefill(self) -> None:
        if not self._rows or self._rows[-1][0].value != "assistant":
            self._insert("assistant")
        self._open_end.value = True

    def _remove(self, line: ui.element, row: tuple[ui.select, ui.textarea]) -> None:
        if row in self._rows and len(self._rows) > 1:
            self._rows.remove(row)
            line.delete()
        else:
            row[1].value = ""
        self._changed()

    def _changed(self) -> None:
        self._mark()
        self._on_change()

    def _mark(self) -> None:
        self._open_end.visible = bool(self._rows) and self._rows[-1][0].value == "assistant"

    def _pasted(self, text: Any) -> None:
        if isinstance(text, str) and looks_like_chat(text):
            self.read_json(text)

    def _open_paste(self) -> None:
        with ui.dialog().props('aria-label="Paste a chat as JSON"') as dialog, ui.card().classes("dialog"):
            ui.html("Paste a chat as JSON", tag="h2")
            ui.html('An OpenAI-style request with "messages", or a plain list of role and content.', tag="p").classes(
                "soft"
            )
            field = ui.textarea().props("outlined rows=8 spellcheck=false aria-label=JSON data-testid=chat-json-text")
            with ui.element("div").classes("actions"):
                take = ui.button("Use this chat", color=None).classes("go")
                take.props("unelevated no-caps data-testid=chat-json-take")
                ui.button("Close", on_click=dialog.close, color=None).props("flat no-caps").classes("quiet")
        take.on_click(lambda: self.read_json(field.value or "") and dialog.close())
        dialog.on("hide", dialog.delete)
        dialog.open()
