"""The engine is warmed up when somebody is there, and a page is served without it."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from loupe.app.services import warm_up
from loupe.app.services.engine import EngineState
from loupe.app.workspace import Workspace

pytestmark = pytest.mark.usefixtures("collector_as_before")

PAGE_WITHOUT_TORCH = """
import asyncio, sys
from pathlib import Path
import httpx
from loupe.app.server import build
from loupe.app.settings import Settings

async def main():
    app, guarded = build(Settings(home=Path(sys.argv[1]), keyring=False))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://localhost")
    async with app.router.lifespan_context(app), http:
        answer = await http.get("/")
        assert answer.status_code == 200 and "tok-40" in answer.text, answer.text[:400]
        saes = (await http.get("/api/v1/saes")).json()["data"]
        assert len(saes) == 7, saes
        print("heavy:", [name for name in ("torch", "transformers", "numba", "pandas") if name in sys.modules])

asyncio.run(main())
"""


async def _ready(workspace: Workspace) -> None:
    async with asyncio.timeout(60):
        while workspace.engine.state is not EngineState.READY:  # noqa: ASYNC110 - published to pages, not to tests
            await asyncio.sleep(0.02)


async def test_to_ask_whether_the_engine_is_ready_begins_it(
    api: httpx.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "NOBODY_CAME_S", 600)
    async with workspace.warm_up.in_background():
        assert (await api.get("/health/live")).status_code == 200
        await asyncio.sleep(0.1)
        assert workspace.engine.state is EngineState.ABSENT
        assert (await api.get("/health/ready")).status_code == 503
        await _ready(workspace)
    assert (await api.get("/health/ready")).status_code == 200


async def test_where_nobody_comes_it_begins_by_itself(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "NOBODY_CAME_S", 0.01)
    async with workspace.warm_up.in_background():
        await _ready(workspace)


def test_the_first_page_of_what_ships_needs_no_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PAGE_WITHOUT_TORCH, str(tmp_path / "home")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"
