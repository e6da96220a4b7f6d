"""Colours, fonts and scripts: the assets every page uses."""

import re
from pathlib import Path

from nicegui import app, ui

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
