"""One process per data directory."""

import errno
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from loupe.storage.errors import DataDirError, DataDirHeld, LockingUnsupported
from loupe.storage.lock import DataDirLock, Holder, read_holder
from loupe.storage.paths import DataDir

CHILD = """
import sys
from loupe.storage.lock import DataDirLock
from loupe.storage.paths import DataDir
lock = DataDirLock(DataDir.create(sys.argv[1])).acquire()
lock.announce("http://127.0.0.1:8000", "a token")
print("held", flush=True)
sys.stdin.read()
lock.release()
"""


@contextmanager
def another_process_holding(data_dir: DataDir):
    arguments = [sys.executable, "-c", CHILD, str(data_dir.path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        try:
            yield child
        finally:
            child.kill()


def test_a_second_process_is_refused_with_the_pid_and_address_of_the_first(data_dir):
    with another_process_holding(data_dir) as child:
        with pytest.raises(DataDirHeld, match=f"Process {child.pid} holds .* serves http://127.0.0.1:8000") as caught:
            DataDirLock(data_dir).acquire()
        assert (caught.value.pid, caught.value.url) == (child.pid, "http://127.0.0.1:8000")
        assert "a token" not in str(caught.value)
        assert read_holder(data_dir) == Holder(child.pid, "http://127.0.0.1:8000", "a token")


def test_the_lock_of_a_killed_process_is_free_at_once(data_dir):
    with another_process_holding(data_dir) as child:
        child.kill()
        child.wait()
        assert data_dir.holder.exists()
        assert read_holder(data_dir) is None
        with DataDirLock(data_dir):
            assert read_holder(data_dir) == Holder(os.getpid())


def test_a_process_that_stops_leaves_no_trace_of_itself(data_dir):
    with another_process_holding(data_dir) as child:
        child.communicate("")
        assert child.returncode == 0
    assert not data_dir.holder.exists()
    assert read_holder(data_dir) is None


def test_two_locks_in_one_process_exclude_each_other_too(data_dir):
    with DataDirLock(data_dir), pytest.raises(DataDirHeld, match=f"Process {os.getpid()} holds"):
        DataDirLock(data_dir).acquire()
    with DataDirLock(data_dir):
        pass


def test_nobody_holds_a_directory_that_was_never_locked(data_dir):
    assert read_holder(data_dir) is None


def test_only_the_owner_can_read_the_token(data_dir):
    with DataDirLock(data_dir) as lock:
        lock.announce("http://x", "secret")
        assert data_dir.holder.stat().st_mode & 0o777 == 0o600


def test_somebody_who_only_looks_does_not_keep_the_holder_out(data_dir, monkeypatch):
    looks = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        os.close(looker.pop())

    DataDirLock(data_dir).acquire().release()
    looker = [os.open(data_dir.lock, os.O_RDONLY)]
    import fcntl

    fcntl.flock(looker[0], fcntl.LOCK_SH)
    monkeypatch.setattr("loupe.storage.lock.time.sleep", look)
    with DataDirLock(data_dir):
        assert len(looks) == 1


def test_a_holder_that_has_not_written_its_name_yet_is_described_as_such(data_dir):
    with another_process_holding(data_dir):
        for contents in (b"", b"{", b"[]", b'{"unknown": 1}'):
            data_dir.holder.write_bytes(contents)
            with pytest.raises(DataDirHeld, match="just starting or stopping") as caught:
                DataDirLock(data_dir).acquire()
            assert caught.value.pid is None
        data_dir.holder.unlink()
        assert read_holder(data_dir) == Holder(0)


def test_a_file_system_without_locks_is_named_and_a_way_out_given(data_dir, monkeypatch):
    def no_locks(fd, mode):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("loupe.storage.lock.fcntl.flock", no_locks)
    with pytest.raises(LockingUnsupported, match=r"No locks available.*LOUPE_HOME"):
        DataDirLock(data_dir).acquire()


def test_a_lock_file_that_cannot_be_opened_is_an_error_of_the_directory(data_dir):
    data_dir.lock.mkdir()
    with pytest.raises(DataDirError, match="cannot be opened"):
        DataDirLock(data_dir).acquire()


def test_announcing_without_the_lock_is_our_own_bug(data_dir):
    with pytest.raises(AssertionError):
        DataDirLock(data_dir).announce("http://x")


def test_a_lock_is_not_held_when_its_name_could_not_be_written(data_dir):
    from tests.storage.faults import Failing

    with pytest.raises(Exception, match="no space left"):
        DataDirLock(data_dir, Failing(2)).acquire()
    with DataDirLock(data_dir):
        pass
