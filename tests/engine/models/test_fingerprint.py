"""A fingerprint changes with what is computed, and with nothing else."""

import hashlib
import os
from pathlib import Path

import pytest
import torch

from loupe.engine.errors import UnsafeFile
from loupe.engine.models.fingerprint import file_sha256, fingerprint_files, fingerprint_model
from loupe.engine.models.loading import wrap_model
from tests.engine.models.zoo import make


def test_a_files_hash_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"hello")
    assert file_sha256(tmp_path / "a.json") == hashlib.sha256(b"hello").hexdigest()


def test_a_pickle_is_not_even_hashed(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile):
        file_sha256(tmp_path / "weights.pt")


def test_the_order_in_which_files_are_given_does_not_matter_and_their_names_do(tmp_path: Path) -> None:
    one, two = tmp_path / "a.json", tmp_path / "b.json"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    together = fingerprint_files([one, two])
    assert fingerprint_files([two, one]) == together
    one.write_bytes(b"2")
    two.write_bytes(b"1")
    assert fingerprint_files([one, two]) != together


def test_a_model_in_memory_is_known_by_its_tensors_and_config() -> None:
    first = fingerprint_model(make("llama"))
    assert fingerprint_model(make("llama")) == first
    assert fingerprint_model(make("qwen2")) != first
    changed = make("llama")
    with torch.no_grad():
        changed.model.norm.weight[0] += 1e-6
    assert fingerprint_model(changed) != first
    other_config = make("llama")
    other_config.config.rms_norm_eps = 1e-3
    assert fingerprint_model(other_config) != first


def test_bfloat16_tensors_can_be_fingerprinted() -> None:
    assert len(fingerprint_model(make("llama").to(torch.bfloat16))) == 64


def test_a_wrapped_model_computes_its_fingerprint_once() -> None:
    lm = wrap_model(make("llama"), None)
    first = lm.fingerprint
    with torch.no_grad():
        lm.head.weight.zero_()
    assert lm.fingerprint == first
    assert wrap_model(lm.model, None).fingerprint != first


def test_an_untouched_file_is_read_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(b"one")
    os.utime(file, (1_000, 1_000))
    first, digest = file_sha256(file), hashlib.file_digest
    reads: list[object] = []
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: reads.append(a) or digest(*a))
    assert file_sha256(file) == first and reads == []
    file.write_bytes(b"two")
    assert file_sha256(file) == hashlib.sha256(b"two").hexdigest() and len(reads) == 1


def test_a_file_that_was_written_a_moment_ago_is_not_trusted_to_stay(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    for content in (b"one", b"two", b"six"):
        file.write_bytes(content)
        assert file_sha256(file) == hashlib.sha256(content).hexdigest()
