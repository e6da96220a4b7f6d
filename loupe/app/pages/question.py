"""The question as it stands: a text or a chat, read by which pair, how thoroughly, after a reply or not, and where."""

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui

from loupe.app.pages.chat_input import ChatInput
from loupe.app.pages.controls import SchemaForm, Segmented, on_enter
from loupe.app.pages.model_choice import ModelChoice
from loupe.app.services.chats import looks_like_chat
from loupe.app.services.options import AnalysisOptions, Message, ReplyOptions
from loupe.app.workspace import Workspace

FORM = "role=dialog"  # what a menu holds here are fields, no commands
EXAMPLE = "Ada stood in the kitchen with a red lantern, and Tom stood beside Ada."
THOROUGHLY = (
    *("best_of", "temperature", "top_p", "seed", "max_new_tokens", "salience", "logit_lens_k", "next_token_k"),
    "kl",
)
REPLY = ("max_new_tokens", "temperature", "top_p", "seed")
POSITIONS = {"all": "all tokens", "last_turn": "last turn", "reply": "the reply", "chosen": "choose on the text …"}
LABELS = {"last_turn": "Explain the last turn", "reply": "Explain the reply"}


class QuestionForm:
    """The controls of a question; placed in parts, so that buttons may stand between them.

    `on_change()` is called after every edit, `on_start()` by Ctrl Enter, `on_range()` when positions are to be chosen
    on the text and none are.
    """

    def __init__(
        self,
        workspace: Workspace,
        on_change: Callable[[], Any],
        on_start: Callable[[], Any],
        on_range: Callable[[], Any],
    ) -> None:
        self.workspace = workspace
        self._on_change, self._on_start, self._on_range = on_change, on_start, on_range
        self._chosen: range | None = None
        self._chosen_for: dict[str, Any] = {}
        self._fallback: dict[str, Any] | None = None

    # the controls

    def place_input(self) -> None:
        """Text or chat, the pair, and the field."""
        with ui.element("div").classes("ask-head"):
            self.mode = Segmented(
                {"text": "Text", "chat": "Chat"}, "text", self._switch, label="Kind of input", testid="input"
            )
            self.model = ModelChoice(self.workspace, self._edited)
        limit = self.workspace.settings.max_text_chars
        self.text = ui.textarea(placeholder=EXAMPLE).props("outlined autogrow rows=2 data-testid=text data-search")
        self.text.props(f'maxlength={limit} aria-label="Text to analyse" spellcheck=false debounce=200')
        self.text.on_value_change(self._text_edited)
        on_enter(self.text, self._on_start)
        self.offer = ui.button("This looks like a chat. Read it as one", icon="forum", color=None).classes("quiet")
        self.offer.props("flat no-caps dense data-testid=read-as-chat").on_click(self._read_as_chat)
        self.chat = ChatInput(limit, self._edited, self._on_start)
        self._show_mode("text")

    def place_options(self) -> None:
        """How thoroughly, behind a button."""
        self._options = ui.button("Options", icon="tune", color=None).classes("quiet")
        self._options.props("flat no-caps dense data-testid=options")
        settings = self.workspace.settings
        limits = {"best_of": settings.max_best_of, "max_new_tokens": settings.max_new_tokens}
        with self._options, ui.menu().props(f'{FORM} aria-label="Options"'), ui.element("div").classes("options two"):
            self.how = SchemaForm(AnalysisOptions, THOROUGHLY, limits=limits, on_change=self._options_edited)

    def place_choices(self) -> None:
        """A reply first or not, and which positions."""
        self.wants_reply = ui.checkbox("Let the model reply first", value=False)
        self.wants_reply.props("dense data-testid=reply").on_value_change(lambda _: self._reply_switched())
        self._reply_menu = ui.button(icon="tune", color=None).classes("icon")
        self._reply_menu.props('flat round dense aria-label="Options of the reply" data-testid=reply-options')
        with (
            self._reply_menu,
            ui.menu().props(f'{FORM} aria-label="Options of the reply"'),
            ui.element("div").classes("options"),
        ):
            most = {"max_new_tokens": self.workspace.settings.max_reply_tokens}
            self.how_reply = SchemaForm(ReplyOptions, REPLY, limits=most, prefix="reply-", on_change=self._edited)
        self._reply_menu.visible = False
        self.positions = ui.select(POSITIONS, value="all", label="Positions", on_change=self._positions_chosen)
        self.positions.props("dense outlined options-dense data-testid=positions")

    # what is asked

    def question(self) -> dict[str, Any]:
        """The input as it stands, without positions and options."""
        if self.mode.value == "chat":
            messages, prefill = self.chat.split()
            return {"messages": messages} | ({"prefill": prefill} if prefill is not None else {})
        if written := self.written:
            return {"text": written}
        return dict(self._fallback) if self._fallback and self.wants_range else {"text": EXAMPLE}

    def options(self) -> dict[str, Any]:
        """Everything that would be asked now."""
        asked: dict[str, Any] = self.question() | self.model.values() | self.how.values()
        if self.wants_reply.value:
            asked["reply"] = self.how_reply.values()
        if self.wants_range and self._chosen:
            asked["positions"] = f"{self._chosen.start}-{self._chosen.stop - 1}"
        elif self.positions.value in ("last_turn", "reply"):
            asked["positions"] = self.positions.value
        return asked

    def label(self) -> str:
        """What pressing the button would do."""
        count = len(self._chosen) if self.wants_range and self._chosen else None
        plural = "token" if count == 1 else "tokens"
        what = LABELS.get(str(self.positions.value), "Explain every token")
        said = f"Explain {count} {plural}" if count else what
        return f"Reply, then {said[0].lower()}{said[1:]}" if self.wants_reply.value else said

    def expected_positions(self) -> float:
        """About how many tokens would be explained."""
        if self.wants_range and self._chosen:
            return len(self._chosen)
        asked = self.question()
        chat = [one["content"] for one in asked.get("messages") or ()]
        texts = [asked.get("text") or "", *chat, asked.get("prefill") or ""]
        return max(1.0, sum(map(len, texts)) / 4.5)

    @property
    def written(self) -> str:
        """The text in the field."""
        return (self.text.value or "").strip("\n")

    @property
    def is_empty(self) -> bool:
        """Whether an empty field stands for the run that is shown."""
        return self.mode.value == "text" and not self.written

    @property
    def chosen(self) -> range | None:
        """The range that was chosen on the text, as long as it is of this text."""
        return self._chosen

    @property
    def wants_range(self) -> bool:
        """Whether positions are chosen on the text."""
        return self.positions.value == "chosen"

    # what is shown

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

    def stand_for(self, question: dict[str, Any] | None) -> None:
        """What an empty field asks about when positions are chosen: the run that is shown."""
        self._fallback = question

    @property
    def stands_for_a_run(self) -> bool:
        """Whether an empty field has a run to stand for."""
        return self._fallback is not None

    def choose(self, positions: range | None) -> None:
        """Take over the range that was chosen on the text."""
        self._chosen = positions
        where = f"{positions.start} to {positions.stop - 1}" if positions else POSITIONS["chosen"]
        self.positions.set_options(POSITIONS | {"chosen": where}, value=self.positions.value)
        if positions:
            self.positions.set_value("chosen")
        elif self.wants_range:
            self.positions.set_value("all")
        self._chosen_for = self.question()
        self._edited()

    # what follows from what

    def _edited(self) -> None:
        if self._chosen and self.question() != self._chosen_for:
            self._chosen = None
            self.positions.set_value("all")
        own = self.how.values()
        names = ", ".join(str(AnalysisOptions.model_fields[name].title).lower() for name in own)
        self._options.set_text(f"Options · {len(own)} changed" if own else "Options")
        self._options.props["title"] = f"Not as usual: {names}" if own else ""
        self._on_change()

    def _switch(self, mode: str) -> None:
        if mode == "chat" and self.text.value and not self.chat.messages:
            self.chat.fill((Message(role="user", content=self.text.value),))
        self._show_mode(mode)
        self._edited()

    def _show_mode(self, mode: str) -> None:
        self.mode.set(mode)
        self.text.visible = mode == "text"
        self.chat.box.visible = mode == "chat"
        self._offer_chat()

    def _offer_chat(self) -> None:
        self.offer.visible = self.mode.value == "text" and looks_like_chat(self.text.value or "")

    def _text_edited(self) -> None:
        self._offer_chat()
        self._edited()

    def _read_as_chat(self) -> None:
        if self.chat.read_json(self.text.value or ""):
            self.text.value = ""
        self._show_mode("chat")  # where it also says what could not be read

    def _reply_switched(self) -> None:
        self._reply_menu.visible = bool(self.wants_reply.value)
        if not self.wants_reply.value and self.positions.value == "reply":
            self.positions.set_value("all")
        self._edited()

    async def _positions_chosen(self) -> None:
        if self.wants_range and not self._chosen:
            await self._on_range()
        self._edited()

    def _options_edited(self) -> None:
        best_of, temperature = self.how.controls["best_of"], self.how.controls["temperature"]
        if (best_of.value or 1) > 1 and not temperature.value:
            temperature.set_value(1.0)  # greedy rollouts are all the same
            return
        self._edited()
