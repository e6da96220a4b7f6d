"""An artefact is complete or absent."""

import errno
import itertools
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from loupe.storage.artefacts import ArtefactStore
from loupe.storage.errors import CorruptArtefact, NameRejected, NotFound, StoreFailed, StoreFull
from loupe.storage.fs import REAL
from tests.storage.faults import ALWAYS, Failing, LosingPower, PowerCut, ShortWriting
from tests.storage.samples import saved

SPARE = {".partial", ".orphans", ".removed"}


def assert_tidy(root: Path, expected: set[str]) -> None:
    """The closing check: exactly these artefacts, each true to its manifest, and nothing half done."""
    store = ArtefactStore(root)
    store.sweep(store.ids())
    assert store.ids() == expected
    for id in expected:
        store.open(id)
    assert {path.name for path in root.iterdir()} == SPARE | expected
    assert list((root / ".partial").iterdir()) == list((root / ".removed").iterdir()) == []


def test_a_finished_artefact_can_be_read_back(artefacts):
    artefact = saved(artefacts, data=b'{"a": 1}')
    opened = artefacts.open(artefact.id)
    assert opened.path("result.json").read_bytes() == b'{"a": 1}'
    assert opened.path("vectors/gold.bin").stat().st_size == 2560
    assert opened.manifest == artefact.manifest
    assert opened.manifest_sha256 == artefact.manifest_sha256
    assert (opened.manifest.kind, opened.manifest.name, dict(opened.manifest.details)) == (
        "run",
        "a story",
        {"positions": 3},
    )
    assert opened.size == 2568
    assert_tidy(artefacts.root, {artefact.id})


def test_files_are_readable_by_their_owner_alone(artefacts):
    artefact = saved(artefacts)
    assert artefact.folder.stat().st_mode & 0o777 == 0o700
    assert artefact.path("result.json").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_not_in_the_manifest_is_not_found(artefacts):
    with pytest.raises(NotFound, match=r"other\.json"):
        saved(artefacts).path("other.json")


def test_a_library_may_write_into_the_folder_itself(artefacts):
    with artefacts.write("model", "tiny") as draft:
        (draft.folder / "weights").mkdir()
        (draft.folder / "weights" / "model.safetensors").write_bytes(b"\x00" * 5)
    assert set(artefacts.open(draft.id).manifest.files) == {"weights/model.safetensors"}


def test_chunks_are_written_one_after_the_other(artefacts):
    with artefacts.write("run", "chunks") as draft:
        draft.write("data.bin", (bytes([number]) * 3 for number in range(3)))
    assert artefacts.open(draft.id).path("data.bin").read_bytes() == b"\x00\x00\x00\x01\x01\x01\x02\x02\x02"


def test_an_exception_in_the_block_leaves_nothing(artefacts):
    with pytest.raises(KeyboardInterrupt), artefacts.write("run", "half") as draft:
        draft.write("result.json", b"{}")
        raise KeyboardInterrupt
    assert draft.artefact is None
    assert_tidy(artefacts.root, set())


def test_nobody_sees_an_artefact_before_it_is_finished(artefacts):
    with artefacts.write("run", "later") as draft:
        draft.write("result.json", b"{}")
        assert artefacts.ids() == set()
        with pytest.raises(NotFound):
            artefacts.open(draft.id)
    assert artefacts.ids() == {draft.id}


def test_a_file_is_not_written_twice(artefacts):
    with pytest.raises(StoreFailed, match="File exists"), artefacts.write("run", "twice") as draft:
        draft.write("result.json", b"1")
        draft.write("result.json", b"2")


@pytest.mark.parametrize(
    "name", ["../out", "/etc/passwd", "a/../../out", "a//b", "", "a\\b", ".hidden", "nul", "x\x00y"]
)
def test_a_name_cannot_leave_the_folder(artefacts, tmp_path, name):
    with pytest.raises(NameRejected), artefacts.write("run", "names") as draft:
        draft.write(name, b"x")
    assert_tidy(artefacts.root, set())
    assert {path.name for path in tmp_path.iterdir()} == {"artefacts"}


def test_a_link_in_the_folder_is_refused(artefacts, tmp_path):
    (tmp_path / "secret").write_text("mine")
    with pytest.raises(StoreFailed, match="files and folders only"), artefacts.write("run", "link") as draft:
        (draft.folder / "secret").symlink_to(tmp_path / "secret")
    assert (tmp_path / "secret").read_text() == "mine"
    assert_tidy(artefacts.root, set())


@pytest.mark.parametrize("id", ["", "..", "../../etc", "0" * 19, "0" * 21, "G" * 20, ".partial", "0" * 20])
def test_what_is_not_the_id_of_an_artefact_is_not_found(artefacts, id):
    saved(artefacts)
    for attempt in (artefacts.open, artefacts.delete):
        with pytest.raises(NotFound):
            attempt(id)


def test_a_deleted_artefact_is_gone(artefacts):
    gone, kept = saved(artefacts), saved(artefacts)
    artefacts.delete(gone.id)
    with pytest.raises(NotFound):
        artefacts.open(gone.id)
    assert_tidy(artefacts.root, {kept.id})


def test_nothing_is_deleted_while_somebody_is_copying(artefacts):
    artefact, deleted = saved(artefacts), threading.Event()

    def delete() -> None:
        artefacts.delete(artefact.id)
        deleted.set()

    with artefacts.keeping():
        deleter = threading.Thread(target=delete)
        deleter.start()
        assert not deleted.wait(0.05)
        assert artefacts.open(artefact.id)
    assert deleted.wait(120)
    deleter.join()


# Damage


def damage_missing_file(folder: Path) -> None:
    (folder / "result.json").unlink()


def damage_changed_byte(folder: Path) -> None:
    data = bytearray((folder / "vectors/gold.bin").read_bytes())
    data[77] ^= 1
    (folder / "vectors/gold.bin").write_bytes(data)


def damage_truncated_file(folder: Path) -> None:
    (folder / "vectors/gold.bin").write_bytes(b"\x00")


def damage_added_file(folder: Path) -> None:
    (folder / "extra").write_bytes(b"")


def damage_file_replaced_by_link(folder: Path) -> None:
    (folder / "result.json").rename(folder.parent.parent / "result.json")
    (folder / "result.json").symlink_to(folder.parent.parent / "result.json")


def damage_no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def damage_empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"")


def damage_torn_manifest(folder: Path) -> None:
    text = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(text[: len(text) // 2])


def damage_edited_manifest(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace("a story", "another"))


def damage_manifest_of_zeros(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"\x00" * 512)


def damage_manifest_is_a_list(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"[1, 2]")


DAMAGES = [value for name, value in globals().copy().items() if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_artefact_is_never_opened(artefacts, damage):
    artefact, intact = saved(artefacts), saved(artefacts)
    damage(artefact.folder)
    fresh = ArtefactStore(artefacts.root)
    with pytest.raises(CorruptArtefact, match=artefact.id):
        fresh.open(artefact.id)
    assert fresh.open(intact.id)


def test_damage_to_what_was_opened_before_is_noticed_by_its_size(artefacts):
    artefact = saved(artefacts)
    artefacts.open(artefact.id)
    damage_truncated_file(artefact.folder)
    with pytest.raises(CorruptArtefact):
        artefacts.open(artefact.id)
    damage_missing_file(artefact.folder)
    with pytest.raises(CorruptArtefact):
        artefacts.open(artefact.id)


def test_a_folder_under_the_name_of_another_artefact_is_refused(artefacts):
    artefact = saved(artefacts)
    artefact.folder.rename(artefacts.root / ("f" * 20))
    with pytest.raises(CorruptArtefact, match=artefact.id):
        artefacts.open("f" * 20)


def test_a_manifest_of_a_later_format_is_refused_with_its_number(artefacts, monkeypatch):
    monkeypatch.setattr("loupe.storage.manifest.FORMAT", 2)
    artefact = saved(artefacts)
    monkeypatch.undo()
    with pytest.raises(CorruptArtefact, match="format 2, and this version reads format 1"):
        ArtefactStore(artefacts.root).open(artefact.id)


# Faults


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull), (errno.EIO, StoreFailed), (errno.EROFS, StoreFailed)],
    ids=["ENOSPC", "EDQUOT", "EIO", "EROFS"],
)
def test_a_disk_that_fails_at_any_effect_loses_nothing_that_was_finished(tmp_path, code, kind, lasting):
    root = tmp_path / "artefacts"
    old = saved(ArtefactStore(root))
    failures = 0
    for at in itertools.count(1):
        fs = Failing(code=code, lasting=lasting)
        store = ArtefactStore(root, fs)
        fs.effects, fs.at = 0, at
        try:
            new = saved(store)
        except kind as error:
            failures += 1
            assert str(root) in str(error)
        else:
            break
        after = ArtefactStore(root)
        after.sweep({old.id})
        assert_tidy(root, {old.id} | (after.ids() - {old.id}))
        assert after.ids() == {old.id}
    assert failures > 12  # make folder, open, write and sync each file, rename, sync the names
    assert fs.effects < at  # the loop ended because nothing was left to fail
    assert_tidy_with_orphans(root, {old.id, new.id})


def assert_tidy_with_orphans(root: Path, expected: set[str]) -> None:
    store = ArtefactStore(root)
    store.purge_orphans()
    assert_tidy(root, expected)


def test_a_full_disk_names_the_bytes_that_were_needed(tmp_path):
    store = ArtefactStore(tmp_path, fs := Failing())
    fs.effects, fs.at = 0, 3  # make the folder, open the file, write it
    with pytest.raises(StoreFull, match=r"\(5 bytes\)") as caught, store.write("run", "full") as draft:
        draft.write("a.bin", b"12345")
    assert caught.value.needed == 5
    assert caught.value.retryable


def test_a_library_that_meets_a_full_disk_is_understood_in_its_own_words(artefacts):
    with pytest.raises(StoreFull, match="no space left at") as caught, artefacts.write("model", "tiny") as draft:
        draft.write("config.json", b"{}")
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert isinstance(caught.value.__cause__, OSError)
    assert_tidy(artefacts.root, set())


def test_short_writes_are_continued(tmp_path):
    artefact = saved(ArtefactStore(tmp_path, ShortWriting()))
    assert ArtefactStore(tmp_path).open(artefact.id).path("vectors/gold.bin").read_bytes() == bytes(range(256)) * 10


CHILD = """
import sys
from pathlib import Path
from loupe.storage.artefacts import ArtefactStore
from tests.storage.faults import Dying
from tests.storage.samples import saved
fs = Dying()
store = ArtefactStore(Path(sys.argv[1]), fs)
fs.effects, fs.at = 0, int(sys.argv[2])
print(saved(store).id, fs.effects)
"""


def test_a_process_killed_at_any_phase_of_saving_leaves_the_old_and_nothing_half_done(tmp_path):
    root = tmp_path / "artefacts"
    old = saved(ArtefactStore(root))
    for at in itertools.count(1):
        child = subprocess.run([sys.executable, "-c", CHILD, root, str(at)], capture_output=True, text=True)
        store = ArtefactStore(root)
        found = store.ids() - {old.id}
        for id in found:
            store.open(id)  # a folder in its final place is complete
        if child.returncode == 0:
            break
        assert child.returncode == -9, child.stderr
        sweep = store.sweep({old.id})
        assert set(sweep.orphaned) == found
        assert len(sweep.removed) == (0 if at == 1 or found else 1)
        assert_tidy(root, {old.id})
    assert at > 12
    assert child.stdout.split()[0] in found


@pytest.mark.parametrize("seed", range(6))
def test_a_power_cut_at_any_effect_leaves_the_old_artefact_whole_and_the_new_one_whole_or_absent(tmp_path, seed):
    choose = random.Random(seed)
    for at in itertools.count(1):
        root = tmp_path / f"disk{at}"
        old = saved(ArtefactStore(root))
        fs = LosingPower(root)
        store = ArtefactStore(root, fs)
        fs.effects, fs.at = 0, at
        promised = {old.id}
        try:
            promised.add(saved(store).id)
        except PowerCut:
            assert fs.effects >= at
        after = ArtefactStore(fs.disk_after(tmp_path / f"after{at}", choose))
        after.sweep(after.ids())
        assert promised <= after.ids()
        for id in after.ids():
            after.open(id)
        if len(promised) == 2:
            break
    assert at > 12


def test_without_the_sync_of_a_directory_the_power_cut_test_would_fail(tmp_path):
    class NoDirectorySync(LosingPower):
        def sync(self, fd):
            if not Path(f"/proc/self/fd/{fd}").resolve().is_dir():
                super().sync(fd)

    losses = 0
    for seed in range(20):
        root = tmp_path / f"disk{seed}"
        ArtefactStore(root)
        artefact = saved(ArtefactStore(root, fs := NoDirectorySync(root)))
        disk = ArtefactStore(fs.disk_after(tmp_path / f"after{seed}", random.Random(seed)))
        losses += artefact.id not in disk.ids()
    assert losses > 0


# Sweeps


def test_a_sweep_sets_unknown_artefacts_aside_and_takes_them_back_when_they_are_known_again(artefacts):
    known, unknown = saved(artefacts), saved(artefacts)
    missing = "a" * 20
    sweep = artefacts.sweep({known.id, missing})
    assert sweep == ((), (unknown.id,), (missing,))
    assert artefacts.ids() == {known.id}
    assert artefacts.sweep({known.id, unknown.id}) == ((), (), ())
    assert artefacts.open(unknown.id).manifest == unknown.manifest


def test_orphans_are_deleted_only_when_asked(artefacts):
    orphan = saved(artefacts)
    artefacts.sweep(())
    assert (artefacts.root / ".orphans" / orphan.id).is_dir()
    assert artefacts.purge_orphans() == 1
    assert artefacts.purge_orphans() == 0
    assert_tidy(artefacts.root, set())


def test_a_deletion_that_was_interrupted_is_finished_by_the_sweep(artefacts):
    artefact = saved(artefacts)
    for at in itertools.count(1):
        fs = Failing(at=ALWAYS, code=errno.EIO)
        store = ArtefactStore(artefacts.root, fs)
        fs.effects, fs.at = 0, at
        try:
            store.delete(artefact.id)
        except StoreFailed:
            store.sweep({artefact.id})
            if artefact.id not in ArtefactStore(artefacts.root).ids():
                artefact = saved(artefacts)
            continue
        break
    assert at == 5
    assert_tidy(artefacts.root, set())


def test_drafts_from_many_threads_do_not_meet(artefacts):
    made, lock = [], threading.Lock()

    def work(number: int) -> None:
        for _ in range(5):
            artefact = saved(artefacts, data=str(number).encode())
            with lock:
                made.append((artefact.id, number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(artefacts.open(id).path("result.json").read_bytes() == str(number).encode() for id, number in made)
    assert_tidy(artefacts.root, {id for id, _ in made})


def test_the_real_file_system_says_how_much_is_free(tmp_path):
    assert REAL.free_bytes(tmp_path) > 0
