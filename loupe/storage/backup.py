"""Backups while running: a consistent copy of the database, and every artefact it refers to.

    target/artefacts/<id>/              shared by all snapshots: an artefact never changes, so it is copied once
    target/snapshots/<number>/loupe.db
    target/snapshots/<number>/snapshot.json    written last: what belongs to it, with sha256

The second backup into a target therefore costs the database and what is new. A snapshot without a true
`snapshot.json` does not count.
"""

import hashlib
import json
import sqlite3
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from loupe.storage.artefacts import ArtefactStore, verified
from loupe.storage.complaints import understood
from loupe.storage.copies import copy_database
from loupe.storage.errors import BackupError, CorruptArtefact, CorruptBackup
from loupe.storage.fs import REAL, FileSystem, copy_file, regular_files, sync_path, translated, write_file
from loupe.storage.paths import DataDir

DATABASE = "loupe.db"
CONTENTS = "snapshot.json"
KEEP = 5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One backup. `artefacts` maps ids to manifest hashes; `damaged` were recorded but not intact when it was made."""

    number: int
    folder: Path
    created_at: datetime
    database_sha256: str
    artefacts: dict[str, str]
    damaged: tuple[str, ...]


def backup(
    data_dir: DataDir, target: Path, *, store: ArtefactStore | None = None, keep: int = KEEP, fs: FileSystem = REAL
) -> Snapshot:
    """Copy everything that is recorded now to `target`, and drop all but the `keep` newest snapshots there.

    Writers go on meanwhile; deletions in `store` wait. Blocking: call it from a thread. An artefact that is damaged
    is left out and named, so that it does not prevent all backups. Raises BackupError, StoreFull, StoreFailed.
    """
    _check_target(data_dir, target)
    with translated("make a backup", target), store.keeping() if store else nullcontext():
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (target / "artefacts", target / "snapshots"):
            fs.make_dir(folder)
        snapshot = _take(data_dir, target, fs)
        _prune(target, max(1, keep), fs)
    return snapshot


def snapshots(target: Path) -> list[Snapshot]:
    """The complete snapshots of a target, the newest first; what has no true list of contents is passed over."""
    found = []
    for folder in sorted((target / "snapshots").glob("[0-9]*"), reverse=True):
        try:
            found.append(_read(folder))
        except CorruptBackup:
            continue
    return found


def choose(target: Path, number: int | None = None) -> Snapshot:
    """The newest snapshot, or the one of this number. Raises BackupError when there is none."""
    for snapshot in snapshots(target):
        if number in (None, snapshot.number):
            return snapshot
    raise BackupError(f"{target} has no complete snapshot{'' if number is None else f' {number}'}.")


def verify(target: Path, number: int | None = None) -> Snapshot:
    """Read a snapshot in full: every byte of database and artefacts against their hashes.

    Raises CorruptBackup naming what is wrong.
    """
    snapshot = choose(target, number)
    database = snapshot.folder / DATABASE
    if _sha256(database) != snapshot.database_sha256:
        raise CorruptBackup(f"{database} is not what was backed up; use another snapshot of {target}.")
    for id, sha256 in snapshot.artefacts.items():
        _check_artefact(target / "artefacts" / id, sha256)
    return snapshot


def copy_artefact(source: Path, root: Path, aside: Path, fs: FileSystem) -> None:
    """Copy a finished artefact folder into `root`, verified, complete or not at all."""
    if aside.exists():
        fs.remove_tree(aside)
    fs.make_dir(aside)
    for path in regular_files(source):
        copied = aside / path.relative_to(source)
        for folder in reversed(copied.relative_to(aside).parents[:-1]):
            fs.make_dir(aside / folder)
        copy_file(fs, path, copied)
    verified(aside)
    for folder in (*(path for path in aside.rglob("*") if path.is_dir()), aside):
        sync_path(fs, folder)
    fs.rename(aside, root / source.name)
    sync_path(fs, root)


def _check_target(data_dir: DataDir, target: Path) -> None:
    inside = target.expanduser().resolve()
    if inside == data_dir.path or data_dir.artefacts in (inside, *inside.parents):
        raise BackupError(f"{target} is where the originals are; choose a folder outside of {data_dir.artefacts}.")


def _take(data_dir: DataDir, target: Path, fs: FileSystem) -> Snapshot:
    aside = target / "snapshots" / ".partial"
    if aside.exists():
        fs.remove_tree(aside)
    fs.make_dir(aside)
    with understood(data_dir.database):
        copy_database(data_dir.database, aside / DATABASE)
        recorded = _recorded(aside / DATABASE)
    sync_path(fs, aside / DATABASE)
    damaged = tuple(id for id, sha256 in recorded.items() if not _carry(data_dir, target, id, sha256, fs))
    return _publish(aside, {id: sha256 for id, sha256 in recorded.items() if id not in damaged}, damaged, fs)


def _recorded(database: Path) -> dict[str, str]:
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT id, manifest_sha256 FROM artefact ORDER BY number"))


def _carry(data_dir: DataDir, target: Path, id: str, sha256: str, fs: FileSystem) -> bool:
    """Bring one artefact over unless an intact copy is there already; False when the original is damaged."""
    root = target / "artefacts"
    try:
        _check_artefact(root / id, sha256)
        return True
    except CorruptBackup:
        if (root / id).exists():
            fs.remove_tree(root / id)
    try:
        if verified(data_dir.artefacts / id).manifest_sha256 != sha256:
            return False
        copy_artefact(data_dir.artefacts / id, root, root / f".partial-{id}", fs)
    except CorruptArtefact:
        return False
    return True


def _publish(aside: Path, artefacts: dict[str, str], damaged: tuple[str, ...], fs: FileSystem) -> Snapshot:
    taken = [int(folder.name) for folder in aside.parent.glob("[0-9]*")]
    number = max(taken, default=0) + 1
    body = {
        "number": number,
        "created_at": datetime.now(UTC).isoformat(),
        "database_sha256": _sha256(aside / DATABASE),
        "artefacts": artefacts,
        "damaged": list(damaged),
    }
    write_file(fs, aside / CONTENTS, [json.dumps({**body, "sha256": _digest(body)}, indent=1).encode()])
    sync_path(fs, aside)
    fs.rename(aside, aside.parent / f"{number:06d}")
    sync_path(fs, aside.parent)
    return _read(aside.parent / f"{number:06d}")


def _read(folder: Path) -> Snapshot:
    try:
        body = json.loads((folder / CONTENTS).read_bytes())
        if body.pop("sha256") != _digest(body):
            raise ValueError("it does not match its own sha256")
        body["created_at"] = datetime.fromisoformat(body["created_at"])
        return Snapshot(folder=folder, **{**body, "damaged": tuple(body["damaged"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptBackup(f"The snapshot {folder} cannot be trusted: {error}.") from error


def _prune(target: Path, keep: int, fs: FileSystem) -> None:
    kept = snapshots(target)[:keep]
    for folder in (target / "snapshots").glob("[0-9]*"):
        if folder not in {snapshot.folder for snapshot in kept}:
            fs.remove_tree(folder)
    needed = {id for snapshot in kept for id in snapshot.artefacts}
    for folder in (target / "artefacts").iterdir():
        if folder.name not in needed:
            fs.remove_tree(folder)


def _check_artefact(folder: Path, sha256: str) -> None:
    try:
        artefact = verified(folder)
    except CorruptArtefact as error:
        raise CorruptBackup(str(error)) from error
    if artefact.manifest_sha256 != sha256:
        raise CorruptBackup(f"{folder} is another artefact than the one that was backed up.")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CorruptBackup(f"{path} cannot be read: {error.strerror}.") from error


def _digest(body: dict) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
