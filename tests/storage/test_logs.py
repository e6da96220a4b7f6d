"""What jobs leave to read: in order, bounded, gone with their job."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError

from loupe.storage.repos import logs
from loupe.storage.repos.jobs import NewJob
from loupe.storage.repos.logs import LogLine
from loupe.storage.repos.runs import NewRun

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def lines(*messages: str) -> list[LogLine]:
    return [LogLine(AT, "info", message) for message in messages]


async def test_lines_come_back_in_their_order(store):
    job = await store.jobs.create(NewJob(kind="k", name="n", request={}))
    await store.logs.add(job.id, lines("one", "two"))
    await store.logs.add(job.id, lines("three"))
    assert await store.logs.of(job.id) == tuple(lines("one", "two", "three"))
    assert await store.logs.of(job.id, after=1, limit=1) == tuple(lines("two"))


async def test_only_the_newest_lines_of_a_job_are_kept_and_long_ones_are_cut(store, monkeypatch):
    monkeypatch.setattr(logs, "KEPT", 3)
    job, other = [await store.jobs.create(NewJob(kind="k", name="n", request={})) for _ in range(2)]
    await store.logs.add(other.id, lines("untouched"))
    for number in range(5):
        await store.logs.add(job.id, lines(str(number)))
    assert [line.message for line in await store.logs.of(job.id)] == ["2", "3", "4"]
    assert len(await store.logs.of(other.id)) == 1
    await store.logs.add(job.id, lines("x" * 5000))
    assert len((await store.logs.of(job.id))[-1].message) == logs.LONGEST


async def test_lines_go_with_their_job(store):
    run = await store.runs.create(NewRun(name="n", text="t", request={}))
    job = await store.jobs.create(NewJob(kind="analysis", name="n", request={}, run_id=run.id, id=run.id))
    assert job.id == run.id
    await store.logs.add(job.id, lines("one"))
    await store.delete_run(run.id)
    assert await store.logs.of(job.id) == ()
    with pytest.raises(IntegrityError):
        await store.logs.add(job.id, lines("of nobody"))
