"""Jobs: a row before the work, every lever, and the truth after a restart."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loupe.app.bridge import Bridge
from loupe.app.errors import ConfirmationNeeded, Conflict
from loupe.app.services.events import EventStream
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.engine.context import JobContext
from loupe.engine.device import DeviceThread
from loupe.engine.jobs import Checkpoint, Priority, Progress, Steps
from loupe.storage.errors import NotFound
from loupe.storage.repos.jobs import NewJob
from loupe.storage.store import Store, open_store

log = logging.getLogger("loupe.test")


@dataclass
class Sum:
    """Adds 1 to `total`, a checkpoint after each and, at `gate`, a wait until the test lets it go on."""

    total: int
    start: int = 0
    gate: threading.Event | None = None
    name: str = "sum"
    priority: Priority = Priority.TRAINING

    def run(self, ctx: JobContext) -> Steps:
        done = self.start
        while done < self.total:
            done += 1
            log.info("step %d", done)
            yield Progress(done, self.total, "adding")
            yield Checkpoint(done)
            while self.gate is not None and not self.gate.is_set():
                yield Progress(done, self.total, "waiting at the gate")
        return done


class House:
    """Jobs on a real store and a real device thread, with one kind, `sum`, that goes on from its checkpoint."""

    def __init__(self, store: Store, device: DeviceThread, **how: Any) -> None:
        self.store = store
        self.device = device
        self.gate = threading.Event()
        self.gate.set()
        self.bridge, self.events = Bridge(interval_s=0.0), EventStream()
        self.jobs = Jobs(store, self.bridge, self.events)
        self.jobs.register(Kind("sum", self.sum, **({"pausable": True, "restarts": True} | how)))
        self.bridge.attach()

    async def sum(self, live: LiveJob) -> int:
        start = 0
        if live.checkpoint_id:
            start = int(self.store.artefacts.open(live.checkpoint_id).path("state").read_bytes())
        work = Sum(live.record.request["total"], start, self.gate)
        keep = asyncio.get_running_loop()
        return await live.on_device(self.device, work, keep=lambda state: self._keep(state, keep))

    def _keep(self, state: int, loop: asyncio.AbstractEventLoop) -> str:
        with self.store.artefacts.write("checkpoint", "sum") as draft:
            draft.write("state", str(state).encode())
        assert draft.artefact is not None
        asyncio.run_coroutine_threadsafe(self.store.keep(draft.artefact), loop).result(60)
        return draft.id

    async def submit(self, total: int = 3, **changes: Any) -> LiveJob:
        return await self.jobs.submit(NewJob(kind="sum", name="a sum", request={"total": total}, **changes))

    async def until(self, id: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for news of a job until it looks as wanted."""
        news = asyncio.Event()
        stop = self.bridge.subscribe(("job", id), lambda _: news.set())
        try:
            async with asyncio.timeout(60):
                while not wanted(view := await self.jobs.get(id)):
                    await news.wait()
                    news.clear()
        finally:
            stop()
        return view


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_store(tmp_path) as store:
        with DeviceThread() as device:
            opened = House(store, device)
            yield opened
            await opened.jobs.close()


def at_gate(view: dict[str, Any]) -> bool:
    return view.get("message") == "waiting at the gate" and view["state"] == "running"


async def test_a_job_is_kept_before_it_is_worked_on_and_ends_with_its_result(house: House) -> None:
    live = await house.submit(author="Ada", seed=7)
    row = await house.store.jobs.get(live.id)
    assert (row.state, row.author, row.request) == ("queued", "Ada", {"total": 3})
    record = await house.jobs.wait(live.id)
    assert (record.state, record.done, record.total, live.result) == ("done", 3, 3, 3)
    assert record.started_at and record.finished_at and record.started_at <= record.finished_at
    names = [event.name for event in house.events.since(0) if event.topic == "job"]
    assert names[0] == "queued" and names[-1] == "done" and "running" in names
    assert house.jobs.live == ()


async def test_the_log_has_what_the_job_and_its_loggers_said_on_whatever_thread(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "loupe")
    one, other = await house.submit(2), await house.submit(1)
    await house.jobs.wait(one.id)
    await house.jobs.wait(other.id)
    said = [line.message for line in await house.jobs.logs(one.id)]
    assert [word for word in said if word.startswith("step")] == ["step 1", "step 2"]
    assert "adding" in said and said[-1] == "done"
    assert [line.message for line in await house.jobs.logs(other.id)].count("step 1") == 1
    assert len(await house.jobs.logs(one.id, after=1, limit=2)) == 2
    with pytest.raises(NotFound):
        await house.jobs.logs("nobody")


async def test_a_message_that_only_counts_is_said_once(house: House) -> None:
    async def counts(live: LiveJob) -> None:
        for number in range(700):
            live.report(number, 700, f"explaining, {number} tokens")
        live.report(700, 700, "saving")

    house.jobs.register(Kind("counts", counts))
    live = await house.jobs.submit(NewJob(kind="counts", name="n", request={}))
    await house.jobs.wait(live.id)
    assert [line.message for line in await house.jobs.logs(live.id)] == ["explaining, 0 tokens", "saving", "done"]


async def test_a_paused_job_stands_still_until_it_is_resumed(house: House) -> None:
    house.gate.clear()
    live = await house.submit()
    await house.until(live.id, at_gate)
    paused = await house.jobs.pause(live.id, by="Ada")
    assert (paused["state"], paused["actions"]) == ("paused", ["resume", "cancel", "priority"])
    assert (await house.store.jobs.get(live.id)).state == "paused"
    house.gate.set()
    await asyncio.wrap_future(house.device.call(lambda: None))  # the device had its turn, and did not go on
    assert (await house.jobs.get(live.id))["done"] == 1
    with pytest.raises(Conflict):
        await house.jobs.pause(live.id)
    await house.jobs.resume(live.id)
    assert (await house.jobs.wait(live.id)).state == "done"
    assert "paused by Ada" in [line.message for line in await house.jobs.logs(live.id)]


async def test_a_cancelled_job_ends_and_may_be_asked_for_again(house: House) -> None:
    house.gate.clear()
    live = await house.submit(author="Ada")
    await house.until(live.id, at_gate)
    cancelled = await house.jobs.cancel(live.id, by="Ada")
    assert (cancelled["state"], cancelled["actions"]) == ("cancelled", ["retry"])
    with pytest.raises(Conflict, match="cancel is not possible now, retry is"):
        await house.jobs.cancel(live.id, by="Ada")
    house.gate.set()
    again = await house.jobs.retry(live.id, by="Bob")
    assert again["id"] != live.id and again["author"] == "Bob"
    assert (await house.jobs.wait(again["id"])).state == "done"


async def test_cancelling_another_person_s_work_must_be_meant_and_is_recorded(house: House) -> None:
    house.gate.clear()
    live = await house.submit(author="Ada")
    with pytest.raises(ConfirmationNeeded, match="Ada's work"):
        await house.jobs.cancel(live.id, by="Bob")
    assert (await house.jobs.get(live.id))["state"] in ("queued", "running")
    await house.jobs.cancel(live.id, by="Bob", confirm=True)
    said = [line.message for line in await house.jobs.logs(live.id)]
    assert "cancelled by Bob, work of Ada" in said


async def test_a_failure_says_why_and_the_log_keeps_it(house: House) -> None:
    async def fails(live: LiveJob) -> None:
        error = Conflict("The disk is somewhere else.")
        error.details = {"missing": 3}
        raise error

    house.jobs.register(Kind("fails", fails))
    live = await house.jobs.submit(NewJob(kind="fails", name="n", request={}))
    await house.jobs.wait(live.id)
    view = await house.jobs.get(live.id)
    assert view["state"] == "failed"
    told = {"sentence": "That is not possible in the present state.", "missing": 3}
    error = {"code": "conflict", "message": "The disk is somewhere else.", "details": told, "retryable": False}
    assert view["error"] == error
    assert (await house.jobs.logs(live.id))[-1].level == "error"
    with pytest.raises(Conflict):
        await house.jobs.pause(live.id)


async def test_a_more_urgent_job_overtakes_and_priorities_can_change(house: House) -> None:
    house.gate.clear()
    first = await house.submit(1, priority=2)
    await house.until(first.id, at_gate)
    await house.jobs.pause(first.id)
    assert (await house.jobs.get(first.id))["priority"] == "training"
    changed = await house.jobs.set_priority(first.id, "interactive", by="Ada")
    assert changed["priority"] == "interactive" and first.handle is not None
    assert first.handle.priority is Priority.INTERACTIVE
    assert (await house.store.jobs.get(first.id)).priority == 0
    house.gate.set()
    await house.jobs.resume(first.id)
    await house.jobs.wait(first.id)


async def test_work_in_a_thread_is_stopped_by_what_it_names(house: House) -> None:
    entered, stop = threading.Event(), threading.Event()

    def fetch() -> str:
        entered.set()
        assert stop.wait(60)
        return "stopped in good order"

    async def work(live: LiveJob) -> str:
        with live.stopped_by(stop.set):
            live.report(0, 100)
            found = await asyncio.to_thread(fetch)
        live.check()
        return found

    house.jobs.register(Kind("fetch", work))
    live = await house.jobs.submit(NewJob(kind="fetch", name="n", request={}))
    await asyncio.to_thread(entered.wait, 60)
    with pytest.raises(Conflict):
        await house.jobs.pause(live.id)
    assert (await house.jobs.cancel(live.id))["state"] == "cancelled" and stop.is_set()


async def test_what_is_asked_of_a_job_at_the_wrong_time_is_refused(house: House) -> None:
    live = await house.submit()
    await house.jobs.wait(live.id)
    for lever in (house.jobs.pause, house.jobs.resume, house.jobs.cancel, house.jobs.retry):
        with pytest.raises(Conflict):
            await lever(live.id)
        with pytest.raises(NotFound):
            await lever("nobody")


async def closed_at_gate(path: Path, **how: Any) -> str:
    """A process that ends in good order while a job runs and others wait or are paused."""
    async with open_store(path) as store:
        with DeviceThread() as device:
            house = House(store, device, **how)
            house.gate.clear()
            live = await house.submit()
            await house.until(live.id, at_gate)
            await house.jobs.close()
    return live.id


async def test_a_job_goes_on_from_its_checkpoint_in_the_next_process(tmp_path: Path) -> None:
    id = await closed_at_gate(tmp_path)
    async with open_store(tmp_path) as store:
        assert (await store.jobs.get(id)).state == "interrupted"
        assert (await store.jobs.get(id)).checkpoint_id
        with DeviceThread() as device:
            house = House(store, device)
            assert await house.jobs.restart() == 1
            assert (await house.jobs.wait(id)).state == "done"
            said = [line.message for line in await house.jobs.logs(id)]
            await house.jobs.close()
        assert "taken up again after a restart" in said
        assert len(store.artefacts.ids()) == 1, "former checkpoints are removed"


async def test_a_kind_that_does_not_restart_waits_for_a_retry(tmp_path: Path) -> None:
    id = await closed_at_gate(tmp_path, restarts=False)
    async with open_store(tmp_path) as store:
        with DeviceThread() as device:
            house = House(store, device, restarts=False)
            assert await house.jobs.restart() == 0
            view = await house.jobs.get(id)
            assert (view["state"], view["actions"]) == ("interrupted", ["resume", "retry", "cancel", "priority"])
            assert (await house.jobs.retry(id))["id"] == id
            assert (await house.jobs.wait(id)).state == "done"
            await house.jobs.close()


async def test_queued_and_paused_jobs_stay_so_across_an_orderly_end(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        with DeviceThread() as device:
            house = House(store, device)
            house.gate.clear()
            paused = await house.submit()
            await house.until(paused.id, at_gate)
            await house.jobs.pause(paused.id)
            waiting = await house.submit()
            await house.jobs.close()
        assert [(await store.jobs.get(live.id)).state for live in (paused, waiting)] == ["paused", "queued"]
    async with open_store(tmp_path) as store:
        with DeviceThread() as device:
            house = House(store, device)
            await house.jobs.restart()
            assert (await house.jobs.wait(waiting.id)).state == "done"
            assert (await house.jobs.get(paused.id))["state"] == "paused"
            await house.jobs.resume(paused.id)
            assert (await house.jobs.wait(paused.id)).state == "done"
            await house.jobs.close()


async def test_a_job_of_a_kind_nobody_knows_any_more_can_still_be_cancelled(house: House) -> None:
    record = await house.store.jobs.create(NewJob(kind="from the future", name="n", request={}))
    assert (await house.jobs.get(record.id))["actions"] == ["cancel", "priority"]
    assert (await house.jobs.cancel(record.id))["state"] == "cancelled"
    assert (await house.jobs.get(record.id))["actions"] == []
