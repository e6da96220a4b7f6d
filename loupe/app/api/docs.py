"""The reference in the browser: Swagger UI from our own assets, reading our own schema. No other host is asked."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, Response

from loupe.app.errors import NotFound
from loupe.app.settings import assets_folder

router = APIRouter(include_in_schema=False)

FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "loupe-docs.js": "text/javascript",
    "LICENSE": "text/plain",
    "NOTICE": "text/plain",
    "swagger-ui-bundle.js.LICENSE.txt": "text/plain",
}
# Relative addresses, so that the page works below any prefix.
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>API reference · Loupe</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="docs/swagger-ui.css">
</head><body><main id="api-docs" data-testid="api-docs"></main>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/loupe-docs.js"></script></body></html>"""


@router.get("/docs")
async def docs() -> Response:
    """The page."""
    return HTMLResponse(PAGE)


@router.get("/docs/{name}")
async def asset(name: str) -> Response:
    """One of the page's files. Raises NotFound for any other name."""
    if name not in FILES:
        raise NotFound(f"The reference has no file {name!r}.")
    folder: Path = assets_folder() / "swagger"
    return FileResponse(folder / name, media_type=FILES[name], headers={"Cache-Control": "max-age=86400"})
