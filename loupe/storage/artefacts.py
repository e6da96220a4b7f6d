"""Folders of finished bytes: complete or absent, whatever happens while they are written.

    artefacts/.partial/<id>/   being written
    artefacts/<id>/            finished: files, and a manifest with their sha256
    artefacts/.orphans/<id>/   finished, but no record knew them at a start (set aside, not deleted)
    artefacts/.removed/<id>/   being deleted

A draft is written aside. When its block ends, every file is synced and hashed, the manifest is written last, the folder
is synced and renamed into place, and the directory that names it is synced too; only then does anybody get to see its
id. Readers trust a verified manifest and nothing else. A store may be used from several threads.
"""

import errno
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from loupe.storage.errors import CorruptArtefact, NotFound, StoreFailed, StoreFull
from loupe.storage.fs import REAL, FileSystem, is_full, sync_path, translated, write_file
from loupe.storage.manifest import MANIFEST, FileEntry, Manifest, check_contents, read_manifest, scan
from loupe.storage.paths import checked_name, is_id, new_id


@dataclass(frozen=True, slots=True)
class Artefact:
    """A finished folder whose contents were compared with its manifest."""

    folder: Path
    manifest: Manifest
    manifest_sha256: str

    @property
    def id(self) -> str:
        """What records call it."""
        return self.manifest.id

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return self.manifest.size

    def path(self, name: str) -> Path:
        """One of its files. Raises NotFound."""
        if name not in self.manifest.files:
            raise NotFound(f"file in artefact {self.id}", name)
        return self.folder / name


class Draft:
    """A folder being filled, by `write` or by a library that is given `folder`; `artefact` is there once it is done."""

    def __init__(self, id: str, folder: Path, details: Mapping[str, object], fs: FileSystem):
        self.id = id
        self.folder = folder
        self.details = dict(details)
        self.artefact: Artefact | None = None
        self._fs = fs

    def write(self, name: str, data: bytes | Iterable[bytes]) -> Path:
        """Put one new file into the folder; `name` may have folders in it, separated by `/`.

        Raises NameRejected, StoreFull, StoreFailed.
        """
        *folders, leaf = (checked_name(part) for part in name.split("/"))
        needed = len(data) if isinstance(data, bytes) else None
        with translated(f"write {name}", self.folder, needed):
            path = self.folder
            for each in folders:
                path /= each
                self._fs.make_dir(path)
            write_file(self._fs, path / leaf, [data] if isinstance(data, bytes) else data)
        return path / leaf


class Sweep(NamedTuple):
    """What a start-up sweep found: unfinished drafts removed, unknown artefacts set aside, known ones missing."""

    removed: tuple[str, ...]
    orphaned: tuple[str, ...]
    missing: tuple[str, ...]


class ArtefactStore:
    """The artefact folder of a data directory."""

    def __init__(self, root: Path, fs: FileSystem = REAL, now: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self.root = root
        self._fs = fs
        self._now = now
        self._verified: dict[str, Artefact] = {}
        self._keeping = threading.RLock()
        with translated("make the artefact folder", root):
            for folder in (root, self._partial, self._orphans, self._removed):
                fs.make_dir(folder)

    @contextmanager
    def write(self, kind: str, name: str, details: Mapping[str, object] | None = None) -> Iterator[Draft]:
        """Open a draft; leaving the block without an exception makes it an artefact, anything else removes it.

        Raises StoreFull or StoreFailed, with everything that was finished before left as it was.
        """
        id = new_id()
        draft = Draft(id, self._partial / id, details or {}, self._fs)
        try:
            with translated("begin an artefact", self.root):
                self._fs.make_dir(draft.folder)
            yield draft
            with translated(f"save {kind} {name!r}", self.root):
                draft.artefact = self._finish(draft, kind, name)
        except BaseException as error:  # however the block was left: there is no half of an artefact
            self._discard(draft.folder)
            if is_full(error) and not isinstance(error, StoreFull):  # a library met the full disk
                with translated(f"save {kind} {name!r}", self.root):
                    raise OSError(errno.ENOSPC, str(error)) from error
            raise

    def open(self, id: str) -> Artefact:
        """A finished artefact; all its bytes are compared with the manifest the first time it is opened.

        Raises NotFound, CorruptArtefact.
        """
        folder = self._folder(id)
        known = self._verified.get(id)
        if known is not None and _looks_unchanged(known):
            return known
        artefact = verified(folder)
        if artefact.id != id:
            raise CorruptArtefact(f"{folder} says that it is artefact {artefact.id}.")
        self._verified[id] = artefact
        return artefact

    def ids(self) -> set[str]:
        """Every folder in its final place, verified or not."""
        return {path.name for path in self.root.iterdir() if is_id(path.name)}

    def delete(self, id: str) -> None:
        """Remove an artefact, at once for readers; waits while a backup is copying. Raises NotFound, StoreFailed."""
        folder = self._folder(id)
        with self._keeping, translated(f"delete artefact {id}", self.root):
            self._verified.pop(id, None)
            self._fs.rename(folder, self._removed / id)
            sync_path(self._fs, self.root)
            self._fs.remove_tree(self._removed / id)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """While the block runs nothing is deleted."""
        with self._keeping:
            yield

    def sweep(self, known: Iterable[str]) -> Sweep:
        """Tidy up after a process that died; `known` are the artefacts that records refer to. Run before any writer.

        Finished artefacts without a record are set aside, not deleted: the database may be an older one.
        """
        known, present = set(known), self.ids()
        with translated("tidy the artefact folder", self.root):
            removed = tuple(sorted(self._clear(self._partial) + self._clear(self._removed)))
            orphaned = tuple(sorted(present - known))
            for id in orphaned:
                self._fs.rename(self.root / id, self._orphans / id)
            returned = self._take_back(known - present)
            sync_path(self._fs, self.root)
        return Sweep(removed, orphaned, tuple(sorted(known - present - returned)))

    def purge_orphans(self) -> int:
        """Delete what sweeps have set aside; returns how many there were."""
        with translated("delete orphans", self.root):
            return len(self._clear(self._orphans))

    @property
    def _partial(self) -> Path:
        return self.root / ".partial"

    @property
    def _orphans(self) -> Path:
        return self.root / ".orphans"

    @property
    def _removed(self) -> Path:
        return self.root / ".removed"

    def _folder(self, id: str) -> Path:
        if not is_id(id) or not (self.root / id).is_dir():
            raise NotFound("artefact", id)
        return self.root / id

    def _finish(self, draft: Draft, kind: str, name: str) -> Artefact:
        entries = self._sync_all(draft.folder)
        manifest = Manifest(draft.id, kind, name, self._now(), entries, draft.details)
        text = manifest.to_bytes()
        write_file(self._fs, draft.folder / MANIFEST, [text])
        sync_path(self._fs, draft.folder)
        self._fs.rename(draft.folder, self.root / draft.id)
        sync_path(self._fs, self.root)
        return Artefact(self.root / draft.id, manifest, hashlib.sha256(text).hexdigest())

    def _sync_all(self, folder: Path) -> dict[str, FileEntry]:
        """Sync what is in the draft, written by whomever, and list it."""
        try:
            entries = scan(folder)
        except ValueError as error:
            raise StoreFailed(f"An artefact holds files and folders only: {error}.") from error
        for path in (*entries, *(path for path in folder.rglob("*") if path.is_dir())):
            sync_path(self._fs, folder / path)
        return entries

    def _discard(self, folder: Path) -> None:
        """Remove a failed draft; if even that fails, the sweep at the next start does it."""
        try:
            self._fs.remove_tree(folder)
        except OSError:
            return

    def _clear(self, folder: Path) -> list[str]:
        names = [path.name for path in folder.iterdir()]
        for name in names:
            self._fs.remove_tree(folder / name)
        return names

    def _take_back(self, wanted: set[str]) -> set[str]:
        """Artefacts that an earlier start set aside and a restored database knows again."""
        back = {id for id in wanted if (self._orphans / id).is_dir()}
        for id in back:
            self._fs.rename(self._orphans / id, self.root / id)
        return back


def verified(folder: Path) -> Artefact:
    """Read a finished folder and compare all its bytes with its manifest. Raises CorruptArtefact."""
    manifest, sha256 = read_manifest(folder)
    check_contents(folder, manifest)
    return Artefact(folder, manifest, sha256)


def _looks_unchanged(artefact: Artefact) -> bool:
    """A cheap look at an artefact that was verified before: every file is there with its size."""
    try:
        return all(
            (artefact.folder / path).stat().st_size == entry.size for path, entry in artefact.manifest.files.items()
        )
    except OSError:
        return False
