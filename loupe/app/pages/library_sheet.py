"""What the pages of single things of the library are laid out with: a head, panels, lists of parts."""

from collections.abc import Mapping

from nicegui import ui

from loupe.app.pages.library_html import chip, text
from loupe.app.pages.links import link


def head_html(noun: str, name: str, state: str) -> str:
    """The way back, what kind of thing it is, its name and its state."""
    return (
        f'<a href="{link("/library")}">Library</a> <span class="soft">{noun}</span>'
        f'<h1 class="lede">{text(name)} {chip(state, state)}</h1>'
    )


def parts_html(parts: Mapping[str, str]) -> str:
    """Folders by their role, each a link; what is not there is left out."""
    rows = "".join(
        f'<dt>{role}</dt><dd><a href="{link(f"/library/models/{id}")}">{text(id)}</a></dd>'
        for role, id in parts.items()
        if id
    )
    return f'<dl class="known">{rows}</dl>'


def panel(title: str, testid: str) -> ui.element:
    """A panel with a heading; what belongs into it goes into the block."""
    place = ui.element("section").classes("panel pad stack").props(f'aria-label="{title}" data-testid={testid}')
    with place:
        ui.html(title, tag="h2", sanitize=False)
    return place
