"""Weight files judged by name and header alone."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from loupe.engine.errors import CorruptFile, UnknownFormat, UnsafeFile
from loupe.engine.models.weights import check_safetensors, read_json, weight_files


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    save_file({"a": torch.arange(6.0), "b": torch.ones(2, 3)}, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_a_whole_file_passes_and_its_header_is_given(whole: Path) -> None:
    header = check_safetensors(whole)
    assert header["a"]["shape"] == [6]
    assert weight_files(whole.parent) == [whole]


def test_a_file_cut_anywhere_is_corrupt(whole: Path) -> None:
    data = whole.read_bytes()
    for length in range(len(data)):
        whole.write_bytes(data[:length])
        with pytest.raises(CorruptFile):
            check_safetensors(whole)


def test_a_file_with_something_after_its_end_is_corrupt(whole: Path) -> None:
    whole.write_bytes(whole.read_bytes() + b"\0")
    with pytest.raises(CorruptFile, match="announces"):
        check_safetensors(whole)


@pytest.mark.parametrize(
    "header", [b"nonsense", b"[]", b'{"a": 1}', b'{"a": {"data_offsets": [0]}}', b'{"a": {"data_offsets": [0, "x"]}}']
)
def test_a_header_that_is_no_header_is_corrupt(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CorruptFile, match="header"):
        check_safetensors(file)


def test_a_file_of_no_tensors_is_whole(tmp_path: Path) -> None:
    save_file({}, tmp_path / "model.safetensors")
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]


@pytest.mark.parametrize("name", ["model.bin", "x.pt", "y.PTH", "z.ckpt", "a.pkl"])
def test_a_pickle_is_refused_by_its_name_and_never_opened(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    with pytest.raises(UnsafeFile, match="loupe convert"):
        check_safetensors(file)
    file.write_bytes(b"")
    with pytest.raises(UnsafeFile, match="loupe convert"):
        weight_files(tmp_path)


def test_a_folder_without_weights_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match=r"model\.safetensors"):
        weight_files(tmp_path)


def shard(folder: Path, names: list[str], weight_map: dict[str, str]) -> None:
    for name in names:
        save_file({"a": torch.ones(2)}, folder / name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_shards_are_all_looked_at_once_each(tmp_path: Path) -> None:
    names = ["model-1.safetensors", "model-2.safetensors"]
    shard(tmp_path, names, {"a": names[0], "b": names[1], "c": names[0]})
    assert weight_files(tmp_path) == [tmp_path / name for name in names]
    (tmp_path / names[1]).write_bytes(b"")
    with pytest.raises(CorruptFile, match="model-2"):
        weight_files(tmp_path)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    shard(tmp_path, ["model-1.safetensors"], {"a": "model-1.safetensors", "b": "model-2.safetensors"})
    with pytest.raises(CorruptFile, match=r"model-2\.safetensors is not there"):
        weight_files(tmp_path)


def test_an_index_that_points_outside_its_folder_is_refused(tmp_path: Path) -> None:
    shard(tmp_path, [], {"a": "../elsewhere.safetensors"})
    with pytest.raises(CorruptFile, match="outside"):
        weight_files(tmp_path)


def test_an_index_of_pickles_is_refused(tmp_path: Path) -> None:
    shard(tmp_path, [], {"a": "pytorch_model.bin"})
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UnsafeFile):
        weight_files(tmp_path)


def test_an_empty_index_is_corrupt(tmp_path: Path) -> None:
    shard(tmp_path, [], {})
    with pytest.raises(CorruptFile, match="no shard"):
        weight_files(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[1]"])
def test_json_that_is_no_object_is_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CorruptFile):
        read_json(tmp_path / "config.json")
