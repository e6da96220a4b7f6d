"""Opening the data directory: alone, tidy, and honest about what it found."""

import signal
import subprocess
import sys

import pytest

from loupe.storage.errors import CorruptDatabase, DataDirHeld
from loupe.storage.lock import DataDirLock
from loupe.storage.repos.runs import NewRun
from loupe.storage.rows import WorkState
from loupe.storage.store import open_store
from tests.storage.samples import saved

CHILD = """
import asyncio, os, signal, sys
from loupe.storage.repos.jobs import NewJob
from loupe.storage.repos.runs import NewRun
from loupe.storage.store import open_store
from tests.storage.samples import saved

phase = sys.argv[2]

def die(here):
    if here == phase:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with open_store(sys.argv[1]) as store:
        run = await store.runs.create(NewRun(name="n", text="t", request={}))
        job = await store.jobs.create(NewJob(kind="analysis", name="n", request={}, run_id=run.id))
        print(run.id, job.id, flush=True)
        die("accepted")
        await store.jobs.start(job.id)
        await store.runs.start(run.id)
        die("running")
        with store.artefacts.write("run", "n") as draft:
            draft.write("result.json", b"{}")
            die("saving")
        die("saved")
        await store.keep(draft.artefact)
        die("kept")
        async with store.database.write() as session:
            from sqlalchemy import text
            await session.execute(text("UPDATE run SET state = 'done'"))
            die("committing")
            await session.execute(text("UPDATE run SET artefact_id = :id"), {"id": draft.id})
        await store.jobs.finish(job.id)
        die("done")

asyncio.run(main())
"""

# phase: run's state, job's state, finished artefacts that records know, orphans, removed drafts after the next start
PHASES = {
    "accepted": (WorkState.QUEUED, WorkState.QUEUED, 0, 0, 0),
    "running": (WorkState.INTERRUPTED, WorkState.INTERRUPTED, 0, 0, 0),
    "saving": (WorkState.INTERRUPTED, WorkState.INTERRUPTED, 0, 0, 1),
    "saved": (WorkState.INTERRUPTED, WorkState.INTERRUPTED, 0, 1, 0),
    "kept": (WorkState.INTERRUPTED, WorkState.INTERRUPTED, 1, 0, 0),
    "committing": (WorkState.INTERRUPTED, WorkState.INTERRUPTED, 1, 0, 0),
    "done": (WorkState.DONE, WorkState.DONE, 1, 0, 0),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_process_killed_at_any_phase_of_a_run_forgets_no_job_and_shows_no_half_result(tmp_path, phase):
    home = tmp_path / "home"
    arguments = [sys.executable, "-c", CHILD, str(home), phase]
    child = subprocess.run(arguments, capture_output=True, text=True)  # noqa: ASYNC221 - nothing else runs here
    assert child.returncode == -signal.SIGKILL, child.stderr
    run_id, job_id = child.stdout.split()
    run_state, job_state, kept, orphaned, removed = PHASES[phase]
    async with open_store(home) as store:
        run = await store.runs.get(run_id)
        assert (run.state, (await store.jobs.get(job_id)).state) == (run_state, job_state)
        assert (run.artefact_id is not None) == (phase == "done")
        sweep = store.started.artefacts
        assert (len(store.artefacts.ids()), len(sweep.orphaned), len(sweep.removed)) == (kept, orphaned, removed)
        for id in store.artefacts.ids():
            store.artefacts.open(id)
        unfinished = [job.id for job in await store.jobs.unfinished()]
        assert unfinished == ([] if phase == "done" else [job_id])


async def test_a_new_data_directory_opens_empty(tmp_path):
    async with open_store(tmp_path / "home") as store:
        started = store.started
        assert (started.migration.before, started.interrupted_runs, started.jobs) == (None, (), ((), ()))
        assert started.artefacts == ((), (), ())
        assert (await store.runs.list()).total == 0


async def test_what_was_kept_is_there_after_reopening(tmp_path):
    async with open_store(tmp_path) as store:
        run = await store.runs.create(NewRun(name="n", text="t", request={}))
        artefact = saved(store.artefacts)
        await store.keep(artefact)
        finished = await store.runs.finish(run.id, artefact_id=artefact.id, summary={"positions": 3})
    async with open_store(tmp_path) as store:
        assert await store.runs.get(run.id) == finished
        assert store.artefacts.open(artefact.id).manifest == artefact.manifest
        assert store.started.migration.copy is None


async def test_only_one_may_open_it(tmp_path):
    async with open_store(tmp_path):
        with pytest.raises(DataDirHeld):
            async with open_store(tmp_path):
                pass
    async with open_store(tmp_path):
        pass


async def test_a_start_that_fails_lets_go_of_the_lock(tmp_path):
    (tmp_path / "loupe.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(CorruptDatabase):
        async with open_store(tmp_path) as store:
            raise AssertionError(store)
    from loupe.storage.paths import DataDir

    with DataDirLock(DataDir.create(tmp_path)):
        pass


async def test_an_exception_inside_closes_everything(tmp_path):
    with pytest.raises(ZeroDivisionError):
        async with open_store(tmp_path) as store:
            raise ZeroDivisionError
    assert [path.name for path in tmp_path.glob("loupe.db*")] == ["loupe.db"]
    assert not store.data_dir.holder.exists()


async def test_a_recorded_artefact_that_is_missing_is_reported_at_the_start(tmp_path):
    async with open_store(tmp_path) as store:
        artefact = saved(store.artefacts)
        await store.keep(artefact)
        store.artefacts.delete(artefact.id)
    async with open_store(tmp_path) as store:
        assert store.started.artefacts.missing == (artefact.id,)
