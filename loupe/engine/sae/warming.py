"""The kernels made ready before anybody waits for them: once per installation, in a process beside this one.

Compiling takes twenty seconds and holds the interpreter's lock, so a device thread must not do it between two slices.
The child links a library, which every process then opens at once (`linked`). Where there is no linker it runs one small
step of every kind instead, and what the compiler made of it lies on disk; each process then needs most of a second to
import the compiler and to read the first kernel, which a thread beside does. Where nothing can be written to disk, the
kernels are compiled here after all.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from loupe.engine.sae import linked

# Not with -m: as `__main__` this would be a second module, whose note that it is the child nobody else sees.
COMMAND = (sys.executable, "-c", "from loupe.engine.sae.warming import main; main()")
PAUSE_S = 0.02
KINDS = ("topk", "batchtopk", "matryoshka")
_state = {"ready": False}


def kernels_ready() -> Generator[None, None, None]:
    """Returns at once where the kernels lie ready; else yields until they do. Before it, no caller imports them."""
    if _state["ready"]:
        return
    if linked.can_link() and not linked.is_linked():
        yield from _compiled_by_a_child()
    if not linked.is_linked():
        if not (yield from _beside(_on_disk)):
            yield from _compiled_by_a_child()
        yield from _beside(_read_one)
    _state["ready"] = True


def _compiled_by_a_child() -> Generator[None, None, None]:
    with subprocess.Popen(COMMAND) as child:  # noqa: S603 - ourselves
        try:
            while child.poll() is None:
                time.sleep(PAUSE_S)
                yield
        finally:
            child.kill()


def _beside(work: Callable[[], bool]) -> Generator[None, None, bool]:
    """What `work` returns, from a thread; yields until it is there."""
    with ThreadPoolExecutor(1, "loupe-kernels") as pool:
        future = pool.submit(work)
        while not future.done():
            time.sleep(PAUSE_S)
            yield
        return future.result()


def _read_one() -> bool:
    """A kernel, called on nothing: what the compiler loads with its first one stays."""
    from loupe.engine.sae import compiled

    compiled.unit_rows(0, 0, np.zeros((0, 1), np.float32))
    return True


def _on_disk() -> bool:
    """Whether every kernel was compiled since its source changed; imports the compiler."""
    from loupe.engine.sae import compiled

    kernels = [each for each in vars(compiled).values() if hasattr(each, "stats") and not each.__name__.startswith("_")]
    written = Path(compiled.__file__).stat().st_mtime
    return all(
        any(index.stat().st_mtime >= written for index in Path(each.stats.cache_path).glob(f"*.{each.__name__}-*.nbi"))
        for each in kernels
    )


def main() -> None:
    """Link the kernels; where that cannot be, let numba keep what a small step of every kind needs."""
    if not (linked.can_link() and linked.link()):
        small_steps()


def small_steps() -> None:
    """One small step of every kind."""
    import torch

    from loupe.engine.sae.config import SAEConfig, TrainingConfig
    from loupe.engine.sae.learner import Learner

    _state["ready"] = True
    rows = torch.randn(1100, 8)
    for kind in KINDS:
        config = SAEConfig.from_dict({"architecture": kind, "d_in": 8, "d_sae": 64, "k": 4})
        learner = Learner(kind, config, TrainingConfig.from_dict({"steps": 2}).settled_for(config))
        for work in (learner.initialise(rows, rows), learner.step(rows, rows)):
            for _ in work:
                pass
