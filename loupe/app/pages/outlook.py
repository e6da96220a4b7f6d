"""A page whose tools are not built yet: what it will do, and what of it can be done today."""

import html
from collections.abc import Sequence

from nicegui import ui

from loupe.app.pages.states import Way, empty_html


def outlook(title: str, lede: str, coming: Sequence[tuple[str, str]], today: Sequence[Way]) -> None:
    """Place the page. `coming` are names and sentences; `today` leads to what works already."""
    rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in coming)
    with ui.element("div").classes("outlook"):
        ui.html(html.escape(title), sanitize=False, tag="h1").classes("lede")
        ui.html(html.escape(lede), sanitize=False, tag="p").classes("lede-sub")
        panel = ui.element("section").classes("panel").props('aria-label="What will be here"')
        with panel:
            ui.html(f'<div class="overline">What will be here</div><dl>{rows}</dl>', sanitize=False).classes("body")
        works = ui.html(empty_html("What works today", "", today), sanitize=False).classes("look empty")
        works.props("data-testid=works-today")
