"""A little disk space kept back, so that a full disk can still be written down.

Without it, the job that filled the disk could not even be recorded as failed. The space is given up the first time the
database finds the disk full, and taken again at the next start.
"""

from collections.abc import Iterator
from pathlib import Path

from loupe.storage.errors import StoreFull
from loupe.storage.fs import CHUNK, REAL, FileSystem, sync_path, translated, write_file

SIZE = 4 << 20


class Reserve:
    """The file that holds the space; `release` is safe to call from any thread, and more than once."""

    def __init__(self, path: Path, size: int = SIZE, fs: FileSystem = REAL):
        self._path = path
        self._size = size
        self._fs = fs

    def fill(self) -> bool:
        """Take the space; False when the disk has none to spare, which is not an error."""
        if self._path.exists() and self._path.stat().st_size == self._size:
            return True
        try:
            with translated("keep space in reserve", self._path.parent):
                self._fs.remove_file(self._path)
                write_file(self._fs, self._path, self._blocks())
                sync_path(self._fs, self._path.parent)
        except StoreFull:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give the space up."""
        with translated("give up the reserve", self._path.parent):
            self._fs.remove_file(self._path)

    def _blocks(self) -> Iterator[bytes]:
        left = self._size
        while left:
            yield bytes(min(left, CHUNK))
            left -= min(left, CHUNK)
