"""Where things are in the data directory, and which names may become part of a path."""

import os
import secrets
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from loupe.storage.errors import DataDirError, NameRejected
from loupe.storage.fs import DIRECTORY_MODE

MAX_NAME_BYTES = 200
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


@dataclass(frozen=True, slots=True)
class DataDir:
    """A data directory and its fixed rooms. `create` makes it, `at` only names it; its owner alone can look inside."""

    path: Path

    @classmethod
    def at(cls, path: Path | str | None = None) -> "DataDir":
        """The data directory at `path`, or at the default place, whether or not it is there."""
        return cls(Path(path).expanduser().resolve() if path is not None else default_path())

    @classmethod
    def create(cls, path: Path | str | None = None) -> "DataDir":
        """The data directory at `path`, or at the default place; made with mode 0700 where missing, or set to it.

        Raises DataDirError when that is not possible.
        """
        data_dir = cls.at(path)
        try:
            for folder in (data_dir.path, data_dir.artefacts, data_dir.backups, data_dir.models):
                folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            if stat.S_IMODE(data_dir.path.stat().st_mode) != DIRECTORY_MODE:
                data_dir.path.chmod(DIRECTORY_MODE)
        except OSError as error:
            raise DataDirError(
                f"{data_dir.path} cannot be the data directory: {error.strerror}. "
                "Choose another with LOUPE_HOME, or make this one yours and writable."
            ) from error
        return data_dir

    @property
    def database(self) -> Path:
        """The SQLite file; its `-wal` and `-shm` companions belong to it."""
        return self.path / "loupe.db"

    @property
    def artefacts(self) -> Path:
        """One folder per artefact."""
        return self.path / "artefacts"

    @property
    def backups(self) -> Path:
        """Copies of the database made before it was changed."""
        return self.path / "backups"

    @property
    def models(self) -> Path:
        """Downloaded and converted model folders."""
        return self.path / "models"

    @property
    def uploads(self) -> Path:
        """Files on their way in."""
        return self.path / "uploads"

    @property
    def activations(self) -> Path:
        """Caches of activations that are being written; finished ones are artefacts."""
        return self.path / "activations"

    @property
    def reserve(self) -> Path:
        """Space to give up when the disk is full."""
        return self.path / "reserve"

    @property
    def lock(self) -> Path:
        """The file whose lock says that a process works here."""
        return self.path / "lock"

    @property
    def holder(self) -> Path:
        """Who that process is and how to reach it."""
        return self.path / "holder.json"


def default_path() -> Path:
    """`LOUPE_HOME` where it is set, else the platform's place for a user's data."""
    chosen = os.environ.get("LOUPE_HOME")
    return Path(chosen).expanduser().resolve() if chosen else Path(platformdirs.user_data_dir("loupe", appauthor=False))


def new_id() -> str:
    """A fresh identifier: 80 random bits as 20 hexadecimal digits, safe in a path, a URL and a shell."""
    return secrets.token_hex(10)


def is_id(text: str) -> bool:
    """Whether `text` could have come from `new_id`."""
    return len(text) == 20 and all(character in "0123456789abcdef" for character in text)


def checked_name(name: str) -> str:
    """The name itself, when it may be one component of a path on any common file system.

    Raises NameRejected for what could climb out, hide, collide after normalisation, or not be written everywhere.
    """
    reason = _objection(name)
    if reason is not None:
        raise NameRejected(f"{name[:80]!r} cannot be a file name: {reason}.")
    return name


def _objection(name: str) -> str | None:
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if not name or size > MAX_NAME_BYTES:
        return f"it must have between 1 and {MAX_NAME_BYTES} bytes"
    if any(character in '/\\:*?"<>|' or not character.isprintable() for character in name):
        return "it contains a separator, a wildcard or an invisible character"
    if name.startswith(".") or name != name.strip() or name.endswith("."):
        return "it begins with a dot, ends with one, or has space around it"
    if name.split(".")[0].casefold() in _RESERVED:
        return "some systems reserve it for a device"
    if unicodedata.normalize("NFC", name) != name:
        return "it is not in Unicode normal form C"
    return None
