"""File systems that fail: at the Nth effect with an error, by writing less than asked, by dying, or by losing power."""

import errno
import os
import random
import shutil
import signal
from itertools import takewhile
from pathlib import Path

from loupe.storage.fs import FileSystem

ALWAYS = 10**9


class Counting(FileSystem):
    """Counts effects and calls `strike` at the Nth; with `lasting`, at every one from there on."""

    def __init__(self, at: int = ALWAYS, *, lasting: bool = False):
        self.effects = 0
        self.at = at
        self.lasting = lasting

    def strike(self) -> None:
        raise NotImplementedError

    def _effect(self) -> None:
        self.effects += 1
        if self.effects == self.at or (self.lasting and self.effects > self.at):
            self.strike()

    def open(self, path, flags):
        self._effect()
        return super().open(path, flags)

    def write(self, fd, data):
        self._effect()
        return super().write(fd, data)

    def sync(self, fd):
        self._effect()
        super().sync(fd)

    def make_dir(self, path):
        self._effect()
        super().make_dir(path)

    def rename(self, source, target):
        self._effect()
        super().rename(source, target)

    def remove_file(self, path):
        self._effect()
        super().remove_file(path)

    def remove_tree(self, path):
        self._effect()
        super().remove_tree(path)


class Recording(Counting):
    """Only counts."""

    def strike(self):
        raise AssertionError("nothing was to happen")


class Failing(Counting):
    """Raises an OSError at the Nth effect."""

    def __init__(self, at: int = ALWAYS, code: int = errno.ENOSPC, *, lasting: bool = False):
        super().__init__(at, lasting=lasting)
        self.code = code

    def strike(self):
        raise OSError(self.code, os.strerror(self.code))


class ShortWriting(FileSystem):
    """Writes at most a few bytes at a time, as the kernel may."""

    def write(self, fd, data):
        return super().write(fd, data[:3])


class Dying(Counting):
    """Kills its own process at the Nth effect, as `kill -9` would."""

    def strike(self):
        os.kill(os.getpid(), signal.SIGKILL)


class PowerCut(BaseException):
    """The power went; not an Exception, so that no code under test handles it."""


class LosingPower(Counting):
    """Remembers what was synced, and can rebuild what a disk might hold after the power went at the Nth effect.

    File contents survive from their last sync; names survive from the last sync of their directory. Whatever changed
    later may have reached the disk or not, each change for itself, as `choose` decides.
    """

    def __init__(self, root: Path, at: int = ALWAYS):
        super().__init__(at, lasting=True)
        self.root = root
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        for path in (root, *root.rglob("*")):
            self._remember(path)

    def strike(self):
        raise PowerCut

    def open(self, path, flags):
        fd = super().open(path, flags)
        if flags & os.O_CREAT:
            self._contents.pop(os.fstat(fd).st_ino, None)
        return fd

    def make_dir(self, path):
        is_new = not path.exists()
        super().make_dir(path)
        if is_new:
            self._names[path.stat().st_ino] = {}

    def sync(self, fd):
        super().sync(fd)
        self._remember(Path(f"/proc/self/fd/{fd}").readlink())

    def _remember(self, path: Path) -> None:
        inode = path.stat().st_ino
        if path.is_dir():
            self._names[inode] = {each.name: each.lstat().st_ino for each in path.iterdir()}
        else:
            self._contents[inode] = path.read_bytes()

    def disk_after(self, image: Path, choose: random.Random) -> Path:
        """Build one of the disks that this history may have left."""
        current = {path.stat().st_ino: path for path in (self.root, *self.root.rglob("*"))}
        self._rebuild(self.root.stat().st_ino, image, current, choose)
        return image

    def _rebuild(self, inode: int, target: Path, current: dict[int, Path], choose: random.Random) -> None:
        if inode not in self._names:
            target.write_bytes(self._surviving(inode, current, choose))
            return
        target.mkdir()
        durable = self._names[inode]
        here = current.get(inode)
        latest = {each.name: each.lstat().st_ino for each in here.iterdir()} if here is not None else durable
        for name in sorted({*durable, *latest}):
            kept = durable.get(name) if choose.random() < 0.5 else latest.get(name)
            if kept is not None and (kept in self._names or kept in self._contents or kept in current):
                self._rebuild(kept, target / name, current, choose)

    def _surviving(self, inode: int, current: dict[int, Path], choose: random.Random) -> bytes:
        synced, path = self._contents.get(inode), current.get(inode)
        written = path.read_bytes() if path is not None else (synced or b"")
        if synced == written:
            return written
        pairs = zip(synced or b"", written, strict=False)
        untouched = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))  # an append loses nothing synced
        torn = written[: choose.randrange(untouched, len(written) + 1)]
        return choose.choice([synced or b"", torn, written])


def copy_of(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target
