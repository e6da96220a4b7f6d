"""Generations: a text continued or a chat answered, streamed while it is made.

They are kept in memory only, the last `live_runs_kept` of them; an analysis that is asked with `reply` keeps its own.
Events `generation_queued`, `generation_text`, `generation_done` (or `_failed`, `_cancelled`) tell of each, under the
topic `analysis`.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError as FutureCancelled
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loupe.app.bridge import Bridge
from loupe.app.errors import Conflict, NotFound, QueueFull, answer_for, describe
from loupe.app.services.events import EventStream
from loupe.app.services.live import BUSY
from loupe.app.services.models import Models
from loupe.app.services.options import AnalysisOptions, GenerationOptions, check_whole, contents
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption, Cancelled, EmptyText, TextTooLong
from loupe.storage.rows import WorkState

if TYPE_CHECKING:
    from loupe.engine.device import JobHandle
    from loupe.engine.jobs import Checkpoint, Progress
    from loupe.engine.models.reply import Reply

log = logging.getLogger(__name__)


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
    cancelled: bool = False
    handle: "JobHandle | None" = None
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

    def __init__(self, settings: Settings, models: Models, bridge: Bridge, events: EventStream) -> None:
        self.settings = settings
        self.models = models
        self.bridge = bridge
        self.events = events
        self._live: dict[str, LiveReply] = {}
        self._tasks: dict[str, asyncio.Task] = {}

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
        self._check(options)
        spec = self.models.spec(_pair_of(options), paths_allowed=paths_allowed)
        live = LiveReply(secrets.token_hex(10), options, author)
        self._live[live.id] = live
        self._forget_old()
        self._tell(live, "queued")
        task = asyncio.create_task(self._run(live, spec), name=f"generation-{live.id}")
        self._tasks[live.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(live.id, None))
        return live

    async def cancel(self, id: str) -> LiveReply:
        """Stop within one token; what was written stays. Raises NotFound, or Conflict when it has ended."""
        live = self.get(id)
        if not live.busy:
            raise Conflict(f"Generation {id} is {live.state} already.")
        self._stop(live)
        return await self.wait(id)

    async def wait(self, id: str) -> LiveReply:
        """Until the generation has ended, however it did."""
        if task := self._tasks.get(id):
            await asyncio.wait([task])
        return self.get(id)

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

    async def close(self) -> None:
        """Cancel what runs and wait for it."""
        for live in self._live.values():
            if live.busy:
                self._stop(live)
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def _stop(self, live: LiveReply) -> None:
        live.cancelled = True
        if live.handle is not None:
            live.handle.cancel()

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

    async def _run(self, live: LiveReply, spec: Any) -> None:
        """Do the work. Never raises."""
        told = 0

        def tell(_: object) -> None:
            nonlocal told
            if len(live.text) > told:
                piece = {"id": live.id, "from": told, "text": live.text[told:]}
                self.events.emit("analysis", "generation_text", piece)
                told = len(live.text)

        unsubscribe = self.bridge.subscribe(("reply", live.id), tell)
        try:
            reply = await self._written(live, spec)
            live.text, live.tokens, live.finish = reply.text, len(reply.token_ids), reply.finish
            live.state = WorkState.DONE
        except (asyncio.CancelledError, FutureCancelled, Cancelled):
            live.state = WorkState.CANCELLED
        except Exception as error:
            live.state, live.error = WorkState.FAILED, describe(error)
            if answer_for(error).status >= 500:
                log.exception("generation failed", exc_info=error)
        finally:
            unsubscribe()
            live.handle, live.ended_at = None, time.monotonic()
            tell(None)
            self._tell(live, live.state)

    async def _written(self, live: LiveReply, spec: Any) -> "Reply":
        from loupe.app.services.question import reply_job

        async with self.models.use(spec) as loaded:
            if live.cancelled:
                raise asyncio.CancelledError
            device = await self.models.engine.device()
            model = loaded.donor or loaded.model
            job = await asyncio.to_thread(reply_job, live.options, model, live.options)

            def on_event(event: "Progress | Checkpoint") -> None:
                text = getattr(event, "item", None)
                if isinstance(text, str):
                    live.text, live.tokens = text, getattr(event, "done", 0)
                self.bridge.publish(("reply", live.id))

            live.handle = device.submit(job, seed=live.options.seed, on_event=on_event, owner=live.author)
            live.state = WorkState.RUNNING
            if live.cancelled:
                live.handle.cancel()
            return await asyncio.wrap_future(live.handle.future)

    def _forget_old(self) -> None:
        ended = [id for id, live in self._live.items() if not live.busy]
        for id in ended[: max(0, len(ended) - self.settings.live_runs_kept)]:
            del self._live[id]
            self.bridge.forget(("reply", id))

    def _tell(self, live: LiveReply, name: str) -> None:
        self.events.emit("analysis", f"generation_{name}", live.status())
        self.bridge.publish(("reply", live.id))
        self.bridge.publish("queue", None)


def _pair_of(options: GenerationOptions) -> AnalysisOptions:
    shared = ("text", "messages", "prefill", "model", "verbalizer", "reconstructor", "donor", "dtype")
    return AnalysisOptions(**{name: getattr(options, name) for name in shared})
