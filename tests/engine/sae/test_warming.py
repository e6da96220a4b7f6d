"""Kernels are compiled by another process, once; a new process reads them from disk."""

import subprocess
import sys

from loupe.engine.sae import warming
from tests.engine.sae.samples import run


def test_a_job_yields_while_another_process_compiles(monkeypatch, tmp_path):
    monkeypatch.setattr(warming, "_state", {"ready": False})
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


def test_a_new_process_compiles_nothing_again_and_leaves_torchs_compiler_alone():
    run(warming.kernels_ready())
    script = (
        "import sys; from loupe.engine.sae.warming import main; main(); from loupe.engine.sae import compiled\n"
        "kernels = [each for each in vars(compiled).values() if hasattr(each, 'stats')]\n"
        "print(sum(sum(each.stats.cache_misses.values()) for each in kernels), 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]
