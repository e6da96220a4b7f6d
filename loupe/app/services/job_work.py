"""One job from acceptance to its end: the work, and beside it a scribe who keeps the row and the log true.

Every way out sets a state, writes it down and tells it. The scribe alone writes while the work goes on, so that rows
change in the order in which things happened.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError as FutureCancelled
from typing import Any

from loupe.app import logging as app_logging
from loupe.app.bridge import Bridge
from loupe.app.errors import answer_for, describe
from loupe.app.services import latency
from loupe.app.services.latency import Latencies
from loupe.app.services.live_job import LiveJob
from loupe.engine.errors import Cancelled
from loupe.storage.rows import WorkState
from loupe.storage.store import Store

log = logging.getLogger(__name__)

SAVE_S = 5.0  # progress and log lines that a crash may forget
INTERACTIVE = 0
TELL_S = 1.0  # between two progress events of one job

Work = Callable[[LiveJob], Awaitable[Any]]
Tell = Callable[[LiveJob, str], None]


class JobWork:
    """The work on one job. `tell(live, name)` lets everyone know."""

    def __init__(
        self, work: Work, live: LiveJob, store: Store, bridge: Bridge, latencies: Latencies, tell: Tell
    ) -> None:
        self.work = work
        self.live = live
        self.store = store
        self.bridge = bridge
        self.latencies = latencies
        self.tell = tell
        self._news = asyncio.Event()
        self._over = False
        self._saved_at = self._told_at = time.monotonic()

    async def run(self) -> None:
        """Work until the end. Never raises."""
        live = self.live
        app_logging.job_id.set(live.id)
        scribe = asyncio.create_task(self._scribe())
        unsubscribe = self.bridge.subscribe(("job", live.id), lambda _: self._news.set())
        state = await self._worked()
        unsubscribe()
        self._over = True
        self._news.set()
        await scribe
        try:
            await self._write()
            await self._end(state)
        except Exception:  # the database may fail in any way; nobody is left who could do something about it
            log.exception("the end of a job could not be written down; the next start will find it interrupted")

    async def _worked(self) -> WorkState:
        live = self.live
        if live.closing:
            return WorkState.INTERRUPTED
        try:
            live.task = asyncio.ensure_future(self.work(live))  # what may be cancelled; writing down its end may not
            live.result = await live.task
        except (asyncio.CancelledError, FutureCancelled, Cancelled):
            return WorkState.CANCELLED if live.cancelled else WorkState.INTERRUPTED
        except Exception as error:  # whatever work raises is how its job ended
            live.error = describe(error)
            if answer_for(error).status >= 500:
                log.exception("%s failed", live.record.kind, exc_info=error)
            return WorkState.FAILED
        return WorkState.DONE

    async def _scribe(self) -> None:
        """Write down that the work began, and now and then how far it is; tell progress."""
        while not self._over:
            await self._news.wait()
            self._news.clear()
            try:
                await self._write()
            except Exception:  # as above; the work itself is well
                log.exception("progress of a job could not be written down; the job goes on")
            now = time.monotonic()
            if now - self._told_at >= TELL_S and not self._over:
                self._told_at = now
                self.tell(self.live, "progress")

    async def _write(self) -> None:
        live = self.live
        if live.begun and not live.started and not live.paused:
            live.started, live.state = True, WorkState.RUNNING
            if live.waited_s is not None and live.priority == INTERACTIVE:
                self.latencies.note(latency.DEVICE, live.waited_s)
                live.waited_s = None
            live.record = await self.store.jobs.start(live.id)
            if live.paused:  # meanwhile
                await self.store.jobs.pause(live.id)
            self.tell(live, live.state)
        if time.monotonic() - self._saved_at >= SAVE_S:
            self._saved_at = time.monotonic()
            await self._write_down()

    async def _write_down(self) -> None:
        live = self.live
        await self.store.jobs.progress(live.id, done=live.done, total=live.total, message=live.message)
        await self.store.logs.add(live.id, [live.said.popleft() for _ in range(len(live.said))])

    async def _end(self, state: WorkState) -> None:
        live = self.live
        if state is WorkState.INTERRUPTED and (live.paused or not live.started):
            state = WorkState.PAUSED if live.paused else WorkState.QUEUED  # so it stays across the restart
        live.state = state
        live.say(f"{state}: {live.error['message']}" if live.error else state.value, "error" if live.error else "info")
        await self._write_down()
        live.record = await self._written(state)
        self.tell(live, state)

    async def _written(self, state: WorkState) -> Any:
        id, rows, error = self.live.id, self.store.jobs, self.live.error
        if state is WorkState.DONE:
            return await rows.finish(id, self.live.result)
        if state is WorkState.CANCELLED:
            return await rows.cancel(id)
        if state is WorkState.INTERRUPTED:
            return await rows.interrupt(id)
        if error is not None:
            return await rows.fail(id, **error)
        return await rows.get(id)
