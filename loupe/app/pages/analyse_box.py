"""The box for one's own question: a text or a chat, a reply first or not, which positions, how thoroughly."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import ui

from loupe.app.pages.chat_input import FIRST, ChatInput
from loupe.app.pages.controls import SchemaForm, Segmented, on_enter
from loupe.app.pages.frame import problem_html, told
from loupe.app.pages.model_choice import ModelChoice
from loupe.app.pages.numbers import seconds
from loupe.app.pages.progress import ended_html, progress_html, reply_html
from loupe.app.pages.run_actions import cancel
from loupe.app.services.chats import looks_like_chat
from loupe.app.services.live import LiveRun
from loupe.app.services.options import AnalysisOptions, Message, ReplyOptions
from loupe.app.workspace import Workspace

EXAMPLE = "Once upon a time there was a small fox who had lost her lantern in the forest."
THOROUGHLY = (
    *("best_of", "temperature", "top_p", "seed", "max_new_tokens", "salience", "logit_lens_k", "next_token_k"),
    "kl",
)
REPLY = ("max_new_tokens", "temperature", "top_p", "seed")
POSITIONS = {"all": "all tokens", "last_turn": "last turn", "reply": "the reply", "chosen": "choose on the text …"}
NAMES = {"text": "the text", "messages": "the chat", "prefill": "the begun answer", "best_of": "rollouts"}


class AnalyseBox:
    """The question: `on_start(options)` asks it, `on_preview(options)` cuts it, `on_edit(changed)` follows it."""

    def __init__(
        self,
        workspace: Workspace,
        on_start: Callable[[dict[str, Any]], Awaitable[None]],
        on_preview: Callable[[dict[str, Any]], Awaitable[None]],
        on_edit: Callable[[list[str]], None] = lambda _: None,
    ) -> None:
        self.workspace = workspace
        self._on_start, self._on_preview, self._on_edit = on_start, on_preview, on_edit
        self._live: LiveRun | None = None
        self._chosen: range | None = None
        self._chosen_for: dict[str, Any] = {}
        self._answered: dict[str, Any] | None = None
        self._fallback: dict[str, Any] | None = None
        panel = ui.element("section").classes("panel box").props('aria-label="Ask" data-testid=ask')
        with panel, ui.element("div").classes("body stack"):
            self._place_head()
            self._place_input()
            with ui.element("div").classes("actions"):
                self._place_buttons()
                ui.space()
                self._place_choices()
            self.reply = ui.html("", sanitize=False).props("data-testid=reply-text")
            self.progress = ui.html("", sanitize=False).props("data-testid=progress")
            self.said = ui.html("", sanitize=False).props("role=status aria-live=polite data-testid=said")
            self.problem = ui.html("", sanitize=False).props("role=alert data-testid=box-problem")
        self._show_mode("text")

    # what it is made of

    def _place_head(self) -> None:
        with ui.element("div").classes("ask-head"):
            self.mode = Segmented(
                {"text": "Text", "chat": "Chat"}, "text", self._switch, label="Kind of input", testid="input"
            )
            self.model = ModelChoice(self.workspace, self._edited)

    def _place_input(self) -> None:
        limit = self.workspace.settings.max_text_chars
        self.text = ui.textarea(placeholder=EXAMPLE).props("outlined autogrow rows=2 data-testid=text data-search")
        self.text.props(f'maxlength={limit} aria-label="Text to analyse" spellcheck=false debounce=200')
        self.text.on_value_change(self._text_edited)
        on_enter(self.text, self.start)
        self.offer = ui.button("This looks like a chat. Read it as one", icon="forum", color=None).classes("quiet")
        self.offer.props("flat no-caps dense data-testid=read-as-chat").on_click(self._read_as_chat)
        self.offer.visible = False
        self.chat = ChatInput(limit, self._edited, self.start)

    def _place_choices(self) -> None:
        self.wants_reply = ui.checkbox("Let the model reply first", value=False)
        self.wants_reply.props("dense data-testid=reply").on_value_change(lambda _: self._reply_switched())
        self._reply_menu = ui.button(icon="tune", color=None).classes("icon")
        self._reply_menu.props('flat round dense aria-label="Options of the reply" data-testid=reply-options')
        with self._reply_menu, ui.menu(), ui.element("div").classes("options"):
            most = {"max_new_tokens": self.workspace.settings.max_reply_tokens}
            self.how_reply = SchemaForm(ReplyOptions, REPLY, limits=most, prefix="reply-", on_change=self._edited)
        self._reply_menu.visible = False
        self.positions = ui.select(POSITIONS, value="all", label="Positions", on_change=self._positions_chosen)
        self.positions.props("dense outlined options-dense data-testid=positions")

    def _place_buttons(self) -> None:
        self.go = ui.button("Explain every token", on_click=self.start, color=None).classes("go")
        self.go.props("unelevated no-caps data-testid=explain data-key=e")
        self.stop = ui.button("Cancel", on_click=self._cancel, color=None).classes("quiet")
        self.stop.props("flat no-caps data-testid=cancel").visible = False
        self._options = ui.button("Options", icon="tune", color=None).classes("quiet")
        self._options.props("flat no-caps dense data-testid=options")
        settings = self.workspace.settings
        limits = {"best_of": settings.max_best_of, "max_new_tokens": settings.max_new_tokens}
        with self._options, ui.menu(), ui.element("div").classes("options two"):
            self.how = SchemaForm(AnalysisOptions, THOROUGHLY, limits=limits, on_change=self._options_edited)
        self.cost = ui.html("", sanitize=False).classes("soft num small").props("data-testid=estimate")

    # what is asked

    def question(self) -> dict[str, Any]:
        """The input as it stands, without positions and options."""
        if self.mode.value == "chat":
            messages, prefill = self.chat.split()
            return {"messages": messages} | ({"prefill": prefill} if prefill is not None else {})
        written = (self.text.value or "").strip("\n")
        if written:
            return {"text": written}
        return dict(self._fallback) if self._fallback and self._wants_range else {"text": EXAMPLE}

    def options(self) -> dict[str, Any]:
        """Everything that would be asked now."""
        asked: dict[str, Any] = self.question() | self.model.values() | self.how.values()
        if self.wants_reply.value:
            asked["reply"] = self.how_reply.values()
        if self._wants_range and self._chosen:
            asked["positions"] = f"{self._chosen.start}-{self._chosen.stop - 1}"
        elif self.positions.value in ("last_turn", "reply"):
            asked["positions"] = self.positions.value
        return asked

    def fill(self, request: Mapping[str, Any]) -> None:
        """Show the question that a kept run answered, so that it can be changed and asked again."""
        asked = {name: value for name, value in request.items() if value is not None}
        self._show_mode("chat" if asked.get("messages") else "text")
        self.text.value = asked.get("text", "")
        if asked.get("messages"):
            messages = [Message.model_validate(one) for one in asked["messages"]]
            begun = asked.get("prefill")
            more = [Message(role="assistant", content=begun)] if begun is not None else []
            self.chat.fill([*messages, *more], open_end=begun is not None)
        self.model.fill(asked)
        self.how.fill(asked)
        self.wants_reply.value = "reply" in asked
        self.how_reply.fill(asked.get("reply") or {})
        self._answered = self.options()
        self._edited()

    def stand_for(self, question: dict[str, Any]) -> None:
        """What an empty box asks about: the run that is shown."""
        self._fallback = question

    @property
    def chosen(self) -> range | None:
        """The range that was chosen on the text, as long as it is of this text."""
        return self._chosen

    @property
    def _wants_range(self) -> bool:
        return self.positions.value == "chosen"

    def choose(self, positions: range | None) -> None:
        """Take over the range that was chosen on the text."""
        self._chosen = positions
        where = f"{positions.start} to {positions.stop - 1}" if positions else POSITIONS["chosen"]
        self.positions.set_options(POSITIONS | {"chosen": where}, value=self.positions.value)
        if positions:
            self.positions.set_value("chosen")
        elif self._wants_range:
            self.positions.set_value("all")
        self._chosen_for = self.question()
        self._edited()

    async def start(self) -> None:
        """Ask."""
        if self._live is not None and self._live.busy:
            return
        await self._try(self._on_start)

    async def _preview(self) -> None:
        await self._try(self._on_preview)

    async def _try(self, act: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.problem.set_content("")
        try:
            await act(self.options())
        except Exception as error:
            self._tell(told(error))

    async def _cancel(self) -> None:
        if self._live is None or not self._live.busy:
            return
        self.stop.disable()
        try:
            await cancel(self.workspace, self._live.id)
        finally:
            self.stop.enable()

    # how it goes

    def follow(self, live: LiveRun) -> None:
        """Show this run's progress from now on."""
        self._live = live
        self.problem.set_content("")
        self._answered = self.options()
        self.said.set_content('<span class="sr">Started.</span>')
        self.update(live)

    def update(self, live: LiveRun) -> None:
        """Progress, time left, the reply as it is written, and which buttons make sense."""
        self.go.set_enabled(not live.busy)
        self.stop.visible = live.busy
        self.stop.enable()
        writing = live.busy and live.options.reply is not None and not live.tokens
        stopped = bool(live.reply) and not live.tokens and not live.busy
        self.reply.set_content(reply_html(live.reply, writing=writing) if writing or stopped else "")
        if live.busy:
            self.progress.set_content(progress_html(live, self.workspace.analyses.ahead_of(live)))
            return
        self.progress.set_content("")
        self.said.set_content(ended_html(live))
        if live.error:
            self._tell(live.error)
        self._edited()

    def _tell(self, problem: dict[str, Any]) -> None:
        self.problem.set_content(f'<div class="look failed">{problem_html(problem)}</div>')

    # what follows from what

    def _switch(self, mode: str) -> None:
        if mode == "chat" and self.text.value and not self.chat.messages:
            self.chat.fill((Message(role="user", content=self.text.value),))
        self._show_mode(mode)
        self._edited()

    def _show_mode(self, mode: str) -> None:
        self.mode.set(mode)
        self.text.visible = mode == "text"
        self.chat.box.visible = mode == "chat"
        self.offer.visible = mode == "text" and looks_like_chat(self.text.value or "")

    def _text_edited(self) -> None:
        self.offer.visible = self.mode.value == "text" and looks_like_chat(self.text.value or "")
        self._edited()

    def _read_as_chat(self) -> None:
        if self.chat.read_json(self.text.value or ""):
            self.text.value = ""
            self._show_mode("chat")
        else:
            self._tell({"message": "It is no chat that can be read; the Chat view says why.", "details": {}})
            self.chat.fill(FIRST)

    def _reply_switched(self) -> None:
        self._reply_menu.visible = bool(self.wants_reply.value)
        if not self.wants_reply.value and self.positions.value == "reply":
            self.positions.set_value("all")
        self._edited()

    async def _positions_chosen(self) -> None:
        if self._wants_range and not self._chosen and not self._shows_question():
            await self._preview()
        elif self._wants_range and not self._chosen:
            self.said.set_content(
                '<span class="soft">Drag over tokens below, or click one and Shift-click another.</span>'
            )
        self._edited()

    def _shows_question(self) -> bool:
        """Whether the tokens below are those of the question as it stands."""
        if not (self.text.value or "").strip("\n") and self.mode.value == "text":
            return self._fallback is not None
        shown = self._answered or {}
        return all(shown.get(name) == value for name, value in self.question().items())

    def _options_edited(self) -> None:
        best_of, temperature = self.how.controls["best_of"], self.how.controls["temperature"]
        if (best_of.value or 1) > 1 and not temperature.value:
            temperature.set_value(1.0)  # greedy rollouts are all the same
            return
        self._edited()

    def _edited(self) -> None:
        if self._chosen and self.question() != self._chosen_for:
            self._chosen = None
            self.positions.set_value("all")
        asked = self.options()
        self._label(asked)
        changed = self._changed(asked)
        self._on_edit([] if self._live is not None and self._live.busy else changed)
        own = self.how.values()
        names = ", ".join(str(AnalysisOptions.model_fields[name].title).lower() for name in own)
        self._options.set_text(f"Options · {len(own)} changed" if own else "Options")
        self._options.props["title"] = f"Not as usual: {names}" if own else ""

    def _label(self, asked: dict[str, Any]) -> None:
        count = len(self._chosen) if self._wants_range and self._chosen else None
        plural = "token" if count == 1 else "tokens"
        texts = {"last_turn": "Explain the last turn", "reply": "Explain the reply"}
        label = f"Explain {count} {plural}" if count else texts.get(str(self.positions.value), "Explain every token")
        self.go.set_text(("Reply, then " + label[0].lower() + label[1:]) if self.wants_reply.value else label)
        known = self.workspace.analyses.seconds_per_position(asked.get("best_of", 1))
        length = count or sum(len(text) for text in _texts(asked)) / 4.5
        self.cost.set_content(f"takes about {seconds(known * max(1, length))}" if known is not None else "")

    def _changed(self, asked: dict[str, Any]) -> list[str]:
        if self._answered is None:
            return []
        before = self._answered
        names = [name for name in {**before, **asked} if before.get(name) != asked.get(name)]
        return [NAMES.get(name, name.replace("_", " ")) for name in names if name != "positions"]


def _texts(asked: dict[str, Any]) -> list[str]:
    chat = [one["content"] for one in asked.get("messages") or ()]
    return [asked.get("text") or "", *chat, asked.get("prefill") or ""]
