"""Kernels are compiled by another process, once; a new process opens them without a compiler."""

import subprocess
import sys

import numpy as np
import pytest

from loupe.engine.sae import compiled, linked, warming
from tests.engine.sae.samples import run


def test_a_job_yields_while_another_process_compiles(monkeypatch, tmp_path):
    monkeypatch.setattr(warming, "_state", {"ready": False})
    monkeypatch.setattr(linked, "is_linked", lambda: False)
    monkeypatch.setattr(linked, "can_link", lambda: False)
    monkeypatch.setattr(warming, "_on_disk", lambda: False)
    begin = f"import pathlib, time; pathlib.Path({str(tmp_path / 'begun')!r}).touch(); time.sleep(600)"
    monkeypatch.setattr(warming, "COMMAND", (sys.executable, "-c", begin))
    monkeypatch.setattr(warming, "PAUSE_S", 0.0)
    waiting = warming.kernels_ready()
    while not (tmp_path / "begun").exists():
        next(waiting)
    waiting.close()  # does not wait for a child that is not done, and leaves none behind
    monkeypatch.setattr(warming, "COMMAND", (sys.executable, "-c", ""))
    assert run(warming.kernels_ready())[1] > 0
    assert run(warming.kernels_ready())[1] == 0


def test_a_new_process_needs_no_compiler_neither_numbas_nor_torchs():
    run(warming.kernels_ready())
    script = (
        "import sys; from loupe.engine.sae.warming import small_steps; small_steps()\n"
        "print('numba' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(not linked.can_link()), "False"]


def test_kernels_of_the_library_are_numbas_to_the_last_bit():
    run(warming.kernels_ready())
    rows = np.random.default_rng(0).standard_normal((4, 5, 70)).astype(np.float32)
    numbers = tuple(np.float32(each) for each in (0.5, 0.1, 0.99, 0.01, 1e-3, 1.5, 1e-8))

    def found(kernels):
        weight, grad, mean, square = (each.copy() for each in rows)
        kernels.adam_rows(1, 4, weight, grad, mean, square * square, numbers)
        kernels.remove_along(0, 5, grad, weight)
        return weight, mean, grad, kernels.sum_of_squares(0, 5, grad)

    for ours, theirs in zip(found(linked.kernels), found(compiled), strict=True):
        assert np.array_equal(ours, theirs)


def test_the_library_refuses_arrays_of_another_kind():
    run(warming.kernels_ready())
    if linked.is_linked():
        with pytest.raises(TypeError, match="float64"):
            linked.kernels.unit_rows(0, 1, np.ones((1, 4)))
        with pytest.raises(TypeError, match="row by row"):
            linked.kernels.unit_rows(0, 1, np.ones((4, 4), np.float32).T[:2])


def test_where_linking_failed_once_it_is_not_tried_again(monkeypatch, tmp_path):
    monkeypatch.setattr(linked, "_place", lambda: tmp_path / "kernels.so")
    monkeypatch.setattr(linked, "_linker", lambda: "/bin/false")
    monkeypatch.setattr(compiled, "SIGNATURES", {"unit_rows": "n n f2"})
    assert linked.can_link() and not linked.link()
    assert not linked.can_link() and not linked.is_linked()
