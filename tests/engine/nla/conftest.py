from __future__ import annotations

from pathlib import Path

import pytest

from loupe.engine.models.language_model import LanguageModel
from loupe.engine.nla.pair import NLAPair
from tests.engine.nla.tiny_pairs import PairFolders, write_pair


@pytest.fixture(scope="session")
def llama_folders(tmp_path_factory: pytest.TempPathFactory) -> PairFolders:
    return write_pair(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="session")
def loaded(llama_folders: PairFolders) -> tuple[LanguageModel, NLAPair]:
    return llama_folders.load()


@pytest.fixture
def folders(tmp_path: Path) -> PairFolders:
    """A pair of one's own, to damage."""
    return write_pair(tmp_path, "llama")
