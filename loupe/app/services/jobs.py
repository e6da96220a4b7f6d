"""Jobs: one noun for all work. A row first, then the work, then how it ended; nothing accepted is forgotten.

A service registers each kind of work once, at start:

    jobs.register(Kind("training", self._train, pausable=True, restarts=True))

and submits it as often as it likes:

    live = await jobs.submit(NewJob(kind="training", name="24k latents", request={...}, priority=2, author=name))

`work(live)` is a coroutine that does all of it from `live.record.request`, so that the same row can be worked on by
another process after a restart; `live.record.checkpoint_id` says from where. It reports through `live.report`, runs
device jobs with `live.on_device`, and work in threads inside `live.stopped_by`. Its exception is the job's failure.

What a restart does with jobs of a dead process: queued ones are begun; running ones became interrupted, and those of a
kind that `restarts` go on by themselves unless they ended the process twice (parked); the others wait for a Retry.
News: the bridge keys ("job", id) and "jobs", and the event topic `job`, named by state or `progress`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from loupe.app import logging as app_logging
from loupe.app.bridge import Bridge
from loupe.app.errors import ConfirmationNeeded, Conflict
from loupe.app.services.events import EventStream
from loupe.app.services.job_view import PRIORITIES, job_json
from loupe.app.services.job_work import JobWork, Work
from loupe.app.services.latency import Latencies
from loupe.app.services.live_job import LiveJob
from loupe.storage.records import Page
from loupe.storage.repos.jobs import JobRecord, NewJob
from loupe.storage.repos.logs import LogLine
from loupe.storage.rows import FINAL_STATES, WorkState
from loupe.storage.store import Store

REMEMBERED = 200  # ended jobs that the bridge still knows

Again = Callable[[JobRecord, str], Awaitable[str]]
TakenUp = Callable[[JobRecord], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of work.

    `again(record, author)` makes a new job of one that ended; None: the same request once more. `taken_up(record)` is
    what `submit` would be `given` for a job of a dead process, made before anybody can ask about it.
    """

    name: str
    work: Work
    pausable: bool = False
    restarts: bool = False
    again: Again | None = None
    taken_up: TakenUp | None = None


class Jobs:
    """The jobs of a data directory, and the work of this process on them."""

    def __init__(self, store: Store, bridge: Bridge, events: EventStream) -> None:
        self.store = store
        self.rows = store.jobs
        self.bridge = bridge
        self.events = events
        self.latencies = Latencies()
        self._kinds: dict[str, Kind] = {}
        self._live: dict[str, LiveJob] = {}
        self._ended: deque[str] = deque()
        self._closing = False
        self._listener = _Listener(self._live)
        logging.getLogger("loupe").addHandler(self._listener)

    def register(self, kind: Kind) -> None:
        """Say how jobs of this kind are worked on."""
        assert kind.name not in self._kinds, f"{kind.name} is registered twice"
        self._kinds[kind.name] = kind

    @property
    def live(self) -> tuple[LiveJob, ...]:
        """The jobs that this process waits with or works on, oldest first."""
        return tuple(self._live.values())

    async def submit(self, new: NewJob, given: Any = None) -> LiveJob:
        """Accept work: when this returns the row is kept. The work begins no earlier than the caller's next await."""
        assert new.kind in self._kinds, f"nobody registered {new.kind}"
        record = await self.rows.create(new)
        return self._launch(record, given)

    async def wait(self, id: str) -> JobRecord:
        """Until nobody works on the job any more, however that came. Raises NotFound."""
        if (live := self._live.get(id)) and live.ended:
            await asyncio.wait([live.ended])
        return await self.rows.get(id)

    # What people and programs see.

    async def get(self, id: str) -> dict[str, Any]:
        """One job with its present state and what may be done with it. Raises NotFound."""
        return self._view(await self.rows.get(id))

    async def list(self, **query: Any) -> Page[dict[str, Any]]:
        """A page of jobs, newest first. Raises ValueError for an impossible page, state or column."""
        found = await self.rows.list(**query)
        return Page(tuple(self._view(record) for record in found.items), found.total, found.page, found.limit)

    async def logs(self, id: str, *, after: int = 0, limit: int = 500) -> tuple[LogLine, ...]:
        """What the job said, oldest first, without the first `after` lines. Raises NotFound."""
        await self.rows.get(id)
        kept = await self.store.logs.of(id)
        said = tuple(live.said) if (live := self._live.get(id)) else ()
        return (kept + said)[after : after + limit]

    # The levers. `by` is who pulls them, for the log.

    async def pause(self, id: str, *, by: str = "") -> dict[str, Any]:
        """Hold the job at its next safe point until it is resumed. Raises NotFound, Conflict."""
        _, live = await self._allowed(id, "pause")
        if live is None or live.closing or live.cancelled or (live.handle and live.handle.state.is_final):
            raise Conflict(f"Job {id} is about to end and cannot be paused.")
        live.hold()
        live.say(f"paused{_by(by)}")
        await self.rows.pause(id)
        self._tell(live, live.state)
        return await self.get(id)

    async def resume(self, id: str, *, by: str = "") -> dict[str, Any]:
        """Go on with a paused, interrupted or parked job, from its checkpoint when there is one.

        Raises NotFound, Conflict.
        """
        _, live = await self._allowed(id, "resume")
        record = await self.rows.requeue(id)
        if live is None:
            live = await self._take_up(record)
        else:
            live.go_on()
            self._tell(live, live.state)
        live.say(f"resumed{_by(by)}")
        return await self.get(id)

    async def cancel(self, id: str, *, by: str = "", confirm: bool = False) -> dict[str, Any]:
        """End the job at its next safe point, and wait for that.

        Raises NotFound, Conflict when it has ended, ConfirmationNeeded when it is another person's and `confirm` is
        not set.
        """
        record, live = await self._allowed(id, "cancel")
        if record.author and record.author != by and not confirm:
            raise ConfirmationNeeded(f"This is {record.author}'s work. Confirm to cancel it.")
        if live is None and record.kind not in self._kinds:
            await self.rows.cancel(id)
            return await self.get(id)
        live = live or await self._take_up(record)  # what was kept beside the row is ended by the work itself
        live.say(
            f"cancelled{_by(by)}{f', work of {record.author}' if record.author not in ('', by) else ''}", "warning"
        )
        live.cancelled = True
        live.stop()
        await self.wait(id)
        return await self.get(id)

    async def retry(self, id: str, *, by: str = "") -> dict[str, Any]:
        """Work on it again: an interrupted or parked job goes on; a failed or cancelled one is asked for anew.

        Returns the job that does the work, a new one in the second case. Raises NotFound, Conflict.
        """
        record, _ = await self._allowed(id, "retry")
        if record.state not in FINAL_STATES:
            return await self.resume(id, by=by)
        author = by or record.author
        if again := self._kinds[record.kind].again:
            return await self.get(await again(record, author))
        new = NewJob(
            kind=record.kind,
            name=record.name,
            request=record.request,
            priority=record.priority,
            seed=record.seed,
            author=author,
        )
        return await self.get((await self.submit(new)).id)

    async def set_priority(self, id: str, priority: str, *, by: str = "") -> dict[str, Any]:
        """How urgent the job is: interactive, batch or training. Raises NotFound, Conflict."""
        _, live = await self._allowed(id, "priority")
        await self.rows.set_priority(id, PRIORITIES[priority])
        if live:
            live.set_priority(PRIORITIES[priority])
            live.say(f"priority set to {priority}{_by(by)}")
            self._tell(live, live.state)
        return await self.get(id)

    # Begin and end of the process.

    async def restart(self) -> int:
        """Take up what a former process left; returns how many. For a server, not for a command that soon ends."""
        found = 0
        for record in await self.rows.unfinished():
            kind = self._kinds.get(record.kind)
            if kind is None or record.id in self._live or not (kind.restarts or record.state is WorkState.QUEUED):
                continue
            live = await self._take_up(await self.rows.line_up(record.id))
            live.say("taken up again after a restart")
            found += 1
        return found

    async def close(self) -> None:
        """Stop all work, noting it as interrupted, and wait for that."""
        self._closing = True
        for live in self.live:
            live.closing = True
            live.stop()
        tasks = [live.ended for live in self.live if live.ended]
        if tasks:
            await asyncio.wait(tasks)
        logging.getLogger("loupe").removeHandler(self._listener)

    async def _take_up(self, record: JobRecord) -> LiveJob:
        """Work on a job of a dead process."""
        make = self._kinds[record.kind].taken_up
        given = await make(record) if make else None
        return self._live.get(record.id) or self._launch(record, given)  # somebody may have been faster

    def _launch(self, record: JobRecord, given: Any = None) -> LiveJob:
        live = self._live[record.id] = LiveJob(record, given, self._changed, self._keep_checkpoint)
        live.closing = self._closing
        work = JobWork(self._kinds[record.kind].work, live, self.store, self.bridge, self.latencies, self._tell)
        live.ended = asyncio.create_task(work.run(), name=f"{record.kind}-{record.id}")
        live.ended.add_done_callback(lambda _: self._forget(live))
        self._tell(live, live.state)
        return live

    def _forget(self, live: LiveJob) -> None:
        del self._live[live.id]
        self._ended.append(live.id)
        if len(self._ended) > REMEMBERED:
            self.bridge.forget(("job", self._ended.popleft()))

    async def _allowed(self, id: str, action: str) -> tuple[JobRecord, LiveJob | None]:
        """The job, when this may be done to it now."""
        record = await self.rows.get(id)
        view = self._view(record)
        if action not in view["actions"]:
            possible = ", ".join(view["actions"]) or "nothing"
            raise Conflict(f"Job {id} is {view['state']}: {action} is not possible now, {possible} is.")
        return record, self._live.get(id)

    def _view(self, record: JobRecord) -> dict[str, Any]:
        kind = self._kinds.get(record.kind)
        return job_json(
            record, self._live.get(record.id), known=kind is not None, pausable=bool(kind and kind.pausable)
        )

    def _changed(self, live: LiveJob) -> None:
        self.bridge.publish(("job", live.id), live)

    def _tell(self, live: LiveJob, name: str) -> None:
        self.events.emit("job", name, self._view(live.record))
        self._changed(live)
        self.bridge.publish("jobs")
        self.bridge.publish("queue")

    async def _keep_checkpoint(self, live: LiveJob, artefact_id: str) -> None:
        former = await self.rows.checkpoint(live.id, artefact_id)
        live.checkpoint_id = artefact_id
        await self.store.remove(former)


class _Listener(logging.Handler):
    """What loggers of Loupe say while a job is worked on goes into the job's own log too."""

    def __init__(self, live: dict[str, LiveJob]) -> None:
        super().__init__(logging.INFO)
        self._live = live

    def emit(self, record: logging.LogRecord) -> None:
        if live := self._live.get(app_logging.job_id.get() or ""):
            live.say(record.getMessage(), record.levelname.lower())


def _by(name: str) -> str:
    return f" by {name}" if name else ""
