"""Restoring: what was there before, or what the backup holds, never a mixture."""

import itertools
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from loupe.storage.artefacts import verified
from loupe.storage.backup import backup, verify
from loupe.storage.errors import BackupError, CorruptBackup, DataDirHeld, NotFound
from loupe.storage.lock import DataDirLock
from loupe.storage.paths import DataDir
from loupe.storage.repos.jobs import NewJob
from loupe.storage.repos.runs import NewRun
from loupe.storage.restore import restore
from loupe.storage.store import open_store
from tests.storage.samples import saved


async def fill(home: Path, name: str) -> str:
    async with open_store(home) as store:
        run = await store.runs.create(NewRun(name=name, text="t", request={}))
        artefact = saved(store.artefacts, data=name.encode())
        await store.keep(artefact)
        await store.runs.finish(run.id, artefact_id=artefact.id)
    return artefact.id


async def names(home: Path) -> list[str]:
    """The runs of a data directory, each with an artefact that says the same, or this fails."""
    async with open_store(home) as store:
        runs = (await store.runs.list(sort_by="name", order="asc")).items
        for run in runs:
            assert store.artefacts.open(run.artefact_id).path("result.json").read_text() == run.name
        assert store.started.artefacts.missing == ()
        return [run.name for run in runs]


@pytest.fixture
async def target(tmp_path):
    """A backup with one run, "old"."""
    await fill(tmp_path / "first", "old")
    backup(DataDir.create(tmp_path / "first"), tmp_path / "target")
    return tmp_path / "target"


async def test_a_backup_is_restored_into_an_empty_directory(target, tmp_path):
    snapshot = restore(target, DataDir.create(tmp_path / "fresh"))
    assert snapshot == verify(target)
    assert await names(tmp_path / "fresh") == ["old"]


async def test_a_chosen_snapshot_is_restored(target, tmp_path):
    await fill(tmp_path / "first", "new")
    backup(DataDir.create(tmp_path / "first"), target)
    restore(target, DataDir.create(tmp_path / "one"), number=1)
    restore(target, DataDir.create(tmp_path / "two"))
    assert (await names(tmp_path / "one"), await names(tmp_path / "two")) == (["old"], ["new", "old"])


async def test_records_are_not_replaced_unless_told_to(target, tmp_path):
    await fill(tmp_path / "home", "mine")
    with pytest.raises(BackupError, match="--replace"):
        restore(target, DataDir.create(tmp_path / "home"))
    assert await names(tmp_path / "home") == ["mine"]


async def test_what_is_replaced_is_kept_aside(target, tmp_path):
    await fill(tmp_path / "home", "mine")
    home = DataDir.create(tmp_path / "home")
    restore(target, home, replace=True)
    assert await names(home.path) == ["old"]
    (kept,) = home.backups.glob("*-replaced.db")
    shutil.copy(kept, home.database)
    assert await names(home.path) == ["mine"]


async def test_a_damaged_database_is_moved_aside_with_its_log(target, tmp_path):
    home = DataDir.create(tmp_path / "home")
    home.database.write_bytes(b"rubbish" * 1000)
    (home.path / "loupe.db-wal").write_bytes(b"more rubbish")
    restore(target, home, replace=True)
    assert await names(home.path) == ["old"]
    kept = {path.name.split("-", 1)[1]: path.read_bytes() for path in home.backups.iterdir()}
    assert (kept["damaged.db"], kept["damaged.db-wal"]) == (b"rubbish" * 1000, b"more rubbish")
    assert "replaced.db" not in kept


async def test_a_log_without_its_database_does_not_meet_the_restored_one(target, tmp_path):
    home = DataDir.create(tmp_path / "home")
    (home.path / "loupe.db-wal").write_bytes(b"left over")
    restore(target, home)
    assert await names(home.path) == ["old"]
    assert [path.name.split("-", 1)[1] for path in home.backups.iterdir()] == ["left.db-wal"]


async def test_a_damaged_artefact_is_replaced_by_the_backup_s(target, tmp_path):
    async with open_store(tmp_path / "first") as store:
        (id,) = store.artefacts.ids()
    (tmp_path / "first" / "artefacts" / id / "result.json").write_bytes(b"rot")
    restore(target, DataDir.create(tmp_path / "first"), replace=True)
    assert await names(tmp_path / "first") == ["old"]


async def test_a_data_directory_in_use_is_not_restored_into(target, tmp_path):
    home = DataDir.create(tmp_path / "home")
    with DataDirLock(home), pytest.raises(DataDirHeld):
        restore(target, home)


async def test_a_damaged_backup_is_refused_before_anything_is_touched(target, tmp_path):
    await fill(tmp_path / "home", "mine")
    database = verify(target).folder / "loupe.db"
    database.write_bytes(database.read_bytes() + b"x")
    with pytest.raises(CorruptBackup):
        restore(target, DataDir.create(tmp_path / "home"), replace=True)
    assert await names(tmp_path / "home") == ["mine"]
    assert list((tmp_path / "home" / "backups").iterdir()) == []


async def test_work_that_was_running_when_the_backup_was_made_is_interrupted_after_the_restore(tmp_path):
    async with open_store(tmp_path / "home") as store:
        job = await store.jobs.create(NewJob(kind="analysis", name="n", request={}))
        await store.jobs.start(job.id)
        await store.backup(tmp_path / "target")
        await store.jobs.finish(job.id)
    restore(tmp_path / "target", DataDir.create(tmp_path / "home"), replace=True)
    async with open_store(tmp_path / "home") as store:
        assert store.started.jobs.interrupted == (job.id,)


async def test_restoring_an_older_state_keeps_newer_artefacts_aside_and_a_newer_restore_takes_them_back(
    target, tmp_path
):
    home = DataDir.create(tmp_path / "first")
    new = await fill(home.path, "new")
    backup(home, target)
    restore(target, home, number=1, replace=True)
    async with open_store(home.path) as store:
        assert store.started.artefacts.orphaned == (new,)
        with pytest.raises(NotFound):
            store.artefacts.open(new)
    shutil.rmtree(target / "artefacts" / new)
    (copy,) = sorted(home.backups.glob("*-replaced.db"))
    shutil.copy(copy, home.database)
    assert await names(home.path) == ["new", "old"]


def peek(home: DataDir) -> str:
    """The one run of a data directory and its artefact, read without Loupe's own start."""
    with closing(sqlite3.connect(home.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        ((name, artefact_id),) = connection.execute("SELECT name, artefact_id FROM run")
    assert verified(home.artefacts / artefact_id).path("result.json").read_text() == name
    return name


CHILD = """
import sys
from contextlib import closing
from pathlib import Path
from loupe.storage.paths import DataDir
from loupe.storage.restore import restore
from tests.storage.faults import Dying
restore(Path(sys.argv[1]), DataDir.create(sys.argv[2]), replace=True, fs=Dying(int(sys.argv[3])))
"""


async def test_a_restore_that_is_killed_anywhere_leaves_the_old_records_or_the_restored_ones(target, tmp_path):
    await fill(tmp_path / "template", "mine")
    outcomes = []
    for at in itertools.count(1):
        home = tmp_path / f"home{at}"
        shutil.copytree(tmp_path / "template", home)
        arguments = [sys.executable, "-c", CHILD, str(target), str(home), str(at)]
        child = subprocess.run(arguments, capture_output=True, text=True)  # noqa: ASYNC221 - nothing else runs here
        outcomes.append(peek(DataDir.create(home)))
        if child.returncode == 0:
            break
        assert child.returncode == -9, child.stderr
        if at % 6 == 1:  # the rest of the way back is the same from everywhere
            assert await names(home) == [outcomes[-1]]
            restore(target, DataDir.create(home), replace=True)
            assert await names(home) == ["old"]
    assert outcomes == sorted(outcomes)  # mine, ..., mine, old, ..., old: one moment decides
    assert len(outcomes) > 15
