"""The token for gated repositories: written or removed, never shown."""

import asyncio

from nicegui import ui

from loupe.app.pages.library_html import text
from loupe.app.pages.sheet import Say, Sheet, text_button
from loupe.app.workspace import Workspace


def ask_token(workspace: Workspace, say: Say) -> None:
    """Write or remove the hub token."""
    token = workspace.hub_token
    with Sheet("Token for gated models") as sheet:
        about = "It is kept in the system's keyring, else in a file for the operator alone; never shown again. Now: "
        ui.html(f'{about}<b data-testid="token-source">{text(token.source)}</b>.', sanitize=False).classes("soft")
        field = ui.input("Token", password=True).props("outlined dense autocomplete=off data-testid=token-field")
        sheet.place()

        async def keep() -> str:
            await asyncio.to_thread(token.write, field.value or "")
            return "The hub token is kept."

        async def forget() -> None:
            await asyncio.to_thread(token.forget)
            sheet.dialog.close()
            await say("The written hub token is gone.")

        with ui.element("div").classes("actions"):
            sheet.end("Keep it", keep, "token", say)
            text_button("Remove the written one", forget, "quiet", "token-forget")
