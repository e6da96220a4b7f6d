"""News of the library: whatever is loaded, made, fetched, deleted or brought back is drawn again at once."""

from collections.abc import Awaitable, Callable

from nicegui import background_tasks, ui

from loupe.app.workspace import Workspace

NEWS = ("models", "jobs", "library")


def follow(workspace: Workspace, draw: Callable[[], Awaitable[object]]) -> None:
    """Draw again whenever something of the library changed, until the page is gone."""
    client = ui.context.client

    def changed(_: object) -> None:
        if not client.is_deleted:
            background_tasks.create_lazy(draw_now(), name=f"library-{client.id}")

    async def draw_now() -> None:
        if not client.is_deleted:
            with client:
                await draw()

    stops = [workspace.bridge.subscribe(key, changed) for key in NEWS]
    client.on_delete(lambda: [stop() for stop in stops])
