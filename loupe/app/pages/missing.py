"""What a browser is shown for an address that is no page: the frame, and ways on."""

from fastapi import FastAPI
from nicegui import Client
from nicegui.page import page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from loupe.app.pages.frame import frame
from loupe.app.pages.page import workspace_of
from loupe.app.pages.states import Way, empty
from loupe.app.plain import plain

WAYS = (
    Way("Analysis", "/", "a sample, or a text of one's own"),
    Way("History", "/history", "every run that was kept"),
    Way("Library", "/library", "models, pairs and what belongs to them"),
)


def install(pages: Starlette, api: FastAPI) -> None:
    """Let the pages' application answer so; programs get their own shape before this is asked."""

    async def show(request: Request, _: Exception) -> Response:
        with Client(page(""), request=request) as client, frame(workspace_of(api), "", "Not found"):
            empty("There is no such page", f"{plain(request.url.path, 120)} leads nowhere.", WAYS)
        return client.build_response(request, 404)

    pages.state.show_missing = show
