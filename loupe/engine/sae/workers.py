"""Pieces of one phase on several threads, cut into slices.

Kernels release the interpreter's lock, so ordinary threads are enough, and each piece (a matrix product included) runs
on one of them: no barrier between the product and what follows it, and no second pool of spinning threads. Between
rounds nothing runs and the generator yields. How many pieces make a round follows the time the last ones took; what
they compute does not.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

ROUND_S = 0.03  # what a round aims at; it cannot be shorter than one piece


def run_pieces(task: Callable[[int], None], pieces: int) -> Generator[None, None, None]:
    """`task(piece)` for every piece, each once, in any order, on as many threads as torch uses here.

    Yields after every round; one thread means the caller's own.
    """
    threads = torch.get_num_threads()
    done, size = 0, threads
    while done < pieces:
        started = time.monotonic()
        size = min(size, pieces - done)
        _round(task, range(done, done + size), threads)
        done += size
        per_piece = (time.monotonic() - started) / size
        yield
        size = max(threads, int(ROUND_S / max(per_piece, 1e-6)))


def _round(task: Callable[[int], None], pieces: range, threads: int) -> None:
    if threads == 1 or len(pieces) == 1:
        _work(task, iter(pieces))
        return
    left = iter(pieces)
    for each in [_pool(threads).submit(_work, task, left) for _ in range(min(threads, len(pieces)))]:
        each.result()


def _work(task: Callable[[int], None], left: Iterator[int]) -> None:
    with torch.no_grad():
        for piece in left:
            task(piece)


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads in which torch computes alone. Its setting is per thread, but also what later threads start from."""
    pool, all_here = ThreadPoolExecutor(threads, thread_name_prefix="sae"), threading.Barrier(threads)

    def settle() -> None:
        torch.set_num_threads(1)
        all_here.wait()

    for each in [pool.submit(settle) for _ in range(threads)]:
        each.result()
    torch.set_num_threads(threads)
    return pool
