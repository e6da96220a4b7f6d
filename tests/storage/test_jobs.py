"""Jobs: never forgotten, never run for ever."""

import pytest

from loupe.storage.errors import NotFound
from loupe.storage.repos.jobs import NewJob
from loupe.storage.repos.runs import NewRun
from loupe.storage.rows import WorkState
from loupe.storage.store import open_store
from tests.storage.samples import saved

NEW = NewJob(
    kind="analysis", name="the fox", request={"run": "r", "options": {"best_of": 2}}, priority=1, seed=7, author="Ada"
)


async def test_an_accepted_job_is_kept_with_what_its_service_needs(store):
    job = await store.jobs.create(NEW)
    assert await store.jobs.get(job.id) == job
    assert (job.request, job.priority, job.seed, job.author) == (NEW.request, 1, 7, "Ada")
    assert (job.state, job.attempts, job.done, job.total) == (WorkState.QUEUED, 0, 0, None)


async def test_a_job_s_life_is_written_down(store):
    job = await store.jobs.create(NEW)
    assert (await store.jobs.start(job.id)).attempts == 1
    halfway = await store.jobs.progress(job.id, done=3, total=6, message="verbalising")
    assert (halfway.done, halfway.total, halfway.message, halfway.state) == (3, 6, "verbalising", WorkState.RUNNING)
    assert (await store.jobs.pause(job.id)).state is WorkState.PAUSED
    assert (await store.jobs.requeue(job.id)).state is WorkState.QUEUED
    assert (await store.jobs.start(job.id)).attempts == 1
    finished = await store.jobs.finish(job.id)
    assert (finished.state, finished.finished_at is not None) == (WorkState.DONE, True)


async def test_the_first_end_wins(store):
    job = await store.jobs.create(NEW)
    await store.jobs.cancel(job.id)
    for later in (
        store.jobs.finish(job.id),
        store.jobs.fail(job.id, code="c", message="m"),
        store.jobs.start(job.id),
        store.jobs.pause(job.id),
        store.jobs.progress(job.id, done=9),
    ):
        record = await later
        assert (record.state, record.done, record.attempts) == (WorkState.CANCELLED, 0, 0)


async def test_what_a_job_made_is_kept_with_its_end(store):
    job = await store.jobs.create(NEW)
    assert (await store.jobs.finish(job.id, {"dataset": "d1"})).result == {"dataset": "d1"}
    assert (await store.jobs.get(job.id)).result == {"dataset": "d1"}


async def test_a_failure_says_why(store):
    job = await store.jobs.create(NEW)
    failed = await store.jobs.fail(job.id, code="store_full", message="There was no space left.", retryable=True)
    assert failed.error_more == {"retryable": True}
    assert (failed.state, failed.error_code, failed.error_message) == (
        "failed",
        "store_full",
        "There was no space left.",
    )


async def test_an_unknown_job_is_not_found(store):
    with pytest.raises(NotFound, match="no job 'x'"):
        await store.jobs.get("x")
    with pytest.raises(NotFound):
        await store.jobs.checkpoint("x", "y")


async def test_jobs_are_listed_newest_first_and_filtered(store):
    first, second = await store.jobs.create(NEW), await store.jobs.create(NewJob(kind="training", name="n", request={}))
    assert [job.id for job in (await store.jobs.list()).items] == [second.id, first.id]
    assert [job.id for job in (await store.jobs.list(kind="analysis")).items] == [first.id]
    await store.jobs.start(second.id)
    page = await store.jobs.list(state=WorkState.RUNNING, limit=1)
    assert ([job.id for job in page.items], page.total) == ([second.id], 1)


async def test_a_new_checkpoint_frees_the_one_before(store):
    job = await store.jobs.create(NEW)
    first, second = saved(store.artefacts, kind="checkpoint"), saved(store.artefacts, kind="checkpoint")
    for artefact in (first, second):
        await store.keep(artefact)
    assert await store.jobs.checkpoint(job.id, first.id) is None
    assert await store.jobs.checkpoint(job.id, first.id) is None
    assert await store.jobs.checkpoint(job.id, second.id) == first.id
    assert await store.artefact_records.ids() == {second.id}
    assert (await store.jobs.get(job.id)).checkpoint_id == second.id


async def restart(path):
    async with open_store(path) as store:
        return store.started.jobs, [job.id for job in await store.jobs.unfinished()]


async def test_after_a_restart_accepted_work_is_still_there_in_its_order(tmp_path):
    async with open_store(tmp_path) as store:
        jobs = [await store.jobs.create(NEW) for _ in range(5)]
        waiting, running, paused, done, cancelled = jobs
        for job in (running, paused, done):
            await store.jobs.start(job.id)
        await store.jobs.pause(paused.id)
        await store.jobs.finish(done.id)
        await store.jobs.cancel(cancelled.id)
    assert await restart(tmp_path) == (((running.id,), ()), [waiting.id, running.id])
    assert await restart(tmp_path) == (((), ()), [waiting.id, running.id])
    async with open_store(tmp_path) as store:
        assert (await store.jobs.get(paused.id)).state is WorkState.PAUSED


async def test_a_job_that_ends_the_process_twice_is_parked_until_somebody_asks_for_it(tmp_path):
    async with open_store(tmp_path) as store:
        job = await store.jobs.create(NEW)
        await store.jobs.start(job.id)
    assert await restart(tmp_path) == (((job.id,), ()), [job.id])
    async with open_store(tmp_path) as store:
        assert (await store.jobs.start(job.id)).attempts == 2
    assert await restart(tmp_path) == (((), (job.id,)), [])
    async with open_store(tmp_path) as store:
        assert (await store.jobs.requeue(job.id)).attempts == 0
    assert await restart(tmp_path) == (((), ()), [job.id])


async def test_a_job_that_gets_on_between_restarts_is_not_parked(tmp_path):
    async with open_store(tmp_path) as store:
        job = await store.jobs.create(NEW)
    for _ in range(4):
        async with open_store(tmp_path) as store:
            await store.jobs.start(job.id)
            artefact = saved(store.artefacts, kind="checkpoint")
            await store.keep(artefact)
            await store.remove(await store.jobs.checkpoint(job.id, artefact.id))
        swept, unfinished = await restart(tmp_path)
        assert (swept, unfinished) == (((job.id,), ()), [job.id])
    async with open_store(tmp_path) as store:
        assert len(store.artefacts.ids()) == 1


async def test_a_job_belongs_to_its_run(store):
    run = await store.runs.create(NewRun(name="n", text="t", request={}))
    job = await store.jobs.create(NewJob(kind="analysis", name="n", request={}, run_id=run.id))
    assert (await store.jobs.get(job.id)).run_id == run.id


async def test_an_orderly_end_of_the_process_is_no_fault_of_the_job(store):
    job = await store.jobs.create(NEW)
    await store.jobs.start(job.id)
    interrupted = await store.jobs.interrupt(job.id)
    assert (interrupted.state, interrupted.attempts) == (WorkState.INTERRUPTED, 0)
    await store.jobs.start(job.id)
    assert (await store.jobs.line_up(job.id)).attempts == 1, "lining up again must not hide an attempt"


async def test_jobs_are_searched_sorted_and_counted(store):
    ada = await store.jobs.create(NEW)
    bob = await store.jobs.create(NewJob(kind="training", name="100% of it", request={}, author="Bob", priority=2))
    for search, found in {"FOX": [ada.id], "train": [bob.id], "100%": [bob.id], "%": [bob.id], "fox bob": []}.items():
        assert [job.id for job in (await store.jobs.list(search=search)).items] == found, search
    by_author = await store.jobs.list(sort_by="author", order="asc")
    assert [job.author for job in by_author.items] == ["Ada", "Bob"]
    assert (await store.jobs.set_priority(ada.id, 0)).priority == 0
    await store.jobs.finish(ada.id)
    assert await store.jobs.counts() == {"done": 1, "queued": 1}
    for wrong in ({"sort_by": "request"}, {"order": "up"}, {"state": "asleep"}, {"page": 0}):
        with pytest.raises(ValueError):
            await store.jobs.list(**wrong)
