"""Transactions: whole, one writer at a time, and readable when they fail."""

import asyncio
import logging
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, StatementError

from loupe.storage.database import Database
from loupe.storage.errors import CorruptDatabase, StoreBusy, StoreFull
from loupe.storage.rows import ArtefactRow, DatasetRow, ResultRow
from loupe.storage.schema import migrate

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def dataset(id: str, documents: int = 0, **changes) -> DatasetRow:
    values = {"name": "d", "author": "", "source": "file", "characters": 0, "fingerprint": "", "details": {}}
    return DatasetRow(**values | {"id": id, "documents": documents, "created_at": NOW} | changes)


async def documents_of(database: Database, id: str) -> int | None:
    async with database.read() as session:
        return await session.scalar(select(DatasetRow.documents).where(DatasetRow.id == id))


async def increment(database: Database, times: int) -> None:
    for _ in range(times):
        async with database.write() as session:
            size = await session.scalar(text("SELECT documents FROM dataset WHERE id = 'counter'"))
            await asyncio.sleep(0)
            await session.execute(text("UPDATE dataset SET documents = :size WHERE id = 'counter'"), {"size": size + 1})


async def test_no_update_is_lost_between_tasks_nor_between_connections_of_two_processes(database):
    async with database.write() as session:
        session.add(dataset("counter"))
    other = Database(database.path)  # has its own turn-taking, as another process would
    await asyncio.gather(*(increment(each, 25) for each in (database, database, other, other)))
    await other.close()
    assert await documents_of(database, "counter") == 100


async def test_a_transaction_that_raises_is_undone_and_the_next_one_works(database):
    with pytest.raises(KeyError):
        async with database.write() as session:
            session.add(dataset("a"))
            await session.flush()
            raise KeyError
    async with database.write() as session:
        session.add(dataset("b"))
    assert (await documents_of(database, "a"), await documents_of(database, "b")) == (None, 0)


async def test_a_cancelled_task_leaves_nothing_behind(database):
    inside = asyncio.Event()

    async def half() -> None:
        async with database.write() as session:
            session.add(dataset("a"))
            await session.flush()
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(half())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.write() as session:
        session.add(dataset("b"))
    assert await documents_of(database, "a") is None


async def test_a_reader_sees_the_last_commit_and_does_not_wait_for_the_writer(database):
    async with database.write() as session:
        session.add(dataset("a", documents=1))
    async with database.write() as session:
        await session.execute(text("UPDATE dataset SET documents = 2"))
        assert await documents_of(database, "a") == 1
    assert await documents_of(database, "a") == 2


async def test_a_reader_s_view_does_not_change_while_it_reads(database):
    async with database.write() as session:
        session.add(dataset("a", documents=1))
    async with database.read() as reading:
        assert await reading.scalar(text("SELECT documents FROM dataset")) == 1
        async with database.write() as session:
            await session.execute(text("UPDATE dataset SET documents = 2"))
        assert await reading.scalar(text("SELECT documents FROM dataset")) == 1


async def test_a_writer_of_another_process_is_waited_for_only_so_long(database):
    hasty = Database(database.path, busy_timeout_s=0.02)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="try again") as caught:
            async with hasty.write() as session:
                session.add(dataset("never"))
        other.execute("ROLLBACK")
    assert caught.value.retryable
    async with hasty.write() as session:
        session.add(dataset("a"))
    await hasty.close()


async def test_a_full_disk_is_told_and_what_was_saved_stays(database):
    async with database.write() as session:
        session.add(dataset("kept"))
    with pytest.raises(StoreFull, match="no space left"):
        async with database.write() as session:
            pages = await session.scalar(text("PRAGMA page_count"))
            await session.execute(text(f"PRAGMA max_page_count = {pages}"))
            session.add(dataset("large", name="x" * 100_000))
    async with database.write() as session:
        await session.execute(text("PRAGMA max_page_count = 1000000"))
    assert (await documents_of(database, "kept"), await documents_of(database, "large")) == (0, None)


async def test_what_must_be_written_down_makes_room_on_a_full_disk(data_dir):
    migrate(data_dir)
    made_room = []
    database = Database(data_dir.database, on_full=lambda: made_room.append(True))

    async def record(session) -> str:
        pages = await session.scalar(text("PRAGMA page_count"))
        await session.execute(text(f"PRAGMA max_page_count = {1_000_000 if made_room else pages}"))
        session.add(dataset("large", name="x" * 100_000))
        return "written"

    assert await database.insist(record) == "written"
    assert made_room == [True]
    made_room.clear()
    with pytest.raises(ZeroDivisionError):
        await database.insist(lambda session: 1 / 0)
    assert made_room == []
    assert await documents_of(database, "large") == 0
    await database.close()


async def test_a_damaged_page_is_told_with_the_way_out_and_closing_still_closes(data_dir):
    migrate(data_dir)
    whole = Database(data_dir.database)
    async with whole.write() as session:
        session.add_all([dataset(f"m{number}", name="x" * 500) for number in range(200)])
    await whole.close()
    contents = bytearray(data_dir.database.read_bytes())
    contents[4096 : 4096 * 60] = b"\xff" * (4096 * 59)
    data_dir.database.write_bytes(contents)
    damaged = Database(data_dir.database)
    with pytest.raises(CorruptDatabase, match="loupe restore"):
        async with damaged.read() as session:
            await session.execute(text("SELECT * FROM dataset"))
    with pytest.raises(CorruptDatabase):
        await damaged.close()
    assert damaged._engine.pool.checkedin() == 0


async def test_moments_come_back_aware_and_in_utc(database):
    east = timezone(timedelta(hours=5, minutes=30))
    async with database.write() as session:
        session.add(dataset("a", created_at=NOW.astimezone(east)))
    async with database.read() as session:
        row = (await session.scalars(select(DatasetRow))).one()
    assert (row.created_at, row.created_at.tzinfo) == (NOW, UTC)


async def test_a_moment_without_a_zone_is_refused(database):
    with pytest.raises(StatementError, match="no time zone"):
        async with database.write() as session:
            session.add(dataset("a", created_at=NOW.replace(tzinfo=None)))


async def test_a_number_that_is_none_is_refused_rather_than_stored(database):
    with pytest.raises(StatementError, match="not JSON compliant"):
        async with database.write() as session:
            session.add(dataset("a", details={"kl": float("nan")}))


async def test_references_are_enforced(database):
    with pytest.raises(IntegrityError, match="FOREIGN KEY"):
        async with database.write() as session:
            session.add(ResultRow(key="k", artefact_id="0" * 20, created_at=NOW, last_used_at=NOW))


async def test_states_are_enforced(database):
    with pytest.raises(IntegrityError, match="ck_job_state"):
        async with database.write() as session:
            await session.execute(
                text(
                    "INSERT INTO job (id, kind, name, author, state, priority, seed, request, done, message, attempts, "
                    "created_at) VALUES ('a', '', '', '', 'sleeping', 0, 0, '{}', 0, '', 0, '')"
                )
            )


async def test_commits_reach_the_disk_before_they_are_reported(database):
    async with database.read() as session:
        settings = [
            await session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]  # 2 is FULL


async def test_closing_beside_a_writer_of_another_process_is_no_failure(database, caplog):
    hasty = Database(database.path, busy_timeout_s=0.02)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await hasty.close()
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == []


async def test_closing_leaves_one_file(data_dir, database):
    async with database.write() as session:
        session.add(ArtefactRow(id="a", kind="", name="", size=0, manifest_sha256="", created_at=NOW))
    await database.close()
    assert [path.name for path in data_dir.path.glob("loupe.db*")] == ["loupe.db"]
    reopened = Database(data_dir.database)
    async with reopened.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM artefact")) == 1
    await reopened.close()


async def test_a_task_that_is_cancelled_anywhere_in_a_transaction_leaves_no_lock_behind(database):
    async with database.write() as session:
        session.add(dataset("counter"))
    impatient = Database(database.path, busy_timeout_s=0.2)
    for turns in range(60):
        task = asyncio.create_task(increment(database, 1))
        for _ in range(turns):
            await asyncio.sleep(turns % 3 / 5000)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await increment(impatient, 1)
    await impatient.close()


async def test_a_cancelled_writer_learns_of_it_once_its_transaction_is_whole(database):
    entered = asyncio.Event()

    async def write() -> None:
        async with database.write() as session:
            session.add(dataset("first"))
            await session.flush()
            entered.set()
            session.add(dataset("second"))
            for _ in range(20):
                await session.execute(text("SELECT 1"))

    task = asyncio.create_task(write())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [await documents_of(database, id) for id in ("first", "second")] == [0, 0]


async def test_a_writer_that_is_cancelled_and_fails_is_told_its_failure_and_then_the_cancellation(database):
    entered, told = asyncio.Event(), []

    async def write() -> None:
        try:
            async with database.write() as session:
                await session.execute(text("SELECT 1"))
                entered.set()
                for _ in range(20):
                    await session.execute(text("SELECT 1"))
                raise StoreFull("nothing fits any more")
        except StoreFull as error:
            told.append(str(error))
        await asyncio.sleep(0)
        told.append("the cancellation was forgotten")

    task = asyncio.create_task(write())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == ["nothing fits any more"]


async def test_what_must_be_written_down_is_although_its_writer_is_cancelled_while_the_disk_is_full(database):
    entered, tries = asyncio.Event(), []

    async def work(session) -> None:
        tries.append(1)
        await session.execute(text("SELECT 1"))
        entered.set()
        for _ in range(20):
            await session.execute(text("SELECT 1"))
        if len(tries) == 1:
            raise StoreFull("nothing fits any more")
        session.add(dataset("kept"))

    task = asyncio.create_task(database.insist(work))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(tries) == 2
    assert await documents_of(database, "kept") == 0


async def test_a_time_limit_that_meets_a_failure_is_still_a_time_limit(database):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600) as limit:
            with suppress(StoreFull):
                async with database.write() as session:
                    await session.execute(text("SELECT 1"))
                    limit.reschedule(asyncio.get_running_loop().time())
                    for _ in range(20):
                        await session.execute(text("SELECT 1"))
                    raise StoreFull("nothing fits any more")
            await asyncio.sleep(0)
