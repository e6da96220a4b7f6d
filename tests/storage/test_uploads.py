"""An upload goes on where it stopped, and no piece of it is ever half there."""

import hashlib
import itertools
import random
import subprocess
import sys
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from loupe.storage.errors import NotFound, StoreFull, WrongChecksum, WrongOffset
from loupe.storage.uploads import RECORD, UploadStore
from tests.storage.faults import Failing, LosingPower, PowerCut, ShortWriting
from tests.storage.samples import PIECES, send

WHOLE = b"".join(PIECES)


@pytest.fixture
def uploads(tmp_path: Path) -> UploadStore:
    return UploadStore(tmp_path / "uploads")


def append(store: UploadStore, id: str, data: bytes, *, offset: int | None = None, checksum: str | None = None):
    with store.piece(id, store.get(id).received if offset is None else offset, checksum) as piece:
        piece.write(data)
        return piece.finish()


def test_pieces_that_arrive_one_after_another_are_the_file(uploads):
    record = uploads.begin("fox.txt", len(WHOLE), "Ada", "a file of hers")
    for piece in PIECES:
        assert not record.is_complete
        record = append(uploads, record.id, piece, checksum=f"sha256:{hashlib.sha256(piece).hexdigest()}")
    assert record.is_complete and record.left == 0
    assert uploads.path(record).read_bytes() == WHOLE and uploads.path(record).suffix == ".txt"
    assert uploads.get(record.id) == record == uploads.records()[0]
    assert (record.author, record.fingerprint, record.file) == ("Ada", "a file of hers", "fox.txt")


def test_a_piece_that_was_changed_on_its_way_does_not_count_and_may_be_sent_again(uploads):
    id = uploads.begin("fox.txt", len(WHOLE)).id
    right = f"crc32:{zlib.crc32(PIECES[0]):08x}"
    with pytest.raises(WrongChecksum) as caught:
        append(uploads, id, PIECES[0].replace(b"fox", b"ox!"), checksum=right)
    assert caught.value.details == {"received": 0} and caught.value.retryable
    assert append(uploads, id, PIECES[0], checksum=right).received == len(PIECES[0])


@pytest.mark.parametrize("offset", [0, 5, 100])
def test_a_piece_for_another_place_is_refused_and_told_where_to_go_on(uploads, offset):
    id = uploads.begin("fox.txt", len(WHOLE)).id
    append(uploads, id, PIECES[0])
    with pytest.raises(WrongOffset, match=f"byte {len(PIECES[0])}") as caught:
        append(uploads, id, PIECES[1], offset=offset)
    assert caught.value.details == {"received": len(PIECES[0])}


def test_more_bytes_than_were_said_are_never_written(uploads):
    record = uploads.begin("fox.txt", 4)
    with pytest.raises(WrongOffset, match="beyond the 4 bytes"):
        append(uploads, record.id, b"fox lost")
    assert uploads.path(record).stat().st_size == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "a.b/c", "x.\0y", "way.toolongending", "...", "a. b", "fox"])
def test_the_name_of_a_file_leads_nowhere(uploads, name):
    record = uploads.begin(name, 1)
    assert uploads.path(record).parent == uploads.root / record.id
    assert uploads.path(record).name == "data" and uploads.path(record).exists()


@pytest.mark.parametrize("id", ["nobody", "../uploads", "0" * 20, ""])
def test_what_is_not_there_is_not_found(uploads, id):
    uploads.begin("fox.txt", 1)
    with pytest.raises(NotFound):
        uploads.get(id)
    with pytest.raises(NotFound):
        uploads.remove(id)


def test_a_removed_upload_takes_its_bytes_along(uploads):
    id = uploads.begin("fox.txt", 1).id
    uploads.remove(id)
    assert uploads.records() == [] and list(uploads.root.iterdir()) == []


def test_it_is_known_when_an_upload_was_last_touched(tmp_path):
    times = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(9))
    store = UploadStore(tmp_path / "uploads", now=lambda: next(times))
    record = store.begin("fox.txt", 9)
    assert append(store, record.id, b"fox").touched_at - record.created_at == timedelta(hours=1)


def test_short_writes_are_continued(tmp_path):
    record = send(UploadStore(tmp_path / "uploads", ShortWriting()))
    assert UploadStore(tmp_path / "uploads").path(record).read_bytes() == WHOLE


def test_a_full_disk_is_told_and_what_had_arrived_stays(uploads):
    id = uploads.begin("fox.txt", len(WHOLE)).id
    append(uploads, id, PIECES[0])
    full = UploadStore(uploads.root, Failing(2, lasting=True))  # opened, then no byte more
    with pytest.raises(StoreFull):
        append(full, id, PIECES[1])
    assert uploads.get(id).received == len(PIECES[0])
    assert append(uploads, id, PIECES[1]).received == len(PIECES[0] + PIECES[1])


CHILD = """
import sys
from pathlib import Path
from loupe.storage.uploads import UploadStore
from tests.storage.faults import Dying
from tests.storage.samples import send
send(UploadStore(Path(sys.argv[1]), Dying(int(sys.argv[2]))))
"""


def test_after_kill_at_any_moment_the_upload_goes_on_to_the_same_bytes(tmp_path):
    kills = 0
    for at in itertools.count(1, 4):
        store = UploadStore(tmp_path / f"uploads{at}")
        child = subprocess.run([sys.executable, "-c", CHILD, store.root, str(at)], capture_output=True, text=True)
        store.sweep()
        record = send(store)
        assert [each.id for each in store.records()] == [record.id] and store.path(record).read_bytes() == WHOLE
        if child.returncode == 0:
            break
        assert child.returncode == -9, child.stderr
        kills += 1
    assert kills > 6


@pytest.mark.parametrize("seed", range(2))
def test_after_a_power_cut_at_any_effect_no_piece_that_was_confirmed_is_lost(tmp_path, seed):
    choose, at = random.Random(seed), 0
    for at in itertools.count(1):
        disk = tmp_path / f"disk{at}"
        disk.mkdir()
        fs = LosingPower(disk, at)
        confirmed: list[int] = []
        try:
            send(UploadStore(disk / "uploads", fs), confirmed)
        except PowerCut:
            assert fs.effects >= at
        after = UploadStore(fs.disk_after(tmp_path / f"after{at}", choose) / "uploads")
        after.sweep()
        found = after.records()
        assert max([0, *(each.received for each in found)]) >= max([0, *confirmed])
        record = send(after)
        assert after.path(record).read_bytes() == WHOLE
        if confirmed and confirmed[-1] == len(WHOLE):
            break
    assert at > 12


def test_a_folder_without_a_record_is_cleared_away(uploads):
    kept, stray = uploads.begin("fox.txt", 1), uploads.begin("owl.txt", 1)
    (uploads.root / stray.id / RECORD).unlink()
    assert uploads.sweep() == 1
    assert [each.id for each in uploads.records()] == [kept.id]
