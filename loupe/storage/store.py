"""Everything that lasts, opened together: locked, migrated, and tidied up after whatever happened before."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loupe.storage.artefacts import Artefact, ArtefactStore, Sweep
from loupe.storage.backup import KEEP, Snapshot, backup
from loupe.storage.cache import ResultCache
from loupe.storage.database import Database
from loupe.storage.fs import REAL, FileSystem
from loupe.storage.lock import DataDirLock
from loupe.storage.paths import DataDir
from loupe.storage.repos.artefacts import ArtefactRecord, Artefacts
from loupe.storage.repos.datasets import Datasets
from loupe.storage.repos.jobs import Jobs, JobSweep
from loupe.storage.repos.library import Library
from loupe.storage.repos.logs import Logs
from loupe.storage.repos.results import Results
from loupe.storage.repos.runs import Runs
from loupe.storage.repos.saes import Saes
from loupe.storage.repos.trainings import Trainings
from loupe.storage.reserve import Reserve
from loupe.storage.schema import Migration, migrate
from loupe.storage.uploads import UploadStore


@dataclass(frozen=True, slots=True)
class StartReport:
    """What opening found: the migration, work that a dead process left behind, and stray artefact folders."""

    migration: Migration
    interrupted_runs: tuple[str, ...]
    jobs: JobSweep
    artefacts: Sweep


@dataclass(frozen=True, slots=True)
class Store:
    """The open data directory: one lock, one database, one artefact folder, and the repositories over them."""

    data_dir: DataDir
    lock: DataDirLock
    database: Database
    artefacts: ArtefactStore
    artefact_records: Artefacts
    uploads: UploadStore
    runs: Runs
    jobs: Jobs
    logs: Logs
    cache: ResultCache
    library: Library
    datasets: Datasets
    saes: Saes
    trainings: Trainings
    started: StartReport

    async def keep(self, artefact: Artefact) -> ArtefactRecord:
        """Record a finished artefact: it is now part of backups and kept by sweeps."""
        return await self.artefact_records.add(artefact)

    async def delete_run(self, id: str) -> None:
        """Forget a run and remove its artefacts, unless something else refers to them. Raises NotFound."""
        for artefact_id in await self.runs.delete(id):
            await self.remove(artefact_id)

    async def remove(self, artefact_id: str | None) -> None:
        """Remove the folder of an artefact whose record a repository just dropped; None: nothing to do."""
        if artefact_id is not None and artefact_id in self.artefacts.ids():
            await asyncio.to_thread(self.artefacts.delete, artefact_id)

    async def backup(self, target: Path, keep: int = KEEP) -> Snapshot:
        """Copy everything recorded to `target` while work goes on."""
        return await asyncio.to_thread(backup, self.data_dir, target, store=self.artefacts, keep=keep)


@asynccontextmanager
async def open_store(
    path: Path | str | None = None, *, fs: FileSystem = REAL, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AsyncIterator[Store]:
    """Open the data directory at `path` (default: LOUPE_HOME, else the platform's), alone, until the block ends.

    Raises DataDirHeld when another process has it, NewerSchema, CorruptDatabase, DataDirError.
    """
    data_dir = await asyncio.to_thread(DataDir.create, path)
    lock = DataDirLock(data_dir, fs)
    await asyncio.to_thread(lock.acquire)
    try:
        migration = await asyncio.to_thread(migrate, data_dir)
        reserve = Reserve(data_dir.reserve, fs=fs)
        await asyncio.to_thread(reserve.fill)
        database = Database(data_dir.database, on_full=reserve.release)
        try:
            yield await _assembled(data_dir, lock, database, migration, fs, now)
        finally:
            await database.close()
    finally:
        await asyncio.to_thread(lock.release)


async def _assembled(
    data_dir: DataDir,
    lock: DataDirLock,
    database: Database,
    migration: Migration,
    fs: FileSystem,
    now: Callable[[], datetime],
) -> Store:
    artefacts, records = ArtefactStore(data_dir.artefacts, fs, now), Artefacts(database)
    runs, jobs = Runs(database, now), Jobs(database, now)
    sweep = await asyncio.to_thread(artefacts.sweep, await records.ids())
    return Store(
        data_dir=data_dir,
        lock=lock,
        database=database,
        artefacts=artefacts,
        artefact_records=records,
        uploads=UploadStore(data_dir.uploads, fs, now),
        runs=runs,
        jobs=jobs,
        logs=Logs(database),
        cache=ResultCache(Results(database, now), artefacts),
        library=Library(database, now),
        datasets=Datasets(database, now),
        saes=Saes(database, now),
        trainings=Trainings(database, now),
        started=StartReport(migration, await runs.sweep(), await jobs.sweep(), sweep),
    )
