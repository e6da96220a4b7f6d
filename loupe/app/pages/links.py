"""Links that work behind a proxy which strips a path prefix."""

import html

from nicegui import ui


def link(path: str) -> str:
    """`path` of this app (`/runs/1`) as the browser has to ask for it, escaped for an attribute; inside a page only."""
    prefix = ui.context.client.request.scope.get("root_path", "")
    return html.escape(prefix + path, quote=True)
