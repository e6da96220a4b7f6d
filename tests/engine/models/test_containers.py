"""Files that are handed to the converter: what they are is seen without opening them, whatever their names say."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from loupe.engine.errors import BadInput, CorruptFile, UnsafeFile
from loupe.engine.models.containers import check_convertible

OBJECTS = np.array([{"a": 1}, None], dtype=object)


def saved(save_to: Any, *arguments: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    save_to(stream, *arguments, **options)
    return stream.getvalue()


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name + ".npy", data)
    return stream.getvalue()


TORCH = saved(lambda stream, value: torch.save(value, stream), {"w": torch.ones(3)})
FIELDS = np.zeros(2, dtype=[("a", "<f4"), ("b", object)])


def check(data: bytes) -> None:
    stream = io.BytesIO(data)
    check_convertible(stream, "x.pt")
    assert stream.tell() == 0


def test_checkpoints_of_both_ages_may_be_converted() -> None:
    check(TORCH)
    check(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")


@pytest.mark.parametrize(
    ("data", "error", "sentence"),
    [
        (save({"w": torch.ones(2)}), BadInput, "safetensors already"),
        (saved(np.savez, a=np.ones(2)), BadInput, "plain numpy"),
        (saved(np.save, np.ones(2)), BadInput, "plain numpy"),
        (saved(np.savez, a=np.ones(2), b=OBJECTS), UnsafeFile, "Python objects"),
        (saved(np.savez_compressed, b=OBJECTS), UnsafeFile, "Python objects"),
        (saved(np.savez, b=FIELDS), UnsafeFile, "Python objects"),
        (saved(np.save, OBJECTS, allow_pickle=True), UnsafeFile, "Python objects"),
        (TORCH[: len(TORCH) // 2], CorruptFile, "cut-off"),
        (zipped(a=b"\x93NUMPY\x01\x00\xff\xff__import__('os')"), CorruptFile, "header"),
        (zipped(a=b""), CorruptFile, "header"),
        (b"", CorruptFile, "0 bytes"),
    ],
)
def test_everything_else_is_refused_with_the_reason(data: bytes, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        check(data)
