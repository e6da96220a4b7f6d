"""Everything that can go wrong in storage, as one tree.

    StorageError
    ├── NotFound
    ├── NameRejected
    ├── DataDirError
    │   ├── DataDirHeld
    │   └── LockingUnsupported
    ├── StoreFull
    ├── StoreBusy
    ├── StoreFailed
    ├── WrongOffset, WrongChecksum    a piece of an upload does not go where, or is not what, it was said to be
    ├── CorruptArtefact
    ├── CorruptDatabase
    │   └── NewerSchema
    └── BackupError
        └── CorruptBackup

`code` is the stable name a program may branch on; `retryable` says whether the same request can succeed later without
being changed.
"""

from typing import ClassVar


class StorageError(Exception):
    """The root: anything that could not be kept or found again, with a sentence for a person."""

    code: ClassVar[str] = "storage_error"
    retryable: ClassVar[bool] = False


class NotFound(StorageError):
    """There is no record or artefact of this id."""

    code = "not_found"

    def __init__(self, noun: str, id: str):
        super().__init__(f"There is no {noun} {id!r}.")
        self.noun = noun
        self.id = id


class NameRejected(StorageError, ValueError):
    """A name that could leave the data directory, or that some file system cannot hold."""

    code = "name_rejected"


class DataDirError(StorageError):
    """The data directory cannot be used."""

    code = "data_dir_error"


class DataDirHeld(DataDirError):
    """Another process works in the data directory; `pid` and `url` are its own, where known."""

    code = "data_dir_held"
    retryable = True

    def __init__(self, message: str, *, pid: int | None = None, url: str | None = None):
        super().__init__(message)
        self.pid = pid
        self.url = url


class LockingUnsupported(DataDirError):
    """The file system has no locks, so two processes could damage each other's records."""

    code = "locking_unsupported"


class StoreFull(StorageError):
    """No space left (or a quota is used up); `needed` is bytes, where known."""

    code = "store_full"
    retryable = True

    def __init__(self, message: str, *, needed: int | None = None):
        super().__init__(message)
        self.needed = needed


class StoreBusy(StorageError):
    """The database stayed locked by another writer for longer than the bounded wait."""

    code = "store_busy"
    retryable = True


class StoreFailed(StorageError):
    """The disk or the file system reported an error."""

    code = "store_failed"


class WrongOffset(StorageError):
    """A piece of an upload does not go where it was said to go; `received` is where the next one goes."""

    code = "wrong_offset"

    def __init__(self, message: str, *, received: int):
        super().__init__(message)
        self.details = {"received": received}


class WrongChecksum(WrongOffset):
    """A piece of an upload was changed on its way."""

    code = "wrong_checksum"
    retryable = True


class CorruptArtefact(StorageError):
    """An artefact does not match its manifest, or has none."""

    code = "corrupt_artefact"


class CorruptDatabase(StorageError):
    """SQLite says that the database file is damaged, or it lacks what it should have."""

    code = "corrupt_database"


class NewerSchema(CorruptDatabase):
    """The database was written by a newer Loupe; this one would not understand it."""

    code = "newer_schema"


class BackupError(StorageError):
    """A backup could not be made or restored."""

    code = "backup_error"


class CorruptBackup(BackupError):
    """A backup does not match its own list of contents."""

    code = "corrupt_backup"
