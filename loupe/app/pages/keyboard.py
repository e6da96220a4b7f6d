"""The keys of the app, in one table that the `?` dialog shows. The script listens; single keys can be switched off."""

import html

from nicegui import ui

EVERYWHERE = (
    ("?", "show or hide this map"),
    ("g then a, h, t, f, s, l, y", "go to Analysis, History, Training, Features, Steering, Library, System"),
    ("/", "to the search or text field"),
    ("Tab or Shift Tab", "to the next, previous control"),
    ("Esc", "close, or let go"),
)
PAGES = {
    "analysis": (
        ("← → ↑ ↓", "walk the explained tokens"),
        ("Home or End", "first, last explained token"),
        ("Enter or Space", "keep or let go the token in focus"),
        ("Shift with arrows", "choose a range of positions"),
        ("e", "explain the chosen positions"),
        ("v", "next view: text, table, transposed"),
        ("o", "lines of the explanation by salience or as written"),
        ("Ctrl Enter", "start, from the text field"),
    ),
}


def key_map(active: str) -> None:
    """The dialog, closed. A native one: it keeps the focus inside and gives it back."""
    ui.html(_dialog_html(active), sanitize=False)


def _dialog_html(active: str) -> str:
    here = PAGES.get(active, ())
    tables = _table_html("On this page", here) if here else ""
    return (
        '<dialog id="keymap" class="keymap" aria-labelledby="keymap-title" data-testid="keymap">'
        '<form method="dialog"><h2 id="keymap-title">Keys</h2>'
        '<button class="shut" aria-label="Close" data-testid="keymap-close">×</button></form>'
        f"{tables}{_table_html('Everywhere', EVERYWHERE)}"
        '<label class="switch"><input type="checkbox" id="keymap-single" data-testid="keymap-single"> '
        "Listen to single keys</label></dialog>"
    )


def _table_html(title: str, keys: tuple[tuple[str, str], ...]) -> str:
    rows = "".join(f"<tr><th scope='row'>{_keys_html(key)}</th><td>{html.escape(does)}</td></tr>" for key, does in keys)
    return f'<table><caption class="overline">{title}</caption><tbody>{rows}</tbody></table>'


def _keys_html(written: str) -> str:
    words = {",": "", "then": "then", "with": "with", "or": "or"}
    parts = written.replace(",", " , ").split()
    return " ".join(words[part] if part in words else f"<kbd>{html.escape(part)}</kbd>" for part in parts)
