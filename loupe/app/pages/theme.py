"""Colours, fonts and the frame every page stands in."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nicegui import app, ui

from loupe.app.services.engine import EngineState
from loupe.app.workspace import Workspace

ASSETS_URL = "/assets"


def assets_folder() -> Path:
    """Style, fonts and icons: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parents[2]
    checkout = package.parent / "assets"
    return checkout if (checkout / "css").is_dir() else package / "assets"


def palette(theme: str) -> dict[str, str]:
    """The hex colours of a theme (`dark` or `light`) as the style sheet has them."""
    css = (assets_folder() / "css/loupe.css").read_text()
    block = re.search(rf"body\.body--{theme} \{{(.*?)\}}", css, re.DOTALL)
    assert block, f"the style sheet has no {theme} theme"
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block[1]))


def install() -> None:
    """Serve the assets and put the style sheet and the script into every page."""
    app.add_static_files(ASSETS_URL, assets_folder(), max_cache_age=3600)
    version = int(
        max(p.stat().st_mtime for p in assets_folder().rglob("*") if p.is_file() and "starter" not in p.parts)
    )
    ui.add_head_html(
        f'<link rel="preload" href="{ASSETS_URL}/fonts/inter-latin-wght-normal.woff2" as="font" crossorigin>'
        f'<link rel="preload" href="{ASSETS_URL}/fonts/source-serif-4-latin-wght-normal.woff2" as="font" crossorigin>'
        f'<link rel="stylesheet" href="{ASSETS_URL}/css/loupe.css?v={version}">'
        f'<script src="{ASSETS_URL}/js/loupe.js?v={version}"></script>',
        shared=True,
    )


@contextmanager
def frame(workspace: Workspace, title: str) -> Iterator[None]:
    """Header with the way home, what the device does, and the choice of theme; the page goes below."""
    ui.page_title(f"{title} · Loupe" if title else "Loupe")
    dark = ui.dark_mode(app.storage.user.get("dark", True))
    ui.query("body").classes("loupe")
    with ui.element("header").classes("topbar"):
        ui.html(
            f'<a class="brand" href="/" data-testid="home" aria-label="Loupe, home">'
            f'<img src="{ASSETS_URL}/icons/loupe.svg" alt="" width="26" height="26">Loupe</a>',
            sanitize=False,
        )
        ui.space()
        _status_chip(workspace)
        button = ui.button(icon="contrast", color=None).props(
            'flat round dense aria-label="Switch between dark and light"'
        )
        button.props("data-testid=theme").classes("icon")

        def switch() -> None:
            dark.value = not dark.value
            app.storage.user["dark"] = dark.value

        button.on_click(switch)
    yield


def _status_chip(workspace: Workspace) -> None:
    chip = ui.html("", sanitize=False).props("data-testid=device-chip role=status")

    def show(_: object = None) -> None:
        state, text = _device_state(workspace)
        chip.set_content(f'<span class="chip {state}"><span class="dot"></span>{text}</span>')

    show()
    stops = [workspace.bridge.subscribe(key, show) for key in ("engine", "models", "queue")]
    ui.context.client.on_delete(lambda: [stop() for stop in stops])


def _device_state(workspace: Workspace) -> tuple[str, str]:
    busy = sum(live.busy for live in workspace.analyses.live)
    engine = workspace.engine
    device = str(engine.running.device).upper() if engine.running else "engine"
    if engine.state is EngineState.FAILED:
        return "failed", "engine failed<span class='wide'>, see the log</span>"
    if engine.state is EngineState.LOADING:
        return "busy", "engine starting"
    if workspace.models.loading:
        return "busy", f"{device} · loading model"
    if busy:
        return "busy", f"{device} · {busy} running"
    return ("ready", f"{device} · ready") if engine.running else ("", "engine idle")
