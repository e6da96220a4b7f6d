"""The list of what an artefact consists of, written last: a folder without a true one is not an artefact."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from loupe.storage.errors import CorruptArtefact
from loupe.storage.fs import CHUNK, regular_files

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Size in bytes and sha256 of one file."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Identity and contents of an artefact; `files` maps relative paths to their entries, `details` is the maker's."""

    id: str
    kind: str
    name: str
    created_at: datetime
    files: Mapping[str, FileEntry]
    details: Mapping[str, object]

    @property
    def size(self) -> int:
        """Bytes of all files, the manifest not counted."""
        return sum(entry.size for entry in self.files.values())

    def to_bytes(self) -> bytes:
        """One text for one manifest, ending with the sha256 of everything before it."""
        body = {
            "format": FORMAT,
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "created_at": self.created_at.isoformat(),
            "files": {path: {"size": each.size, "sha256": each.sha256} for path, each in sorted(self.files.items())},
            "details": dict(self.details),
        }
        return json.dumps({**body, "sha256": _digest(body)}, indent=1, ensure_ascii=False, allow_nan=False).encode()


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """The manifest of a folder and the sha256 of its text.

    Raises CorruptArtefact when it is missing, torn, edited, or of another format.
    """
    try:
        text = (folder / MANIFEST).read_bytes()
        body = json.loads(text)
        claimed = body.pop("sha256")
        if claimed != _digest(body):
            raise ValueError("it does not match its own sha256")
        if body["format"] != FORMAT:
            raise ValueError(f"it has format {body['format']}, and this version reads format {FORMAT}")
        return _parsed(body), hashlib.sha256(text).hexdigest()
    except FileNotFoundError as error:
        raise CorruptArtefact(f"{folder} has no manifest, so it was never finished.") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptArtefact(f"The manifest of {folder} cannot be trusted: {error}.") from error


def _parsed(body: dict) -> Manifest:
    return Manifest(
        id=body["id"],
        kind=body["kind"],
        name=body["name"],
        created_at=datetime.fromisoformat(body["created_at"]),
        files=MappingProxyType({path: FileEntry(**entry) for path, entry in body["files"].items()}),
        details=MappingProxyType(body["details"]),
    )


def scan(folder: Path) -> dict[str, FileEntry]:
    """Size and sha256 of every file in a folder, the manifest left out.

    Raises ValueError for anything that is neither file nor directory.
    """
    found = {PurePosixPath(path.relative_to(folder)): path for path in regular_files(folder)}
    return {str(name): _entry(path) for name, path in found.items() if str(name) != MANIFEST}


def _entry(path: Path) -> FileEntry:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(size, digest.hexdigest())


def check_contents(folder: Path, manifest: Manifest) -> None:
    """Compare every byte of a folder with its manifest. Raises CorruptArtefact naming what differs."""
    try:
        found = scan(folder)
    except (OSError, ValueError) as error:
        raise CorruptArtefact(f"{folder} cannot be read: {error}.") from error
    expected = dict(manifest.files)
    if found == expected:
        return
    differing = sorted(path for path in {*found, *expected} if found.get(path) != expected.get(path))
    raise CorruptArtefact(
        f"{folder} does not match its manifest: {', '.join(differing[:5])} "
        f"({len(differing)} of {len(expected)} files missing, added or changed)."
    )


def _digest(body: dict) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
