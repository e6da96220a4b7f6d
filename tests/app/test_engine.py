"""The engine's life: absent until somebody needs it, one device thread, an end that nothing can hold up."""

import threading

import pytest

from loupe.app.bridge import Bridge
from loupe.app.services.engine import Engine, EngineState
from loupe.app.services.fit import fit_of_plan
from loupe.app.settings import Settings


async def test_the_engine_starts_once_when_first_needed() -> None:
    engine = Engine(Settings(threads=1), Bridge())
    assert engine.state is EngineState.ABSENT and engine.running is None
    first, second = await engine.device(), await engine.device()
    assert first is second and engine.state is EngineState.READY
    engine.close()
    engine.close()
    assert engine.running is None


async def test_a_step_that_does_not_end_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    engine, release, begun = Engine(Settings(threads=1), Bridge()), threading.Event(), threading.Event()
    device = await engine.device()

    def step() -> None:
        begun.set()
        release.wait(60)

    device.call(step)
    assert begun.wait(60)
    engine.close(timeout_s=0.01)
    assert "left behind" in caplog.text
    release.set()


async def test_a_looked_at_fp16_model_is_counted_as_a_cpu_will_hold_it() -> None:
    engine = Engine(Settings(device="cpu", threads=1), Bridge())
    try:
        sizes = {
            (stored, dtype): (await fit_of_plan(engine, 1000, {"dtype": stored}, dtype)).weights_bytes
            for stored, dtype in (("float16", "auto"), ("float16", "fp16"), ("bfloat16", "auto"), ("float32", "auto"))
        }
    finally:
        engine.close()
    assert list(sizes.values()) == [2000, 1000, 1000, 1000]
