"""The frame every page stands in: navigation, what the device does, theme, keys, and the place for errors.

    with frame(workspace, "training", title="Training"):
        ...                                # inside <main>

`active` is the noun the page belongs to. When the block ends, the page is marked ready
(`document.body.dataset.ready`), and errors of its handlers are told in the error panel from then on.
"""

import html
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import app, ui
from pydantic import ValidationError

from loupe.app.errors import AppError, answer_for, describe
from loupe.app.pages.device_chip import device_chip
from loupe.app.pages.keyboard import key_map
from loupe.app.pages.links import link
from loupe.app.pages.run_actions import named, visitor
from loupe.app.pages.theme import ASSETS_URL
from loupe.app.workspace import Workspace
from loupe.engine.errors import LoupeError
from loupe.storage.errors import StorageError

log = logging.getLogger(__name__)

NOUNS = (
    ("analysis", "Analysis", "/"),
    ("history", "History", "/history"),
    ("training", "Training", "/training"),
    ("features", "Features", "/features"),
    ("steering", "Steering", "/steering"),
    ("library", "Library", "/library"),
    ("system", "System", "/system"),
)


class Problem:
    """The error panel: says what went wrong and what to do, and stays until it is closed or cleared."""

    def __init__(self) -> None:
        self._retry: Callable[[], Any] | None = None
        self.box = ui.element("div").classes("error-panel").props("role=alert data-testid=error-panel")
        with self.box:
            self._said = ui.html("", sanitize=False).classes("said")
            self._again = ui.button("Try again", on_click=self._try_again, color=None).classes("quiet")
            self._again.props("flat no-caps dense data-testid=error-retry")
            shut = ui.button(icon="close", on_click=self.clear, color=None).classes("icon")
            shut.props('flat round dense aria-label="Close this message" data-testid=error-close')
        self.box.visible = False

    def show(self, error: Exception | dict[str, Any], retry: Callable[[], Any] | None = None) -> None:
        """Tell an error: an exception, or one already described. `retry` offers to do it again."""
        problem = error if isinstance(error, dict) else told(error)
        self._retry = retry
        self._again.visible = retry is not None
        self._said.set_content(problem_html(problem))
        self.box.visible = True

    def clear(self) -> None:
        """Take the message away."""
        self.box.visible = False
        self._retry = None

    async def _try_again(self) -> None:
        retry = self._retry
        self.clear()
        result = retry() if retry else None
        if inspect.isawaitable(result):
            await result


def told(error: Exception) -> dict[str, Any]:
    """An exception as people are told it; one nobody foresaw is logged."""
    if isinstance(error, ValidationError):
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'input'}: {e['msg']}" for e in error.errors())
        return {"code": "bad_option", "message": said, "details": {"sentence": "The options do not fit."}}
    if not isinstance(error, AppError | LoupeError | StorageError) or answer_for(error).status >= 500:
        log.error("a page could not do what was asked", exc_info=error)
    return describe(error)


def problem_html(problem: dict[str, Any]) -> str:
    """A described error: its sentence, then its message; both escaped."""
    sentence = (problem.get("details") or {}).get("sentence", "")
    return f"<b>{html.escape(sentence)}</b> {html.escape(problem['message'])}"


@contextmanager
def frame(workspace: Workspace, active: str, title: str = "", *, layout: str = "") -> Iterator[Problem]:
    """Draw the frame; the page goes into the block. Yields the error panel."""
    ui.page_title(f"{title} · Loupe" if title else "Loupe")
    ui.context.client.on_connect(workspace.warm_up.hasten)
    dark = ui.dark_mode(app.storage.user.get("dark", True))
    ui.query("body").classes("loupe")
    with ui.header(wrap=False).classes("topbar", remove="nicegui-header"):
        ui.html(_brand_html(), sanitize=False)
        ui.html(_navigation_html(active), sanitize=False).classes("nav-holder")
        device_chip(workspace)
        if name := visitor():
            ui.html(_person_html(name), sanitize=False)
        _buttons(dark)
    key_map(active)
    problem = Problem()
    ui.on_exception(problem.show)
    main = ui.element("div").classes(f"page {layout}".strip())  # Quasar's own page is the <main> around it
    ui.skip_link(target=main).props("data-testid=skip")
    with main:
        yield problem
    ui.run_javascript("document.body.dataset.ready = 'true'")


def _brand_html() -> str:
    return (
        f'<a class="brand" href="{link("/")}" data-testid="home" aria-label="Loupe, home">'
        f'<img src="{link(ASSETS_URL + "/icons/loupe.svg")}" alt="" width="26" height="26">Loupe</a>'
    )


def _navigation_html(active: str) -> str:
    links = "".join(
        f'<a href="{link(path)}" data-testid="nav-{noun}"{_current(noun == active)}>{name}</a>'
        for noun, name, path in NOUNS
    )
    return f'<nav class="nouns" aria-label="Main">{links}</nav>'


def _person_html(name: str) -> str:
    return (
        f'<form class="person" method="post" action="{link("/sign-out")}">'
        f'<span data-testid="person">{named(name)}</span>'
        '<button class="link" data-testid="sign-out">Sign out</button></form>'
    )


def _current(is_here: bool) -> str:
    return ' aria-current="page"' if is_here else ""


def _buttons(dark: ui.dark_mode) -> None:
    def switch() -> None:
        dark.value = not dark.value
        app.storage.user["dark"] = bool(dark.value)

    keys = ui.button(icon="keyboard", color=None).classes("icon")
    keys.props('flat round dense aria-label="Keyboard map" data-testid=keys-open')
    keys.on("click", js_handler="() => loupe.keys.toggle()")
    theme = ui.button(icon="contrast", on_click=switch, color=None).classes("icon")
    theme.props('flat round dense aria-label="Switch between dark and light" data-testid=theme')
