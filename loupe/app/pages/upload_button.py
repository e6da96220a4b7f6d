"""A button that sends a file of any size to the server, in pieces: see `assets/js/upload.js`."""

import html
from collections.abc import Awaitable, Callable

from nicegui import events, ui

SEND = "(e) => loupe.upload.send(e.target.closest('.upload'))"
STOP = "(e) => e.target.closest('button') && loupe.upload.stop(e.target.closest('.upload'))"
PICK = "(e) => e.target.closest('.actions').querySelector('.upload input').click()"


def upload_button(
    label: str,
    name: str,
    *,
    title: str,
    arrived: Callable[[str, str], Awaitable[None]],
    refused: Callable[[str], None],
) -> None:
    """Place it into an element of the class `actions`. `name` begins its test ids.

    `arrived` gets the id of the complete upload and the file's name, `refused` a sentence.
    """
    button = ui.button(label, icon="upload_file", color=None).classes("quiet")
    button.props(f'flat no-caps data-testid={name}-upload title="{html.escape(title, quote=True)}"')
    button.on("click", js_handler=PICK)
    place = ui.html(_markup(name), sanitize=False).classes("upload")
    place.on("change", js_handler=SEND)
    place.on("click", js_handler=STOP)

    async def done(event: events.GenericEventArguments) -> None:
        await arrived(str(event.args["id"]), str(event.args["name"]))

    place.on("uploaded", done, js_handler="(e) => emit(e.detail)")
    place.on("refused", lambda event: refused(str(event.args["message"])), js_handler="(e) => emit(e.detail)")


def _markup(name: str) -> str:
    return (
        f'<input type="file" hidden data-testid="{name}-file">'
        f'<progress hidden max="1" value="0" aria-label="Sent" data-testid="{name}-sent"></progress> '
        '<span class="said soft num" role="status"></span> '
        f'<button type="button" class="plain" hidden data-testid="{name}-stop">Stop</button>'
    )
