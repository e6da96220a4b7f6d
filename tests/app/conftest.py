"""A starter made of the tiny golden pair and one written sample run, and the app on it, in-process."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from loupe.app.api.application import build_api
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from tests.app.sample import sample_run

GOLDEN = Path(__file__).parents[1] / "golden/nla/qwen2"
TEXT = "The fox ran home."


def lay_out_starter(folder: Path) -> Path:
    """A starter folder in the shipped layout, with links to the golden checkpoints."""
    (folder / "nla").mkdir(parents=True)
    (folder / "runs").mkdir()
    (folder / "model").symlink_to(GOLDEN / "base")
    for part in ("av", "ar"):
        (folder / "nla" / part).symlink_to(GOLDEN / part)
    (folder / "runs/01-the-lost-lantern.json").write_text(json.dumps(sample_run()))
    return folder


@pytest.fixture(scope="session")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny starter."""
    return lay_out_starter(tmp_path_factory.mktemp("assets") / "starter")


@pytest.fixture
def make_settings(tmp_path: Path, starter: Path) -> Callable[..., Settings]:
    """Settings for a data directory and starter of this test, with changes."""

    def make(**changes: Any) -> Settings:
        return Settings(**{"home": tmp_path / "home", "starter_dir": starter, "threads": 1, "keyring": False} | changes)

    return make


@pytest.fixture
async def workspace(make_settings: Callable[..., Settings]) -> AsyncIterator[Workspace]:
    """An open workspace."""
    async with open_workspace(make_settings()) as opened:
        yield opened


@pytest.fixture
async def api(workspace: Workspace) -> AsyncIterator[httpx.AsyncClient]:
    """The API in-process, as the command line uses it: paths are allowed."""
    transport = httpx.ASGITransport(build_api(workspace, paths_allowed=True), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as client:
        yield client


@pytest.fixture
async def far_api(workspace: Workspace) -> AsyncIterator[httpx.AsyncClient]:
    """The API as anybody else reaches it: no paths."""
    transport = httpx.ASGITransport(build_api(workspace), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as client:
        yield client


async def analysed(api: httpx.AsyncClient, workspace: Workspace, **options: Any) -> tuple[str, dict[str, Any]]:
    """Run an analysis to its end; returns its id and final status."""
    accepted = await api.post("/api/v1/analyses", json={"text": TEXT, "max_new_tokens": 6} | options)
    assert accepted.status_code == 202, accepted.text
    id = accepted.json()["data"]["id"]
    return id, (await workspace.analyses.wait(id)).status()
