"""Whatever ends a job ends that job alone."""

import gc
import weakref

import pytest
import torch

from loupe.engine.device import DeviceThread
from loupe.engine.errors import BadInput, LoupeError, OutOfDeviceMemory
from loupe.engine.failures import is_out_of_memory
from loupe.engine.jobs import Priority, Progress
from loupe.engine.task import run_here
from tests.engine.jobs_for_tests import TIMEOUT, Count, Fails


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        BadInput("bad"),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        RecursionError(),
        OSError(5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_lands_in_the_future_and_the_thread_goes_on(device_thread: DeviceThread, error):
    handle = device_thread.submit(Fails(error))
    assert handle.future.exception(TIMEOUT) is error
    assert device_thread.submit(Count(2)).result(TIMEOUT) == 2


def test_a_job_that_raises_before_its_first_yield_fails_like_any_other(device_thread):
    class NotEvenAGenerator:
        name, priority = "broken", Priority.BATCH

        def run(self, ctx):
            raise ValueError("at once")

    with pytest.raises(ValueError, match="at once"):
        device_thread.submit(NotEvenAGenerator()).result(TIMEOUT)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
    ids=repr,
)
def test_running_out_of_memory_becomes_an_error_with_advice(device_thread, error):
    handle = device_thread.submit(Fails(error))
    with pytest.raises(OutOfDeviceMemory, match="fails ran out of memory on cpu") as caught:
        handle.result(TIMEOUT)
    assert "Use fewer rollouts" in str(caught.value)
    assert caught.value.available > 0
    assert caught.value.__cause__ is None
    assert device_thread.submit(Count(2)).result(TIMEOUT) == 2


def test_a_real_allocation_that_is_too_large_is_recognised():
    class Greedy:
        name, priority = "greedy", Priority.BATCH

        def run(self, ctx):
            yield Progress(0)
            torch.empty(2**46, dtype=torch.float64)

    with pytest.raises(OutOfDeviceMemory, match="greedy ran out of memory"):
        run_here(Greedy())


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory"), KeyError("memory")])
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError()])
def test_a_failed_job_lets_go_of_its_tensors_while_its_future_is_still_held(device_thread, error):
    tensors = []

    class Holds:
        name, priority = "holds", Priority.BATCH

        def run(self, ctx):
            activations = torch.zeros(1000)
            tensors.append(weakref.ref(activations))
            yield Progress(0)
            try:
                self.deeper(activations)
            except Exception as inner:
                raise error from inner

        def deeper(self, activations):
            copy = activations + 1
            tensors.append(weakref.ref(copy))
            raise KeyError("first")

    handle = device_thread.submit(Holds())
    assert handle.future.exception(TIMEOUT) is not None
    device_thread.call(lambda: None).result(TIMEOUT)
    gc.collect()
    assert [tensor() for tensor in tensors] == [None, None]


def test_every_error_of_the_tree_has_its_own_code():
    def leaves(kind):
        return [kind, *(each for child in kind.__subclasses__() for each in leaves(child))]

    codes = [kind.code for kind in leaves(LoupeError)]
    assert len(codes) == len(set(codes))
    assert all(code.isidentifier() and code == code.lower() for code in codes)
