"""Links that work behind a proxy which strips a path prefix; set once, when the pages are registered."""

import html

_prefix = ""


def serve_under(root_path: str) -> None:
    """Say what the proxy strips, such as `/loupe`; empty when nothing is stripped."""
    global _prefix
    _prefix = root_path.rstrip("/")


def link(path: str) -> str:
    """`path` of this app (`/runs/1`) as a browser has to ask for it, escaped for an attribute."""
    return html.escape(_prefix + path, quote=True)


def address(path: str) -> str:
    """The same, unescaped: what belongs into the browser's address bar."""
    return _prefix + path
