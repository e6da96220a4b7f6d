"""Real stores on real folders."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loupe.storage.artefacts import ArtefactStore
from loupe.storage.database import Database
from loupe.storage.paths import DataDir
from loupe.storage.schema import migrate
from loupe.storage.store import Store, open_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path / "home") as store:
        yield store


@pytest.fixture
async def database(data_dir: DataDir) -> AsyncIterator[Database]:
    migrate(data_dir)
    database = Database(data_dir.database)
    yield database
    await database.close()


@pytest.fixture
def artefacts(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore(tmp_path / "artefacts")
