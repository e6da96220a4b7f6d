"""Watching work for one socket: what is told while it waits, runs and ends, and what happens when the socket drops."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from loupe.app.api.older.desk import Desk
from loupe.app.api.older.models import device_of
from loupe.app.api.older.options import SendOptions
from loupe.app.api.older.states import run_result
from loupe.app.api.older.talks import Talk
from loupe.app.errors import Conflict, NotFound
from loupe.app.services.live import LiveRun
from loupe.storage.rows import WorkState

Message = dict[str, Any]


class Watching:
    """The pieces of work that one socket asked for."""

    def __init__(self, older: Desk, tell: Callable[[Message], None]) -> None:
        self.older = older
        self.here = older.here
        self.tell = tell
        self._tasks: dict[asyncio.Task, Callable[[], Coroutine[Any, Any, object]] | None] = {}
        self._answered: set[str] = set()

    def start(self, work: Coroutine[Any, Any, None], on_drop: Callable[[], Coroutine[Any, Any, object]] | None) -> None:
        """Watch in a task; `on_drop` is called when the socket drops before it has ended."""
        task = asyncio.create_task(work)
        self._tasks[task] = on_drop
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    @contextmanager
    def answered(self, id: str) -> Iterator[None]:
        """In the block, the end of a request is told by whoever ends it."""
        before = id in self._answered  # an earlier message ended it already
        self._answered.add(id)
        try:
            yield
        except Exception:  # it was not ended here after all, whatever kept it from that
            if not before:
                self._answered.discard(id)
            raise

    async def run(self, live: LiveRun, about: Message) -> None:
        """Tell how an analysis goes: processing, progress, then completed, error or request_cancelled."""
        changed, told = asyncio.Event(), None
        unsubscribe = self.here.analyses.subscribe(live.id, lambda _: changed.set())
        try:
            while live.busy:
                if live.state is WorkState.RUNNING:
                    told = self._tell_progress(live, about, told)
                await changed.wait()
                changed.clear()
        finally:
            unsubscribe()
        await self._tell_end(live, about)

    async def talk(self, talk: Talk, about: Message) -> None:
        """Tell how a request to generate or answer goes: processing, then complete, error or cancelled."""
        told, noun = [], "send_message" if isinstance(talk.options, SendOptions) else "generation"

        def begun() -> None:
            if talk.state is WorkState.RUNNING and not told:
                told.append(True)
                self.tell({"type": "processing"} | about)

        await self.older.talks.wait(talk, begun)
        if talk.state is WorkState.DONE:
            self.tell({"type": f"{noun}_complete", "result": talk.result()} | about)
        elif talk.state is WorkState.CANCELLED:
            self._tell_cancelled(about)
        else:
            self.tell({"type": f"{noun}_error", "error": talk.error} | about)

    async def close(self) -> None:
        """Stop the work that hangs on the socket, and stop watching."""
        drops = [drop() for drop in self._tasks.values() if drop is not None]
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*tuple(self._tasks), *drops, return_exceptions=True)

    def _tell_progress(self, live: LiveRun, about: Message, told: int | None) -> int:
        if told is None:
            self.tell({"type": "processing"} | about)
        if live.total and live.done != told:
            progress = {"current": live.done, "total": live.total, "progress": round(100 * live.done / live.total, 1)}
            left = {} if live.seconds_left is None else {"eta": round(live.seconds_left, 1)}
            self.tell({"type": "progress", "message": live.stage} | progress | left | about)
        return live.done

    async def _tell_end(self, live: LiveRun, about: Message) -> None:
        if live.state is WorkState.DONE:
            record, asked = await self.here.runs.get(live.id), self.older.asked(live.id)
            self.tell({"type": "completed", "result": await run_result(self.here, record, asked)} | about)
        elif live.state is WorkState.CANCELLED:
            self._tell_cancelled(about)
        else:
            told = live.error or {}
            self.tell({"type": "error", "error": told.get("message", ""), "code": told.get("code", "")} | about)

    def _tell_cancelled(self, about: Message) -> None:
        if about["request_id"] not in self._answered:
            self.tell({"type": "request_cancelled"} | about)


def about_request(older: Desk, id: str, context: str, message: Message) -> Message:
    """What every message about a request repeats."""
    known = {"request_id": id, "context": context, "device": device_of(older.here)}
    return known | {name: message[name] for name in ("client_request_id",) if name in message}


async def stop_quietly(older: Desk, work: LiveRun | Talk) -> None:
    """Stop, where there is still something to stop."""
    try:
        if isinstance(work, Talk):
            await older.talks.cancel(work)
        else:
            await older.here.analyses.cancel(work.id)
    except (Conflict, NotFound):
        return
