"""A sheet: the dialog that asks for something, says what is wrong with it, and goes once it is done.

with Sheet("A new NLA pair", is_broad=True) as sheet:
    name = field("Name", "pair-name")
    sheet.end("Keep it", keep, "pair")     # pair-go, pair-close; `keep` returns what to say
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from nicegui import ui

from loupe.app.pages.refusals import REFUSALS, refusal_html

Say = Callable[[str], Awaitable[Any]]
PROBLEM = "add-problem"


class Sheet:
    """An open dialog; it deletes itself when it is closed."""

    def __init__(self, title: str, *, is_broad: bool = False) -> None:
        self.dialog = ui.dialog()
        self.dialog.props["aria-label"] = title
        with self.dialog:
            self._box = ui.element("div").classes("sheet panel" + (" broad" if is_broad else ""))
        with self._box:
            ui.html(title, tag="h2", sanitize=False)
        self.dialog.on("hide", self.dialog.delete)

    def __enter__(self) -> Self:
        self._box.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._box.__exit__(*_)
        self.dialog.open()

    def place(self) -> ui.html:
        """Where results and refusals are told."""
        self.shown = ui.html("", sanitize=False)
        return self.shown

    async def attempt(self, act: Callable[[], Awaitable[Any]]) -> Any:
        """What `act` returns; None, with the reason told, when it is refused."""
        try:
            return await act()
        except REFUSALS as error:
            self.shown.set_content(refusal_html(error, PROBLEM))
            return None

    def end(self, label: str, act: Callable[[], Awaitable[str]], testid: str, say: Say) -> None:
        """The buttons: `act` does it and returns what to say; refusals are told on the sheet."""

        async def go() -> None:
            said = await self.attempt(act)
            if said is not None:
                self.dialog.close()
                await say(said)

        text_button(label, go, "go", f"{testid}-go")
        text_button("Close", self.dialog.close, "quiet", f"{testid}-close")


def field(label: str, testid: str, value: str = "") -> ui.input:
    """A line of text."""
    return ui.input(label, value=value).props(f"outlined dense data-testid={testid}")


def choice(options: Mapping[Any, str], label: str, testid: str, value: Any = None) -> ui.select:
    """One of a few; the first unless a value is given."""
    chosen = value if value is not None else next(iter(options), None)
    select = ui.select(dict(options), value=chosen, label=label)
    return select.props(f"outlined dense options-dense data-testid={testid}")


def choices(options: Mapping[str, str], label: str, testid: str) -> ui.select:
    """Any number of them."""
    select = ui.select(dict(options), label=label, multiple=True, value=[])
    return select.props(f"outlined dense options-dense use-chips data-testid={testid}")


def text_button(label: str, on_click: Callable[[], Any], look: str, testid: str) -> ui.button:
    """A button in one of the app's own looks."""
    button = ui.button(label, on_click=on_click, color=None).classes(look)
    return button.props(f"flat no-caps data-testid={testid}")
