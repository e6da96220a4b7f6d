"""Space kept back for the moment when there is none."""

import errno

import pytest

from loupe.storage.errors import StoreFailed
from loupe.storage.reserve import Reserve
from loupe.storage.store import open_store
from tests.storage.faults import Failing, Recording


def test_the_reserve_takes_real_space_and_gives_it_up(tmp_path):
    reserve = Reserve(tmp_path / "reserve", size=3_000_000)
    assert reserve.fill()
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 3_000_000
    reserve.release()
    reserve.release()
    assert not (tmp_path / "reserve").exists()


def test_a_whole_reserve_is_not_written_again_and_a_torn_one_is(tmp_path):
    Reserve(tmp_path / "reserve", size=1000).fill()
    fs = Recording()
    assert Reserve(tmp_path / "reserve", size=1000, fs=fs).fill()
    assert fs.effects == 0
    (tmp_path / "reserve").write_bytes(b"torn")
    assert Reserve(tmp_path / "reserve", size=1000, fs=fs).fill()
    assert (tmp_path / "reserve").stat().st_size == 1000


def test_a_disk_without_space_to_spare_is_no_error_and_keeps_nothing_half(tmp_path):
    assert not Reserve(tmp_path / "reserve", fs=Failing(3)).fill()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_is_an_error(tmp_path):
    with pytest.raises(StoreFailed):
        Reserve(tmp_path / "reserve", fs=Failing(3, errno.EIO)).fill()


async def test_an_open_store_has_a_reserve_that_its_database_can_give_up(tmp_path):
    async with open_store(tmp_path) as store:
        assert store.data_dir.reserve.stat().st_size == 4 << 20
        store.database._on_full()
        assert not store.data_dir.reserve.exists()
    async with open_store(tmp_path) as store:
        assert store.data_dir.reserve.exists()
