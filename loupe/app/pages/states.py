"""Four looks that must never be mistaken for each other: empty, stale, failed, partial.

Empty offers something to begin with (dashed edge). Stale is greyed and says what changed. Failed is red, names the
cause and stays (solid bar). Partial is hatched and counts. Each also says its name, so that none rests on colour.
"""

import html
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from nicegui import ui

from loupe.app.pages.links import link
from loupe.app.pages.numbers import show


class Way(NamedTuple):
    """A way on: what it is called, where it leads, and what is there."""

    name: str
    href: str
    about: str = ""


def empty(title: str, sentence: str, ways: Sequence[Way] = ()) -> ui.html:
    """Nothing is here yet; says how something comes here."""
    return _place("empty", empty_html(title, sentence, ways))


def stale(changed: str) -> ui.html:
    """What stands below was made under other circumstances; `changed` says which, such as "strength 0.5 → 0.8"."""
    return _place("stale", stale_html(changed))


def failed(problem: dict[str, Any], retry: Callable[[], Any] | None = None, ways: Sequence[Way] = ()) -> ui.html:
    """Something went wrong; `problem` is as `errors.describe` gives it, `ways` lead on from there."""
    placed = _place("failed", failed_html(problem) + _ways_html(ways))
    if retry is not None:
        again = ui.button("Try again", on_click=retry, color=None).classes("quiet")
        again.props("flat no-caps dense data-testid=state-retry")
    return placed


def partial(done: int, total: int, noun: str, why: str = "") -> ui.html:
    """Only a part is here: `done` of `total` of the noun."""
    return _place("partial", partial_html(done, total, noun, why))


def empty_html(title: str, sentence: str, ways: Sequence[Way] = ()) -> str:
    """The empty look as markup."""
    said = f"<p>{html.escape(sentence)}</p>" if sentence else ""
    return f"<h2>{html.escape(title)}</h2>{said}{_ways_html(ways)}"


def stale_html(changed: str) -> str:
    """The stale look as markup."""
    return f"<b>Out of date.</b> Changed since: {html.escape(changed)}"


def failed_html(problem: dict[str, Any]) -> str:
    """The failed look as markup."""
    sentence = (problem.get("details") or {}).get("sentence", "") or "It failed."
    return f"<b>{html.escape(sentence)}</b> {html.escape(str(problem.get('message', '')))}"


def partial_html(done: int, total: int, noun: str, why: str = "") -> str:
    """The partial look as markup: a hatched bar and the count."""
    share = done / total * 100 if total else 0
    reason = f" {html.escape(why)}" if why else ""
    return (
        f'<span class="hatch" aria-hidden="true"><i style="width:{show(share)}%"></i></span>'
        f'<span class="num"><b>{done:,} / {total:,}</b> {html.escape(noun)}.{reason}</span>'
    )


def _ways_html(ways: Sequence[Way]) -> str:
    links = "".join(
        f'<li><a href="{link(way.href)}">{html.escape(way.name)}</a>'
        f"{f'<span>{html.escape(way.about)}</span>' if way.about else ''}</li>"
        for way in ways
    )
    return f"<ul>{links}</ul>" if links else ""


def _place(look: str, markup: str) -> ui.html:
    role = "alert" if look == "failed" else "status"
    return ui.html(markup, sanitize=False).classes(f"look {look}").props(f"role={role} data-testid=state-{look}")
