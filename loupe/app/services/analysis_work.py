"""One analysis while it is worked on: the pair, a reply first where one is wanted, the cache, the device, the end."""

import asyncio
import logging
import time
from concurrent.futures import CancelledError as FutureCancelled
from typing import TYPE_CHECKING, Any

from loupe.app.errors import WaitedTooLong, describe
from loupe.app.services import latency
from loupe.app.services.catalogue import PairSpec
from loupe.app.services.live import LiveRun
from loupe.app.services.live_job import LiveJob
from loupe.app.services.parts import LoadedPair
from loupe.app.services.runs import Result
from loupe.engine.errors import Cancelled
from loupe.storage.rows import WorkState

if TYPE_CHECKING:
    from loupe.app.services.analysis import Analyses
    from loupe.app.services.question import Prepared
    from loupe.engine.device import JobHandle
    from loupe.engine.jobs import Checkpoint, Progress
    from loupe.engine.models.reply import Reply

log = logging.getLogger(__name__)


class AnalysisWork:
    """One analysis from acceptance to its end. Every way out sets the state of the run and tells it.

    Without a `spec` (after a restart) the folders are looked up again.
    """

    def __init__(self, analyses: "Analyses", live: LiveRun, job: LiveJob, spec: PairSpec | None) -> None:
        self.analyses = analyses
        self.live = live
        self.job = job
        self.spec = spec
        self.told = self.told_reply = 0
        live.job = job

    async def run(self) -> None:
        """Do the work. Raises what ended it, once the run says so."""
        unsubscribe = self.analyses.subscribe(self.live.id, lambda _: self._tell_rows())
        try:
            await self._run()
        except (asyncio.CancelledError, FutureCancelled, Cancelled):
            await self._end(WorkState.CANCELLED if self.job.cancelled else WorkState.INTERRUPTED)
            raise
        except Exception as error:  # told on the run, then raised as it is
            self.live.error = describe(error)
            await self._end(WorkState.FAILED)
            raise
        finally:
            unsubscribe()

    async def _run(self) -> None:
        live, analyses = self.live, self.analyses
        self.job.check()
        asked = self.job.record.request
        spec = self.spec or analyses.models.spec(live.options, paths_allowed=asked["paths_allowed"])
        self._stage("loading the model")
        async with analyses.models.use(spec) as loaded:
            reply = await self._reply(loaded) if live.options.reply else None
            prepared = await self._prepare(loaded, reply)
            if await self._answered_by_cache(prepared.key):
                return
            live.handle = self.job.submit(prepared.device, prepared.job, on_event=self._on_event)
            self._stage("waiting for the device")
            result = await self._finished(live.handle)
        found = await asyncio.to_thread(result.to_json)
        found["metadata"] |= prepared.about
        await self._keep(found, prepared.key)

    async def _finished(self, handle: "JobHandle") -> Any:
        """The job's result; given up when the device has not begun with it in time."""
        patience = self.analyses.settings.queue_wait_s
        future = asyncio.wrap_future(handle.future)
        while not (await asyncio.wait([future], timeout=patience))[0] and not self.job.begun:
            if self.job.paused:
                continue
            handle.cancel()
            await asyncio.wait([future])
            raise WaitedTooLong(f"The device did not get to this within {patience:.0f} s. Try again later.")
        return await future

    async def _reply(self, loaded: LoadedPair) -> "Reply":
        """Let the model write first; its text grows on the live run."""
        from loupe.app.services.question import reply_job

        live, how = self.live, self.live.options.reply
        assert how is not None, "asked only when a reply is wanted"
        device = await self.analyses.models.engine.device()
        model = loaded.donor or loaded.model
        job = await asyncio.to_thread(reply_job, live.options, model, how)
        live.state = WorkState.RUNNING
        live.handle = self.job.submit(device, job, seed=how.seed, on_event=self._on_reply)
        self._stage("replying")
        try:
            reply = await self._finished(live.handle)
        finally:
            live.handle = None
        live.reply = reply.text
        return reply

    async def _prepare(self, loaded: LoadedPair, reply: "Reply | None") -> "Prepared":
        from loupe.app.services.question import prepare

        live = self.live
        device = await self.analyses.models.engine.device()
        settings, lenses = self.analyses.settings, self.analyses.lenses
        prepared = await asyncio.to_thread(prepare, live.options, loaded, device, settings, lenses, reply)
        live.tokens, live.positions = prepared.tokens, prepared.positions
        live.turns = prepared.about.get("turns", ())
        await self.analyses.runs.rows.start(live.id)
        await self.analyses.runs.rows.amend(live.id, **prepared.record)
        live.state = WorkState.RUNNING
        return prepared

    async def _answered_by_cache(self, key: str) -> bool:
        runs = self.analyses.runs
        known = None if self.job.record.request["fresh"] else await runs.store.cache.find(key)
        if known is None:
            return False
        result = await runs.answer(self.live.id, known)
        self.live.found.extend(result["data"])
        self.live.result = result
        await self._end(WorkState.DONE)
        return True

    async def _keep(self, result: Result, key: str) -> None:
        self.job.settle()
        live, runs = self.live, self.analyses.runs
        live.result = result
        record = await runs.keep(live.id, result)
        if record.artefact_id:
            await runs.store.cache.put(key, record.artefact_id)
        if live.first_at is not None:
            self.analyses.jobs.latencies.note(latency.FIRST, live.first_at - live.created_at)
            seconds = time.monotonic() - live.first_at
            self.analyses.measured(seconds, len(live.positions), live.options.best_of)
        await self._end(WorkState.DONE)

    async def _end(self, state: WorkState) -> None:
        self.job.settle()
        live, rows = self.live, self.analyses.runs.rows
        live.state, live.ended_at, live.handle = state, time.monotonic(), None
        self._tell_rows()
        if state is WorkState.CANCELLED:
            await rows.cancel(live.id)
        elif state is WorkState.INTERRUPTED and self.job.started:
            await rows.interrupt(live.id)
        elif state is WorkState.FAILED and live.error:
            await rows.fail(live.id, code=live.error["code"], message=live.error["message"])
        self.analyses.tell(live, state)
        log.info("analysis ended", extra={"fields": {"state": state.value, "positions": live.done}})

    def _on_reply(self, event: "Progress | Checkpoint") -> None:
        """Called on the device thread."""
        text = getattr(event, "item", None)
        if isinstance(text, str):
            self.live.reply = text
        self.analyses.bridge.publish(("run", self.live.id), self.live)

    def _on_event(self, event: "Progress | Checkpoint") -> None:
        """Called on the device thread."""
        item = getattr(event, "item", None)
        if item is not None:
            if self.live.first_at is None:
                self.live.first_at = time.monotonic()
            self.live.found.append(item)
        message = getattr(event, "message", "")
        if message:
            self.live.stage = message
        self.analyses.bridge.publish(("run", self.live.id), self.live)

    def _tell_rows(self) -> None:
        written = self.live.reply
        if len(written) > self.told_reply:
            piece = {"id": self.live.id, "from": self.told_reply, "text": written[self.told_reply :]}
            self.analyses.events.emit("analysis", "reply", piece)
            self.told_reply = len(written)
        rows = self.analyses.rows(self.live)
        for row in rows[self.told :]:
            self.analyses.events.emit("analysis", "position", {"id": self.live.id, "row": row})
        self.told = len(rows)

    def _stage(self, stage: str) -> None:
        self.live.stage = stage
        self.job.note(stage)
        self.analyses.bridge.publish(("run", self.live.id), self.live)
