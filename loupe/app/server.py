"""The server: pages, API and engine in one process, one event loop, one worker.

The first page can be served before torch is in memory: the engine is warmed up in the background once a page stands.
Whoever holds the data directory leaves its address and a key beside the lock, for the command line.
"""

import contextlib
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from loupe.app import logging as app_logging
from loupe.app.api.application import answer_programs, build_api
from loupe.app.errors import Conflict, PublicWithoutGuard
from loupe.app.security.guard import Guard
from loupe.app.security.keys import Sessions, stored_secret
from loupe.app.security.signin import add_sign_in
from loupe.app.settings import Settings, assets_folder
from loupe.app.workspace import open_workspace
from loupe.engine import garbage
from loupe.storage.lock import DataDirLock
from loupe.storage.paths import DataDir

log = logging.getLogger(__name__)


def check_exposure(settings: Settings) -> None:
    """Refuse an address that others can reach when nothing keeps them out. Raises PublicWithoutGuard."""
    if settings.is_public and not settings.is_guarded:
        raise PublicWithoutGuard(
            f"{settings.host} can be reached by others, and neither LOUPE_PASSWORD nor LOUPE_API_KEY is set. "
            "Set one of them, or bind 127.0.0.1."
        )


def build(settings: Settings, *, local_token: str | None = None) -> tuple[FastAPI, ASGIApp]:
    """The application and the same behind the guard, which is what a server serves."""
    check_exposure(settings)
    data_dir = DataDir.create(settings.home)
    secret = stored_secret(data_dir.path / "secret")
    app = build_api()
    app.router.lifespan_context = _lifespan(settings)
    sessions = Sessions(secret, settings.password, settings.session_days)
    add_sign_in(app, settings, sessions)
    _add_pages(app, settings, secret, data_dir)
    return app, Guard(app, settings, sessions, local_token)


def serve(settings: Settings) -> None:
    """Run until stopped. Raises PublicWithoutGuard, DataDirHeld, or Conflict when the port is taken."""
    app_logging.configure(settings)
    check_exposure(settings)
    with DataDirLock(DataDir.create(settings.home)):
        listener = _listen(settings)
    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(24)
    app, guarded = build(settings, local_token=token)
    app.state.announce = (_local_url(settings, port), token)
    config = uvicorn.Config(
        guarded,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        root_path=settings.root_path,
        timeout_graceful_shutdown=5,
        server_header=False,
        ws_max_size=int(settings.max_body_mb * 2**20),
    )
    server = uvicorn.Server(config)
    with contextlib.closing(listener):
        server.run([listener])
    if not server.started:
        raise app.state.failure or SystemExit(1)


def _lifespan(settings: Settings):
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.failure = None
        try:
            async with open_workspace(settings) as workspace:
                app.state.workspace = workspace
                if url := getattr(app.state, "announce", None):
                    workspace.store.lock.announce(*url)
                    log.info("Loupe serves %s", url[0], extra={"fields": {"data": str(workspace.store.data_dir.path)}})
                await workspace.jobs.restart()
                garbage.settle()
                try:
                    async with workspace.warm_up.in_background():
                        yield
                finally:
                    app.state.workspace = None
        except Exception as error:  # kept for whoever started the server, which says why it did not
            app.state.failure = error
            raise

    return lifespan


def _add_pages(app: FastAPI, settings: Settings, secret: str, data_dir: DataDir) -> None:
    os.environ.setdefault("NICEGUI_STORAGE_PATH", str(data_dir.path / "preferences"))
    os.environ.setdefault("MATPLOTLIB", "false")
    from nicegui import app as nicegui_app
    from nicegui import ui

    from loupe.app.pages import (
        analysis,
        compare,
        datasets,
        features,
        history,
        library,
        missing,
        steering,
        system,
        templates,
        theme,
        training,
        training_form,
        training_view,
    )

    answer_programs(nicegui_app)
    missing.install(nicegui_app, app)
    theme.install(settings.root_path)
    trainings = (datasets, templates, training, training_form, training_view)  # fixed paths before /training/{id}
    for room in (analysis, history, compare, library, *trainings, features, steering, system):
        room.register(app)
    ui.run_with(
        app,
        title="Loupe",
        favicon=assets_folder() / "icons/loupe.svg",
        dark=True,
        language="en-US",
        storage_secret=secret,
        session_middleware_kwargs={"https_only": settings.https, "same_site": "lax"},
        reconnect_timeout=30,
        message_history_length=500,
        binding_refresh_interval=None,
        show_welcome_message=False,
        tailwind=False,
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        raise Conflict(f"{where} cannot be bound ({error.strerror}). Choose another port with --port.") from error
    return listener


def _local_url(settings: Settings, port: int) -> str:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
