"""Shared by every test: shapes and types of the engine are checked at run time, and each test gets its own folders."""

from jaxtyping import install_import_hook

import tests.typechecks  # noqa: F401 - the hook looks it up by name

_hook = install_import_hook("loupe.engine", "tests.typechecks.checked")

import gc  # noqa: E402 - the hook must be in place before the engine is imported
from collections.abc import Iterator  # noqa: E402 - the hook must be in place before the engine is imported
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from loupe.storage.paths import DataDir  # noqa: E402

# A busy machine is no failure: how long an example takes depends on who else is running.
settings.register_profile("loupe", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("loupe"), max_examples=20_000)
settings.load_profile("loupe")


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    """A fresh data directory, not locked."""
    return DataDir.create(tmp_path / "home")


@pytest.fixture
def collector_as_before() -> Iterator[None]:
    """Python's garbage collector as it was, whatever the test settled."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)
    gc.enable()


@pytest.fixture
def device_thread() -> Iterator:
    """A device thread on the CPU that is closed at the end, whatever the test did."""
    from loupe.engine.device import DeviceThread  # here, so that tests of storage need not wait for torch

    with DeviceThread() as thread:
        yield thread
