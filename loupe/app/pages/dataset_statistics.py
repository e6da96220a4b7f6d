"""What was counted while a dataset was made or cut, as markup: numbers, and how long its documents and rows are."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from loupe.app.pages.numbers import show

SPREADS = {
    "characters_per_document": ("Characters of a document", "documents"),
    "tokens_per_document": ("Tokens of a document", "documents"),
    "tokens_per_row": ("Tokens of a row", "rows"),
}
WIDTH = 120


def statistics_html(statistics: Mapping[str, Any]) -> str:
    """The counts in one line, and a histogram for every length that was counted."""
    facts = "".join(
        f"<span>{html.escape(name.replace('_', ' '))} <b class=num>{_told(value)}</b></span>"
        for name, value in statistics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    )
    spreads = "".join(
        _spread(*SPREADS[name], statistics[name]) for name in SPREADS if statistics.get(name, {}).get("histogram")
    )
    lengths = f'<div class="lengths">{spreads}</div>' if spreads else ""
    return f'<div class="fit-facts">{facts}</div>{lengths}' if facts or lengths else ""


def _told(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else show(value)


def _spread(title: str, counted: str, spread: Mapping[str, Any]) -> str:
    middle = f"{_told(spread['min'])} to {_told(spread['max'])}, half of them up to {spread['median']:,.0f}"
    return (
        f'<table class="plain-table" data-testid="lengths"><caption>{title}: '
        f"<span class=num>{middle}</span></caption><tbody>{_bars(spread['histogram'], counted)}</tbody></table>"
    )


def _bars(histogram: Sequence[Sequence[int]], counted: str) -> str:
    most = max(count for _, _, count in histogram)
    return "".join(
        f'<tr><th class="num">{low:,} to {high:,}</th><td><i class="bar" '
        f'style="width:{max(1, WIDTH * count // most)}px"></i></td><td class="num">{count:,} {counted}</td></tr>'
        for low, high, count in histogram
    )
