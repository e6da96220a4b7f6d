"""The composed effects: whole files, whole replacements, readable refusals."""

import errno
import itertools

import pytest

from loupe.storage.errors import StoreFailed, StoreFull
from loupe.storage.fs import REAL, copy_file, regular_files, replace_file, sync_path, translated, write_file
from tests.storage.faults import Failing, ShortWriting


def test_a_file_is_written_whole_whatever_a_single_write_takes(tmp_path):
    assert write_file(ShortWriting(), tmp_path / "a", [b"0123456789", b"", b"ab"]) == 12
    assert (tmp_path / "a").read_bytes() == b"0123456789ab"


def test_an_existing_file_is_not_overwritten(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileExistsError):
        write_file(REAL, tmp_path / "a", [b"new"])
    assert (tmp_path / "a").read_text() == "old"


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "victim").write_text("old")
    (tmp_path / "a").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        write_file(REAL, tmp_path / "a", [b"new"])
    assert (tmp_path / "victim").read_text() == "old"


def test_replacing_leaves_the_old_or_the_new_contents_wherever_it_fails(tmp_path):
    path = tmp_path / "holder.json"
    path.write_text("old")
    for at in itertools.count(1):
        try:
            replace_file(Failing(at, errno.EIO), path, b"new")
        except OSError:
            assert path.read_text() in ("old", "new")
            continue
        break
    assert at > 5
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["holder.json"]


def test_copies_are_equal(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 9000)
    assert copy_file(REAL, tmp_path / "a", tmp_path / "b") == 256 * 9000
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_only_regular_files_are_listed_and_links_refused(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("")
    (tmp_path / "a").write_text("")
    assert list(regular_files(tmp_path)) == [tmp_path / "a", tmp_path / "b" / "c"]
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="link is neither"):
        list(regular_files(tmp_path))


def test_removing_what_is_gone_is_no_error_and_syncing_it_is(tmp_path):
    REAL.remove_file(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        sync_path(REAL, tmp_path / "gone")


def test_removing_a_tree_does_not_follow_links(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "kept")
    REAL.remove_tree(tmp_path / "tree")
    assert (tmp_path / "kept" / "file").exists()


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EIO, StoreFailed)]
)
def test_the_system_s_refusals_are_told_in_words(tmp_path, code, kind):
    with pytest.raises(kind, match="save the run") as caught, translated("save the run", tmp_path):
        raise OSError(code, "as the system says it")
    assert isinstance(caught.value.__cause__, OSError)
