"""Backups: consistent while work goes on, complete or absent, and read back in full before they are believed."""

import asyncio
import errno
import itertools
import shutil
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from loupe.storage.artefacts import verified
from loupe.storage.backup import backup, choose, snapshots, verify
from loupe.storage.errors import BackupError, CorruptBackup, StoreFailed, StoreFull
from loupe.storage.repos.runs import NewRun
from tests.storage.faults import Failing
from tests.storage.samples import saved


async def finished_run(store, name: str = "a run") -> str:
    """A run with an artefact; returns the artefact's id."""
    run = await store.runs.create(NewRun(name=name, text="t", request={}))
    artefact = saved(store.artefacts, data=name.encode())
    await store.keep(artefact)
    await store.runs.finish(run.id, artefact_id=artefact.id)
    return artefact.id


def rows(database, query: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


async def test_a_backup_holds_the_records_and_the_artefacts_they_name(store, tmp_path):
    id = await finished_run(store)
    orphan = saved(store.artefacts)
    snapshot = await store.backup(tmp_path / "target")
    assert (snapshot.number, set(snapshot.artefacts), snapshot.damaged) == (1, {id}, ())
    assert rows(snapshot.folder / "loupe.db", "SELECT name, artefact_id FROM run") == [("a run", id)]
    assert verified(tmp_path / "target" / "artefacts" / id).path("result.json").read_bytes() == b"a run"
    assert not (tmp_path / "target" / "artefacts" / orphan.id).exists()
    assert verify(tmp_path / "target") == snapshot == choose(tmp_path / "target", 1)


async def test_a_backup_has_no_lock_no_token_and_no_write_ahead_log(store, tmp_path):
    store.lock.announce("http://x", "secret")
    await finished_run(store)
    await store.backup(tmp_path / "target")
    files = [path for path in (tmp_path / "target").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"loupe.db", "snapshot.json", "manifest.json", "result.json", "gold.bin"}
    assert all(b"secret" not in path.read_bytes() for path in files)
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o700


async def test_the_second_backup_copies_only_what_is_new(store, tmp_path):
    old = await finished_run(store)
    await store.backup(tmp_path / "target")
    copied = (tmp_path / "target" / "artefacts" / old / "result.json").stat()
    new = await finished_run(store)
    snapshot = await store.backup(tmp_path / "target")
    assert set(snapshot.artefacts) == {old, new}
    assert (tmp_path / "target" / "artefacts" / old / "result.json").stat().st_ino == copied.st_ino


async def test_old_snapshots_go_and_with_them_the_artefacts_only_they_needed(store, tmp_path):
    target = tmp_path / "target"
    run = await store.runs.create(NewRun(name="short-lived", text="", request={}))
    artefact = saved(store.artefacts)
    await store.keep(artefact)
    await store.runs.finish(run.id, artefact_id=artefact.id)
    await store.backup(target, keep=2)
    await store.delete_run(run.id)
    await store.backup(target, keep=2)
    assert (target / "artefacts" / artefact.id).exists()
    await store.backup(target, keep=2)
    assert [snapshot.number for snapshot in snapshots(target)] == [3, 2]
    assert not (target / "artefacts" / artefact.id).exists()


async def test_backups_taken_while_runs_come_and_go_are_each_consistent(store, tmp_path):
    """Each transaction moves one unit from one row to another, so every true view has the same sum."""
    target = tmp_path / "target"
    async with store.database.write() as session:
        for name, size in (("from", 1000), ("to", 0)):
            await session.execute(
                text(
                    "INSERT INTO dataset (id, name, author, source, documents, characters, fingerprint, details, "
                    "created_at) VALUES (:name, '', '', '', :size, 0, '', '{}', '')"
                ),
                {"name": name, "size": size},
            )
    stopped = asyncio.Event()

    async def move() -> None:
        while not stopped.is_set():
            async with store.database.write() as session:
                await session.execute(text("UPDATE dataset SET documents = documents - 1 WHERE id = 'from'"))
                await asyncio.sleep(0)
                await session.execute(text("UPDATE dataset SET documents = documents + 1 WHERE id = 'to'"))

    async def come_and_go() -> None:
        while not stopped.is_set():
            run = await store.runs.create(NewRun(name="n", text="t", request={}))
            artefact = await asyncio.to_thread(saved, store.artefacts)
            await store.keep(artefact)
            await store.runs.finish(run.id, artefact_id=artefact.id)
            await store.delete_run(run.id)

    work = [asyncio.create_task(each()) for each in (move, come_and_go, come_and_go)]
    seen = 0
    for taken in itertools.count(1):
        snapshot = await store.backup(target, keep=10)
        assert snapshot.damaged == ()
        verify(target, snapshot.number)
        database = snapshot.folder / "loupe.db"
        assert rows(database, "SELECT sum(documents) FROM dataset WHERE id IN ('from', 'to')") == [(1000,)]
        assert {id for (id,) in rows(database, "SELECT id FROM artefact")} == set(snapshot.artefacts)
        seen += len(snapshot.artefacts)
        ((moved,),) = rows(database, "SELECT documents FROM dataset WHERE id = 'to'")
        if taken >= 5 and seen and moved:  # something came and went, and moved, while backups looked
            break
    stopped.set()
    await asyncio.gather(*work)


async def test_a_damaged_artefact_is_named_and_does_not_prevent_the_backup(store, tmp_path):
    good, bad, gone = [await finished_run(store) for _ in range(3)]
    store.artefacts.open(bad).path("result.json").write_bytes(b"tampered")
    shutil.rmtree(store.data_dir.artefacts / gone)
    snapshot = await store.backup(tmp_path / "target")
    assert (set(snapshot.artefacts), set(snapshot.damaged)) == ({good}, {bad, gone})
    verify(tmp_path / "target")


async def test_an_artefact_that_is_not_the_recorded_one_counts_as_damaged(store, tmp_path):
    id = await finished_run(store)
    async with store.database.write() as session:
        await session.execute(text("UPDATE artefact SET manifest_sha256 = 'another'"))
    assert (await store.backup(tmp_path / "target")).damaged == (id,)


async def test_a_copy_that_was_damaged_in_the_target_is_made_again(store, tmp_path):
    id = await finished_run(store)
    await store.backup(tmp_path / "target")
    (tmp_path / "target" / "artefacts" / id / "result.json").write_bytes(b"rot")
    with pytest.raises(CorruptBackup, match=r"result\.json"):
        verify(tmp_path / "target")
    await store.backup(tmp_path / "target")
    verify(tmp_path / "target")


@pytest.mark.parametrize("place", ["", "artefacts", "artefacts/inside"])
async def test_a_backup_is_not_written_among_the_originals(store, place):
    with pytest.raises(BackupError, match="originals"):
        await store.backup(store.data_dir.path / place)


def test_a_folder_without_snapshots_cannot_be_restored_from(tmp_path):
    assert snapshots(tmp_path) == []
    with pytest.raises(BackupError, match="no complete snapshot"):
        choose(tmp_path)
    with pytest.raises(BackupError, match="no complete snapshot 7"):
        choose(tmp_path, 7)


async def test_a_snapshot_with_a_torn_or_edited_list_does_not_count(store, tmp_path):
    target = tmp_path / "target"
    await finished_run(store)
    good = await store.backup(target)
    for change in (
        lambda contents: contents[:50],
        lambda contents: contents.replace('"number": 2', '"number": 9'),
        lambda _: "",
    ):
        bad = await store.backup(target)
        contents = (bad.folder / "snapshot.json").read_text()
        (bad.folder / "snapshot.json").write_text(change(contents))
        assert choose(target) == good
        shutil.rmtree(bad.folder)


async def test_a_damaged_or_missing_database_in_a_snapshot_is_found(store, tmp_path):
    snapshot = await store.backup(tmp_path / "target")
    database = snapshot.folder / "loupe.db"
    contents = bytearray(database.read_bytes())
    contents[100] ^= 1
    database.write_bytes(contents)
    with pytest.raises(CorruptBackup, match="not what was backed up"):
        verify(tmp_path / "target")
    database.unlink()
    with pytest.raises(CorruptBackup, match="cannot be read"):
        verify(tmp_path / "target")


async def test_an_exchanged_artefact_in_a_backup_is_found(store, tmp_path):
    id = await finished_run(store)
    await store.backup(tmp_path / "target")
    copy = tmp_path / "target" / "artefacts" / id
    shutil.rmtree(copy)
    other = saved(store.artefacts)
    shutil.copytree(other.folder, copy)
    with pytest.raises(CorruptBackup, match="another artefact"):
        verify(tmp_path / "target")


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, StoreFull), (errno.EIO, StoreFailed)], ids=["ENOSPC", "EIO"])
async def test_a_backup_that_fails_at_any_effect_leaves_the_one_before_intact(store, tmp_path, code, kind):
    target = tmp_path / "target"
    await finished_run(store)
    before = await store.backup(target)
    await finished_run(store)
    for at in itertools.count(1):
        try:
            after = backup(store.data_dir, target, fs=Failing(at, code), keep=100)
        except kind:
            assert verify(target, before.number) == before
            for snapshot in snapshots(target):
                verify(target, snapshot.number)
            continue
        break
    assert at > 15
    assert verify(target) == after
    assert len(after.artefacts) == 2
    assert list(target.rglob(".partial*")) == []
