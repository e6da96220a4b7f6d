"""Putting a backup back: artefacts first, the database last, in one rename; what was there before is put aside."""

from datetime import UTC, datetime
from pathlib import Path

from loupe.storage.artefacts import verified
from loupe.storage.backup import DATABASE, Snapshot, copy_artefact, verify
from loupe.storage.complaints import understood
from loupe.storage.copies import copy_database, settle
from loupe.storage.errors import BackupError, CorruptArtefact, CorruptDatabase
from loupe.storage.fs import REAL, FileSystem, copy_file, sync_path, translated
from loupe.storage.lock import DataDirLock
from loupe.storage.paths import DataDir

_COMPANIONS = ("", "-wal", "-shm")


def restore(
    target: Path, data_dir: DataDir, *, number: int | None = None, replace: bool = False, fs: FileSystem = REAL
) -> Snapshot:
    """Bring a data directory to the state of a snapshot (the newest unless told otherwise), which is verified first.

    An existing database is only replaced when told to, and kept in `backups/`. Artefacts that are not in the snapshot
    stay. If this is interrupted, the old database is still in use, and it can be run again. Raises DataDirHeld,
    CorruptBackup, BackupError, StoreFull, StoreFailed.
    """
    snapshot = verify(target, number)
    with DataDirLock(data_dir, fs), translated("restore a backup", data_dir.path):
        if data_dir.database.exists() and not replace:
            raise BackupError(
                f"{data_dir.path} has records already. Restore into another LOUPE_HOME, or use --replace."
            )
        for id, sha256 in snapshot.artefacts.items():
            _bring_back(target / "artefacts" / id, sha256, data_dir.artefacts, fs)
        fresh = data_dir.path / f"{DATABASE}.restored"
        fs.remove_file(fresh)
        copy_file(fs, snapshot.folder / DATABASE, fresh)
        _put_aside(data_dir, fs)
        fs.rename(fresh, data_dir.database)
        sync_path(fs, data_dir.path)
    return snapshot


def is_newer(snapshot: Snapshot, data_dir: DataDir) -> bool:
    """Whether a snapshot was made after the last commit of a data directory, or that has no records at all."""
    files = [data_dir.database.with_name(data_dir.database.name + companion) for companion in _COMPANIONS[:2]]
    written = [file.stat().st_mtime for file in files if file.exists()]
    return not written or snapshot.created_at.timestamp() > max(written)


def _bring_back(source: Path, sha256: str, root: Path, fs: FileSystem) -> None:
    folder = root / source.name
    try:
        if verified(folder).manifest_sha256 == sha256:
            return
    except CorruptArtefact:
        if folder.exists():
            fs.remove_tree(folder)
    copy_artefact(source, root, root / f".restored-{source.name}", fs)


def _put_aside(data_dir: DataDir, fs: FileSystem) -> None:
    """Keep what is there: as a clean copy when SQLite can read it, else its files as they are."""
    if not data_dir.database.exists():
        _move(data_dir.database, data_dir.backups / f"{_stamp()}-left.db", fs)
        return
    try:
        with understood(data_dir.database):
            copy_database(data_dir.database, data_dir.backups / f"{_stamp()}-replaced.db")
            settle(data_dir.database)
    except CorruptDatabase:
        _move(data_dir.database, data_dir.backups / f"{_stamp()}-damaged.db", fs)


def _move(database: Path, kept: Path, fs: FileSystem) -> None:
    """A database and its companions, which belong together: a new file must never meet an old log."""
    for companion in _COMPANIONS:
        path = database.with_name(database.name + companion)
        if path.exists():
            fs.rename(path, kept.with_name(kept.name + companion))


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
