"""Unpickled checkpoints as tensors and plain values: whatever is nested, shared, strided or hostile in them."""

import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from loupe.engine.errors import CorruptFile, UnknownFormat
from loupe.engine.models import convert
from loupe.engine.models.convert import encode, flatten
from loupe.engine.models.weights import check_safetensors

W = torch.arange(12.0).reshape(3, 4)


def written(tensors: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """What the reference library reads from the file we write."""
    file = folder / "w.safetensors"
    file.write_bytes(b"".join(encode(tensors)))
    check_safetensors(file)
    return load_file(file)


def test_a_plain_state_dict_keeps_its_names_and_has_no_values() -> None:
    found = flatten(OrderedDict({"model.layers.0.w": W, "model.norm": W[0]}))
    assert list(found.tensors) == ["model.layers.0.w", "model.norm"]
    assert (found.prefix, found.values, found.notes) == (
        "",
        {},
        ("model.layers.0.w, model.norm shared memory; each is written in full.",),
    )


def test_the_usual_wrapper_around_all_tensors_is_taken_off_and_remembered() -> None:
    found = flatten({"model": {"state_dict": {"a.w": W, "b": torch.ones(2)}}, "config": {"lr": 0.1}, "step": 3})
    assert list(found.tensors) == ["a.w", "b"] and found.prefix == "model.state_dict"
    assert found.values == {"config": {"lr": 0.1}, "step": 3}


def test_a_wrapper_beside_other_tensors_stays_so_that_names_stay_apart() -> None:
    found = flatten({"state_dict": {"w": W}, "ema": {"w": torch.ones(2)}})
    assert list(found.tensors) == ["state_dict.w", "ema.w"] and found.prefix == ""


def test_lists_are_named_by_index_and_plain_values_keep_their_index() -> None:
    found = flatten({"models": {"enc": [W, torch.ones(1)]}, "mixed": ["x", torch.zeros(1), 2]})
    assert list(found.tensors) == ["models.enc.0", "models.enc.1", "mixed.1"]
    assert found.values == {"mixed": ["x", None, 2]}


def test_a_lone_tensor_has_a_name() -> None:
    assert list(flatten(W).tensors) == ["tensor"] and list(flatten({"model": W}).tensors) == ["model"]


def test_values_are_what_json_knows_and_the_rest_is_named() -> None:
    odd: dict[Any, Any] = {
        "w": W,
        0: math.nan,
        "d": torch.float16,
        "t": (1, "2"),
        "raw": b"\0",
        "none": None,
        "inf": -math.inf,
    }
    found = flatten(odd)
    assert found.values == {"0": "nan", "d": "torch.float16", "t": [1, "2"], "none": None, "inf": "-inf"}
    assert found.notes == ("raw: a bytes is neither tensor nor plain value; left out.",)
    json.dumps(found.values, allow_nan=False)


@pytest.mark.parametrize("dtype", list(convert._DTYPES), ids=str)
def test_every_dtype_comes_back_bit_for_bit(dtype: torch.dtype, tmp_path: Path) -> None:
    tensor = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    back = written({"x": tensor, "other": torch.ones(3, dtype=torch.uint8)}, tmp_path)["x"]
    assert back.dtype == dtype and back.shape == (2, 2)
    assert back.view(torch.uint8).tolist() == tensor.view(torch.uint8).tolist()


def test_strided_shared_scalar_and_empty_tensors_are_written_in_full(tmp_path: Path) -> None:
    found = flatten(
        {
            "w": W,
            "t": W.t(),
            "row": W[1],
            "wide": torch.ones(1).expand(5),
            "one": torch.tensor(7),
            "none": torch.ones(0, 3),
        }
    )
    back = written(found.tensors, tmp_path)
    assert {name: each.tolist() for name, each in back.items()} == {n: t.tolist() for n, t in found.tensors.items()}
    assert found.notes == ("w, t, row shared memory; each is written in full.", "t, wide had strides; made contiguous.")


def test_long_tensors_are_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "_CHUNK", 7)
    assert torch.equal(written({"w": W}, tmp_path)["w"], W)


def test_parameters_and_conjugates_are_plain_tensors_in_the_end(tmp_path: Path) -> None:
    numbers = torch.tensor([1 + 2j], dtype=torch.complex64)
    found = flatten({"p": torch.nn.Parameter(W), "c": numbers.conj()})
    back = written(found.tensors, tmp_path)
    assert back["c"].tolist() == [1 - 2j] and torch.equal(back["p"], W)


def test_the_summary_counts_tensors_parameters_and_dtypes() -> None:
    found = flatten({"a": W, "b": torch.ones(2, dtype=torch.bfloat16)})
    assert found.summary() == {"count": 2, "parameters": 14, "dtypes": {"bfloat16": 1, "float32": 1}}
    assert found.size_bytes == 52


@pytest.mark.parametrize(
    ("loaded", "sentence"),
    [
        ({"config": {"lr": 1}}, "holds no tensor"),
        ({"a.b": W, "a": {"b": W}}, "both be named 'a.b'"),
        ({0: W, "0": W}, "read the same"),
        ({"__metadata__": W}, "cannot name"),
        ({"bad\ud800": W}, "cannot name"),
        ({"s": torch.eye(2).to_sparse()}, "sparse"),
        ({"m": torch.ones(2, device="meta")}, "sparse"),
        ({"c": torch.ones(2, dtype=torch.complex128)}, "complex128"),
    ],
)
def test_what_safetensors_cannot_hold_is_refused_with_the_reason(loaded: object, sentence: str) -> None:
    with pytest.raises(UnknownFormat, match=sentence):
        flatten(loaded)


def test_a_dictionary_inside_itself_ends() -> None:
    endless: dict[str, Any] = {"w": W}
    endless["again"] = endless
    with pytest.raises(CorruptFile, match="nests deeper"):
        flatten(endless)


def test_few_lists_that_mean_very_many_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "MOST_ENTRIES", 1000)
    many: list[Any] = [0]
    for _ in range(30):
        many = [many, many]
    with pytest.raises(CorruptFile, match="over 1000 entries"):
        flatten({"w": W, "many": many})
