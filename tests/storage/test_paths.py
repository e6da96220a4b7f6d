"""Nothing is written outside the data directory, and only its owner sees inside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loupe.storage.errors import DataDirError, NameRejected
from loupe.storage.paths import DataDir, checked_name, default_path, is_id, new_id


def mode(path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_data_directory_is_its_owners_alone(tmp_path):
    data_dir = DataDir.create(tmp_path / "deep" / "home")
    for folder in (data_dir.path, data_dir.artefacts, data_dir.backups, data_dir.models):
        assert mode(folder) == 0o700


def test_an_existing_data_directory_that_others_could_read_is_closed(tmp_path):
    (tmp_path / "home").mkdir(mode=0o755)
    assert mode(DataDir.create(tmp_path / "home").path) == 0o700


def test_a_file_cannot_be_a_data_directory(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(DataDirError, match="LOUPE_HOME"):
        DataDir.create(tmp_path / "home")


def test_the_place_is_loupe_home_or_the_platforms(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_HOME", str(tmp_path / "mine"))
    assert default_path() == tmp_path / "mine"
    assert DataDir.create().path == tmp_path / "mine"
    monkeypatch.setenv("LOUPE_HOME", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_path().is_relative_to(tmp_path)


def test_everything_lies_inside(data_dir):
    places = (data_dir.database, data_dir.artefacts, data_dir.backups, data_dir.models, data_dir.lock, data_dir.holder)
    assert all(place.parent == data_dir.path for place in places)


def test_ids_are_fresh_and_recognised():
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(is_id(id) for id in ids)


@pytest.mark.parametrize("text", ["", "0" * 19, "0" * 20 + "\n", "A" * 20, "../../../../etc/pass", "٠" * 20])
def test_other_text_is_not_an_id(text):
    assert not is_id(text)


@pytest.mark.parametrize("name", ["a", "model.safetensors", "ein Märchen.txt", "狐.json", "a" * 200, "-rf", "a.b.c"])
def test_ordinary_names_are_accepted_as_they_are(name):
    assert checked_name(name) == name


HOSTILE = {
    "nothing": "",
    "parent": "..",
    "here": ".",
    "climbing": "../x",
    "climbing on Windows": "..\\x",
    "absolute": "/etc/passwd",
    "drive": "C:x",
    "stream": "a:b",
    "NUL": "a\x00b",
    "newline": "a\nb",
    "escape": "a\x1b[2Jb",
    "too long": "a" * 201,
    "too long in bytes": "狐" * 67,
    "device": "NUL",
    "device with extension": "com1.txt",
    "trailing dot": "a.",
    "trailing space": "a ",
    "hidden": ".bashrc",
    "decomposed": "Ma\u0308rchen",
    "right-to-left override": "a\u202egpj.exe",
    "zero width": "a\u200bb",
    "lone surrogate": "a\ud800",
    "wildcard": "*",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_refused(name):
    with pytest.raises(NameRejected, match="cannot be a file name"):
        checked_name(name)


@given(st.text(max_size=30))
def test_an_accepted_name_is_one_component_that_stays_inside(tmp_path_factory, name):
    try:
        checked_name(name)
    except NameRejected:
        return
    root = tmp_path_factory.getbasetemp()
    assert (root / name).resolve().parent == root.resolve()
    assert name.encode("utf-8")
