"""`loupe convert`: consent to one very file, a process apart, a result that is whole or not there, exit codes."""

import errno
import hashlib
import io
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from loupe.app.cli.main import main
from loupe.app.services import convert as service
from loupe.engine.errors import CorruptFile
from loupe.storage.errors import StoreFull
from loupe.storage.fs import FileSystem

Run = Callable[..., tuple[int, str, str]]
W = torch.arange(6.0).reshape(2, 3)


class Terminal(io.StringIO):
    """Somebody at a keyboard who types this."""

    def isatty(self) -> bool:
        return True


class Payload:
    """Pickles into a call."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call = call, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def loupe(monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> Run:
    """Run a command; returns its exit code and what it printed."""
    monkeypatch.setattr("loupe.app.logging.configure", lambda settings: None)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        out, err = capfdbinary.readouterr()
        return int(ended.value.code or 0), out.decode(), err.decode()

    return run


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint as training scripts leave them: weights in a wrapper, a view, options beside."""
    file = tmp_path / "sae.pt"
    torch.save({"state_dict": {"w": W, "w.t": W.t()}, "config": {"d_in": 3, "lr": 1e-3}}, file)
    return file


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_checkpoint_becomes_safetensors_and_a_sidecar(loupe: Run, checkpoint: Path) -> None:
    digest = sha256(checkpoint)
    code, out, _ = loupe("convert", checkpoint, "--consent", digest, "--json")
    assert code == 0 and names(checkpoint.parent) == ["sae.json", "sae.pt", "sae.safetensors"]
    back = load_file(checkpoint.with_suffix(".safetensors"))
    assert torch.equal(back["w"], W) and torch.equal(back["w.t"], W.t())
    sidecar = json.loads(checkpoint.with_suffix(".json").read_text())
    assert sidecar["source"] == {"file": "sae.pt", "sha256": digest, "size_bytes": checkpoint.stat().st_size}
    assert sidecar["values"] == {"config": {"d_in": 3, "lr": 1e-3}} and sidecar["prefix"] == "state_dict"
    assert sidecar["tensors"] == {"count": 2, "parameters": 12, "dtypes": {"float32": 2}}
    assert sidecar["weights"]["sha256"] == sha256(checkpoint.with_suffix(".safetensors"))
    assert len(sidecar["notes"]) == 2 and sidecar["loupe"]
    told = json.loads(out)
    assert told["weights"].endswith("sae.safetensors") and "audit_hook" in told["walls"]


def test_the_prompt_names_file_and_sha256_and_a_yes_opens_it(
    loupe: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = checkpoint.parent / "out"
    target.mkdir()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    code, out, err = loupe("convert", checkpoint, "--to", target)
    assert code == 0 and str(checkpoint) in err and sha256(checkpoint) in err
    assert names(target) == ["sae.json", "sae.safetensors"] and "2 tensors" in out


def test_without_a_yes_nothing_is_opened(loupe: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(service.subprocess, "Popen", never)
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert loupe("convert", checkpoint)[0] == 130
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # a pipe is nobody's consent
    code, _, err = loupe("convert", checkpoint)
    assert code == 6 and f"--consent {sha256(checkpoint)}" in " ".join(err.split())
    code, out, _ = loupe("convert", checkpoint, "--json", "--consent", "0" * 64)
    assert code == 6 and json.loads(out)["error"]["code"] == "consent_missing"
    assert names(checkpoint.parent) == ["sae.pt"]


def test_a_payload_that_touches_a_file_never_runs(loupe: Run, tmp_path: Path) -> None:
    canary, file = tmp_path / "canary", tmp_path / "bad.pt"
    torch.save({"w": W, "x": Payload(os.system, f"touch {canary}")}, file)
    code, out, _ = loupe("convert", file, "--consent", sha256(file), "--json")
    error = json.loads(out)["error"]
    assert code == 2 and error["code"] == "unsafe_file" and "system" in error["message"]
    assert names(tmp_path) == ["bad.pt"]


def test_a_payload_that_opens_a_socket_never_runs(loupe: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.bin"
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        call = Payload(socket.create_connection, server.getsockname()[:2])
        torch.save({"w": W, "x": call}, file, _use_new_zipfile_serialization=False)
        code, out, _ = loupe("convert", file, "--consent", sha256(file), "--json")
        with pytest.raises(BlockingIOError):
            server.accept()
    assert code == 2 and "create_connection" in json.loads(out)["error"]["message"]
    assert names(tmp_path) == ["bad.bin"]


def cut(source: Path, target: Path, **options: Any) -> None:
    torch.save({"w": torch.ones(4000)}, source, **options)
    target.write_bytes(source.read_bytes()[:9000])
    source.unlink()


def make(kind: str, file: Path) -> None:
    other = file.with_name("other")
    if kind == "cut off":
        cut(other, file)
    elif kind == "cut off, old":
        cut(other, file, _use_new_zipfile_serialization=False)
    elif kind == "safetensors":
        save_file({"w": W}, file)
    elif kind == "objects":
        with file.open("wb") as stream:
            np.savez(stream, a=np.array([None, {}], dtype=object))
    elif kind == "no tensors":
        torch.save({"lr": 1}, file)
    elif kind == "nonsense":
        file.write_bytes(b"<html>not found</html>")


@pytest.mark.parametrize(
    ("kind", "exit_code", "error"),
    [
        ("cut off", 3, "corrupt_file"),
        ("cut off, old", 3, "corrupt_file"),
        ("safetensors", 2, "bad_input"),
        ("objects", 2, "unsafe_file"),
        ("no tensors", 3, "unknown_format"),
        ("nonsense", 3, "unknown_format"),
        ("absent", 2, "not_found"),
    ],
)
def test_what_cannot_be_converted_is_refused_and_leaves_nothing(
    kind: str, exit_code: int, error: str, loupe: Run, tmp_path: Path
) -> None:
    file = tmp_path / "x.ckpt"
    make(kind, file)
    consent = sha256(file) if file.exists() else ""
    code, out, _ = loupe("convert", file, "--consent", consent, "--json")
    told = json.loads(out)["error"]
    assert code == exit_code and str(file) in told["message"]
    assert told["code"] == error
    assert names(tmp_path) in (["x.ckpt"], [])


@pytest.mark.parametrize("there", ["sae.json", "sae.safetensors"])
def test_an_existing_result_is_replaced_only_when_asked(there: str, loupe: Run, checkpoint: Path) -> None:
    existing = checkpoint.with_name(there)
    existing.write_text("mine")
    code, out, _ = loupe("convert", checkpoint, "--consent", sha256(checkpoint), "--json")
    assert code == 2 and json.loads(out)["error"]["code"] == "conflict" and existing.read_text() == "mine"
    assert names(checkpoint.parent) == sorted([there, "sae.pt"])
    if there == "sae.safetensors":
        assert loupe("convert", checkpoint, "--consent", sha256(checkpoint), "--json", "--force")[0] == 0
        assert set(load_file(existing)) == {"w", "w.t"}


class Full(FileSystem):
    """A disk that is full when results are to be synced."""

    def sync(self, fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_nothing_and_is_told_as_such(checkpoint: Path) -> None:
    with service.open_source(checkpoint) as source, pytest.raises(StoreFull):
        service.convert(source, checkpoint.parent, consent=source.sha256, fs=Full())
    assert names(checkpoint.parent) == ["sae.pt"]


def test_a_file_that_changes_after_consent_is_not_opened(checkpoint: Path) -> None:
    with service.open_source(checkpoint) as source:
        with checkpoint.open("r+b") as file:
            file.write(b"PK")
            file.seek(200)
            file.write(b"changed")
        with pytest.raises(CorruptFile, match="changed after"):
            service.convert(source, checkpoint.parent, consent=source.sha256)
    assert names(checkpoint.parent) == ["sae.pt"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import os; os._exit(0)", "without a result"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "longer, or more memory"),
        ("import os; os.symlink('/etc/passwd', 'report.json')", "too much besides"),
        ("open('report.json', 'w').write('{\"walls\": []}')", "wrote no tensors"),
        ("open('report.json', 'w').write('{\"walls\": [], \"evil\": 1}')", "without a result"),
    ],
)
def test_a_process_that_was_taken_over_is_not_believed(
    code: str, sentence: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_START", code)
    with service.open_source(checkpoint) as source, pytest.raises(CorruptFile, match=sentence):
        service.convert(source, checkpoint.parent, consent=source.sha256)
    assert names(checkpoint.parent) == ["sae.pt"]


def test_nothing_of_our_environment_reaches_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("LOUPE_API_KEY", "secret")
    assert "secret" not in service._environment().values()
