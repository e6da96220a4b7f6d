"""Generations: a text continued or a chat answered, streamed while it is made.

Each is a job; its text is kept in memory only, for the last `live_runs_kept` of them. An analysis that is asked with
`reply` keeps its own. Events `generation_queued`, `generation_text` and `generation_done` (or `_failed`, `_cancelled`)
tell of each, under the topic `analysis`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError as FutureCancelled
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.bridge import Bridge
from loupe.app.errors import Conflict, NotFound, QueueFull, describe
from loupe.app.services.catalogue import PairSpec
from loupe.app.services.events import EventStream
from loupe.app.services.job_view import PRIORITIES
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live import BUSY
from loupe.app.services.live_job import LiveJob
from loupe.app.services.models import Models
from loupe.app.services.options import GenerationOptions, check_whole, contents, title_of
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption, Cancelled, EmptyText, TextTooLong
from loupe.storage.paths import new_id
from loupe.storage.repos.jobs import NewJob
from loupe.storage.rows import WorkState

if TYPE_CHECKING:
    from loupe.engine.jobs import Checkpoint, Progress
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.models.reply import Reply

JOB = "generation"


@dataclass(slots=True, eq=False)
class LiveReply:
    """A generation of this process; `text` grows on the device thread."""

    id: str
    options: GenerationOptions
    author: str = ""
    state: WorkState = WorkState.QUEUED
    text: str = ""
    tokens: int = 0
    finish: str | None = None
    error: dict[str, Any] | None = None
    created_at: float = field(default_factory=time.monotonic)
    ended_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether something is still to come."""
        return self.state in BUSY

    def status(self) -> dict[str, Any]:
        """For programs; absent values are left out."""
        known = {
            "id": self.id,
            "state": self.state,
            "text": self.text,
            "tokens": self.tokens,
            "finish": self.finish,
            "seconds": round((self.ended_at or time.monotonic()) - self.created_at, 3),
            "error": self.error,
        }
        return {name: value for name, value in known.items() if value is not None}


class Generations:
    """The replies being written, and those written lately."""

    def __init__(self, settings: Settings, models: Models, jobs: Jobs, bridge: Bridge, events: EventStream) -> None:
        self.settings = settings
        self.models = models
        self.bridge = bridge
        self.events = events
        self._live: dict[str, LiveReply] = {}
        self.jobs = jobs
        jobs.register(Kind(JOB, self._work, pausable=True))

    @property
    def live(self) -> tuple[LiveReply, ...]:
        """Those in memory, oldest first."""
        return tuple(self._live.values())

    def get(self, id: str) -> LiveReply:
        """A generation of this process. Raises NotFound."""
        if id not in self._live:
            raise NotFound(f"No generation {id!r} ran since the server started.")
        return self._live[id]

    async def start(self, options: GenerationOptions, *, paths_allowed: bool = False, author: str = "") -> LiveReply:
        """Accept a request. Raises QueueFull, TextTooLong, EmptyText, BadOption, NotFound, Forbidden."""
        options = self.models.settled(options)
        self._check(options)
        spec = self._spec(options, paths_allowed=paths_allowed)
        live = self._remember(LiveReply(new_id(), options, author))
        await self.jobs.submit(_job(live, paths_allowed=paths_allowed), given=(live, spec))
        return live

    async def cancel(self, id: str, *, by: str = "", confirm: bool = True) -> LiveReply:
        """Stop within one token; what was written stays.

        Raises NotFound, Conflict when it has ended; unless `confirm`, ConfirmationNeeded when it is not `by`'s.
        """
        live = self.get(id)
        if not live.busy:
            raise Conflict(f"Generation {id} is {live.state} already.")
        await self.jobs.cancel(id, by=by, confirm=confirm)
        return live

    async def wait(self, id: str) -> LiveReply:
        """Until the generation has ended, however it did."""
        live = self.get(id)
        if live.busy:
            await self.jobs.wait(id)
        return live

    async def follow(self, id: str, ping_s: float = 15) -> AsyncIterator[str | None]:
        """Yield the pieces of text as they are written; None after `ping_s` seconds without any. Raises NotFound."""
        live, changed, told = self.get(id), asyncio.Event(), 0
        unsubscribe = self.bridge.subscribe(("reply", id), lambda _: changed.set())
        try:
            while True:
                changed.clear()
                written, busy = live.text, live.busy
                if len(written) > told:
                    yield written[told:]
                    told = len(written)
                elif not busy:
                    return
                if not busy:
                    continue
                try:
                    await asyncio.wait_for(changed.wait(), ping_s)
                except TimeoutError:
                    yield None
        finally:
            unsubscribe()

    def _check(self, options: GenerationOptions) -> None:
        limits = self.settings
        waiting = sum(live.busy for live in self._live.values())
        if waiting >= limits.queue_limit:
            raise QueueFull(f"{waiting} generations wait or run already; at most {limits.queue_limit} are accepted.")
        written = contents(options)
        if not any(content.strip() for content in written):
            raise EmptyText("The text is empty. Give at least one word.")
        for content in written:
            check_whole(content)
        if (length := sum(map(len, written))) > limits.max_text_chars:
            raise TextTooLong(f"The text has {length:,} characters; at most {limits.max_text_chars:,} are accepted.")
        if options.max_new_tokens > limits.max_reply_tokens:
            raise BadOption(
                f"max_new_tokens is {options.max_new_tokens}; at most {limits.max_reply_tokens} are allowed."
            )

    async def _work(self, job: LiveJob) -> None:
        live, spec = job.given or (None, None)
        if live is None:  # asked for again
            options = GenerationOptions.model_validate(job.record.request["options"])
            live = self._remember(LiveReply(job.id, options, job.record.author))
        await self._run(job, live, spec)

    async def _run(self, job: LiveJob, live: LiveReply, spec: PairSpec | Path | None) -> None:
        """Write the reply. Raises what ended it, once the reply says so."""
        told = 0

        def tell(_: object) -> None:
            nonlocal told
            if len(live.text) > told:
                piece = {"id": live.id, "from": told, "text": live.text[told:]}
                self.events.emit("analysis", "generation_text", piece)
                told = len(live.text)

        unsubscribe = self.bridge.subscribe(("reply", live.id), tell)
        try:
            job.check()
            asked = job.record.request
            spec = spec or self._spec(live.options, paths_allowed=asked["paths_allowed"])
            reply = await self._written(job, live, spec)
            live.text, live.tokens, live.finish = reply.text, len(reply.token_ids), reply.finish
            live.state = WorkState.DONE
        except (asyncio.CancelledError, FutureCancelled, Cancelled):
            live.state = WorkState.CANCELLED if job.cancelled else WorkState.INTERRUPTED
            raise
        except Exception as error:  # told on the reply, then raised as it is
            live.state, live.error = WorkState.FAILED, describe(error)
            raise
        finally:
            unsubscribe()
            live.ended_at = time.monotonic()
            tell(None)
            self._tell(live, live.state)

    def _spec(self, options: GenerationOptions, *, paths_allowed: bool) -> PairSpec | Path:
        """The pair whose model is to write; the folder of a model that no pair reads."""
        alone = not (options.verbalizer or options.reconstructor or options.donor)
        if alone and self.models.groups.find_pair(options.model) is None:
            return self.models.catalogue.folder(options.model, paths_allowed=paths_allowed)
        return self.models.spec(options, paths_allowed=paths_allowed)

    @asynccontextmanager
    async def _writer(self, spec: PairSpec | Path, dtype: str | None) -> AsyncIterator["LanguageModel"]:
        if isinstance(spec, Path):
            async with self.models.use_model(spec, dtype or "") as model:
                yield model
        else:
            async with self.models.use(spec) as loaded:
                yield loaded.donor or loaded.model

    async def _written(self, job: LiveJob, live: LiveReply, spec: PairSpec | Path) -> "Reply":
        from loupe.app.services.question import reply_job

        async with self._writer(spec, live.options.dtype) as model:
            device = await self.models.engine.device()
            writing = await asyncio.to_thread(reply_job, live.options, model, live.options)

            def on_event(event: "Progress | Checkpoint") -> None:
                text = getattr(event, "item", None)
                if isinstance(text, str):
                    live.text, live.tokens = text, getattr(event, "done", 0)
                self.bridge.publish(("reply", live.id))

            live.state = WorkState.RUNNING
            return await job.on_device(device, writing, on_event=on_event)

    def _remember(self, live: LiveReply) -> LiveReply:
        self._live[live.id] = live
        self._forget_old()
        self._tell(live, "queued")
        return live

    def _forget_old(self) -> None:
        ended = [id for id, live in self._live.items() if not live.busy]
        for id in ended[: max(0, len(ended) - self.settings.live_runs_kept)]:
            del self._live[id]
            self.bridge.forget(("reply", id))

    def _tell(self, live: LiveReply, name: str) -> None:
        self.events.emit("analysis", f"generation_{name}", live.status())
        self.bridge.publish(("reply", live.id))
        self.bridge.publish("queue", None)


def _job(live: LiveReply, *, paths_allowed: bool) -> NewJob:
    return NewJob(
        id=live.id,
        kind=JOB,
        name=title_of(" ".join(contents(live.options))),
        author=live.author,
        seed=live.options.seed,
        priority=PRIORITIES["interactive"],
        request={"options": live.options.model_dump(mode="json"), "paths_allowed": paths_allowed},
    )
