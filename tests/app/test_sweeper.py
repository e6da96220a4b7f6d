"""What goes by itself goes on going, whatever fails."""

import asyncio
import logging

import pytest

from loupe.app.services.sweeper import Sweeper


async def test_a_sweep_that_fails_stops_no_other_and_is_said_once_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    reasons, swept = ["no space", "no space", "gone"], []

    async def fails() -> None:
        raise OSError(reasons[len(swept)])

    async def works() -> None:
        swept.append("uploads")

    sweeper = Sweeper({"library": fails, "uploads": works})
    with caplog.at_level(logging.ERROR):
        for _ in reasons:
            await sweeper.sweep()
    assert len(swept) == 3
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["no space", "gone"]


async def test_it_sweeps_now_and_again_until_it_is_closed() -> None:
    again, times = asyncio.Event(), []

    async def sweep() -> None:
        times.append(1)
        if len(times) == 3:
            again.set()

    sweeper = Sweeper({"bin": sweep}, every_s=0)
    sweeper.start()
    await again.wait()
    await sweeper.close()
    done = len(times)
    await asyncio.sleep(0)
    assert len(times) == done
