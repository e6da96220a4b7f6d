"""Between slices every global mode of torch is as it was, or the job that changed it fails."""

import pytest
import torch

from loupe.engine.jobs import Priority, Progress
from tests.engine.jobs_for_tests import TIMEOUT, Count


class Leaks:
    name, priority = "leaks", Priority.BATCH

    def __init__(self, change, *, then_return=False):
        self.change = change
        self.then_return = then_return
        self.was_closed = False

    def run(self, ctx):
        with self.change():
            if self.then_return:
                torch.set_grad_enabled(False)
                return 1
            try:
                yield Progress(1)
            finally:
                self.was_closed = True


class Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class DoublePrecision(Nothing):
    def __enter__(self):
        torch.set_default_dtype(torch.float64)


class OneThreadMore(Nothing):
    def __enter__(self):
        torch.set_num_threads(torch.get_num_threads() + 1)


class Deterministic(Nothing):
    def __enter__(self):
        torch.use_deterministic_algorithms(True)


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def modes_of(device_thread):
    return device_thread.call(
        lambda: (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
        )
    ).result(TIMEOUT)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (torch.no_grad, "grad: True -> False"),
        (torch.inference_mode, "inference: False -> True"),
        (autocast, "autocast: False -> True"),
        (DoublePrecision, "dtype: torch.float32 -> torch.float64"),
        (OneThreadMore, "threads"),
        (Deterministic, "deterministic: False -> True"),
    ],
)
def test_yielding_with_a_mode_changed_fails_the_job_and_restores_the_mode(device_thread, change, named):
    before, job = modes_of(device_thread), Leaks(change)
    with pytest.raises(AssertionError, match=named):
        device_thread.submit(job).result(TIMEOUT)
    assert job.was_closed
    assert modes_of(device_thread) == before


def test_returning_with_a_mode_changed_fails_the_job_too(device_thread):
    with pytest.raises(AssertionError, match=r"leaks returned with a global mode of torch changed \(grad"):
        device_thread.submit(Leaks(Nothing, then_return=True)).result(TIMEOUT)
    assert device_thread.call(torch.is_grad_enabled).result(TIMEOUT)


def test_a_mode_left_behind_by_an_exception_is_restored(device_thread):
    def set_and_fail(step):
        torch.set_grad_enabled(False)
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        device_thread.submit(Count(1, on_step=set_and_fail)).result(TIMEOUT)
    assert device_thread.call(torch.is_grad_enabled).result(TIMEOUT)


def test_a_generator_decorated_with_no_grad_may_yield_because_torch_switches_around_each_step(device_thread):
    class Decorated:
        name, priority = "decorated", Priority.BATCH

        @torch.no_grad()
        def run(self, ctx):
            before = torch.is_grad_enabled()
            yield Progress(1)
            return before, torch.is_grad_enabled()

    assert device_thread.submit(Decorated()).result(TIMEOUT) == (False, False)
