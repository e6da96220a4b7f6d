"""Colours, fonts and scripts: the assets every page uses."""

from nicegui import app, ui

from loupe.app.pages.links import link, serve_under
from loupe.app.settings import assets_folder

ASSETS_URL = "/assets"
STYLES = ("loupe", "reading", "runs", "system", "library", "training")
SCRIPTS = ("loupe", "strip", "compare", "training", "upload")


def install(root_path: str = "") -> None:
    """Serve the assets and put the style sheet and the script into every page; `root_path`: what a proxy strips."""
    app.add_static_files(ASSETS_URL, assets_folder(), max_cache_age=3600)
    version = int(
        max(p.stat().st_mtime for p in assets_folder().rglob("*") if p.is_file() and "starter" not in p.parts)
    )
    app.config.quasar_config["loadingBar"]["skipHijack"] = True  # a nameless bar on every request helps nobody
    serve_under(root_path)
    assets = link(ASSETS_URL)
    ui.add_head_html(
        f'<link rel="preload" href="{assets}/fonts/inter-latin-wght-normal.woff2" as="font" crossorigin>'
        f'<link rel="preload" href="{assets}/fonts/source-serif-4-latin-wght-normal.woff2" as="font" crossorigin>'
        + "".join(f'<link rel="stylesheet" href="{assets}/css/{name}.css?v={version}">' for name in STYLES)
        + "".join(f'<script src="{assets}/js/{name}.js?v={version}"></script>' for name in SCRIPTS),
        shared=True,
    )
