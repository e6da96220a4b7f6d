"""Analyses: accepted, queued, run on the device thread, streamed, saved.

The way of a request: check limits, keep a run record, load the pair if need be, look into the cache, submit the job,
let results grow on the live run, save them, tell everyone. Closing a page changes nothing; only `cancel` does.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from loupe.app.bridge import Bridge
from loupe.app.errors import Conflict, NotFound, QueueFull
from loupe.app.services.analysis_work import AnalysisWork
from loupe.app.services.events import EventStream
from loupe.app.services.job_view import PRIORITIES
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.lenses import Lenses
from loupe.app.services.live import LiveRun
from loupe.app.services.live_job import LiveJob
from loupe.app.services.models import Models
from loupe.app.services.options import AnalysisOptions, check_whole, contents, title_of
from loupe.app.services.runs import Result, Runs
from loupe.app.services.system import versions
from loupe.app.settings import Settings
from loupe.engine.errors import BadOption, EmptyText, TextTooLong
from loupe.storage import errors
from loupe.storage.repos.jobs import JobRecord, NewJob
from loupe.storage.repos.runs import NewRun, RunRecord
from loupe.storage.rows import WorkState

log = logging.getLogger(__name__)

JOB = "analysis"


class Analyses:
    """The analyses of this process: those that run, and those that ran lately."""

    def __init__(
        self,
        settings: Settings,
        models: Models,
        runs: Runs,
        jobs: Jobs,
        lenses: Lenses,
        bridge: Bridge,
        events: EventStream,
    ) -> None:
        self.settings = settings
        self.models = models
        self.runs = runs
        self.jobs = jobs
        self.lenses = lenses
        self.bridge = bridge
        self.events = events
        self._live: dict[str, LiveRun] = {}
        jobs.register(Kind(JOB, self._work, pausable=True, restarts=True, again=self._again, taken_up=self._taken_up))
        self._seconds_per_position: float | None = None
        self._accepting = 0  # passed the bound, and is being written down

    @property
    def live(self) -> tuple[LiveRun, ...]:
        """Those in memory, oldest first."""
        return tuple(self._live.values())

    def get(self, id: str) -> LiveRun:
        """An analysis of this process. Raises NotFound."""
        if id not in self._live:
            raise NotFound(f"No analysis {id!r} ran since the server started. Saved ones are under runs.")
        return self._live[id]

    def is_busy(self, id: str) -> bool:
        """Whether this run is being made now."""
        return id in self._live and self._live[id].busy

    def ahead_of(self, live: LiveRun) -> int:
        """How many accepted earlier are not finished."""
        return sum(other.busy and other.created_at < live.created_at for other in self._live.values())

    def seconds_per_position(self, best_of: int) -> float | None:
        """What a position costs, from the last run; None before anything was measured."""
        return None if self._seconds_per_position is None else self._seconds_per_position * best_of**0.5

    def estimate(self, options: AnalysisOptions) -> float | None:
        """Seconds a request will take, from the last one; None before anything was measured."""
        cost = self.seconds_per_position(options.best_of)
        return None if cost is None else round(cost * max(1, options.characters / 4.5), 1)

    async def start(
        self,
        options: AnalysisOptions,
        *,
        paths_allowed: bool = False,
        author: str = "",
        repeat_of: str | None = None,
    ) -> LiveRun:
        """Accept a request; from now on it is never forgotten.

        Raises QueueFull, TextTooLong, EmptyText, BadOption, NotFound or Forbidden before anything is kept.
        """
        options = self.models.settled(options)
        self._check(options)
        spec = self.models.spec(options, paths_allowed=paths_allowed)
        text = options.text if options.text is not None else "\n\n".join(m.content for m in options.messages or ())
        self._accepting += 1
        try:
            record = await self.runs.create(
                NewRun(
                    name=options.name or title_of(text),
                    text=text,
                    request=options.model_dump(mode="json"),
                    model=options.model,
                    layer=options.layer,
                    seed=options.seed,
                    versions=versions(),
                    author=author,
                    repeat_of=repeat_of,
                )
            )
            live = self._remember(LiveRun(record.id, options, author))
        finally:
            self._accepting -= 1
        fresh = repeat_of is not None
        await self.jobs.submit(_job(record, paths_allowed=paths_allowed, fresh=fresh), given=(live, spec))
        return live

    async def repeat(self, id: str, *, paths_allowed: bool = False, author: str = "") -> LiveRun:
        """Ask again exactly what a saved run asked, past the cache. Raises NotFound, Conflict, and as `start`."""
        record = await self.runs.get(id)
        if record.deleted_at is not None:
            raise Conflict(f"Run {id} was deleted. Restore it first.")
        try:
            options = AnalysisOptions.model_validate(record.request)
        except ValidationError:
            raise Conflict(f"Run {id} was imported without the options that it was made with.") from None
        return await self.start(options, paths_allowed=paths_allowed, author=author, repeat_of=id)

    async def delete(self, id: str, *, by: str = "", forever: bool = False) -> RunRecord:
        """Put a run into the bin, or remove it for good. Raises NotFound, or Conflict while it is being made."""
        if self.is_busy(id):
            raise Conflict(f"Run {id} is still being made. Cancel it first.")
        record = await self.runs.delete(id, by=by, forever=forever)
        self._live.pop(id, None)
        return record

    async def cancel(self, id: str, *, by: str = "", confirm: bool = True) -> LiveRun:
        """Stop an analysis within one decode step.

        Raises NotFound, Conflict when it has ended; unless `confirm`, ConfirmationNeeded when it is not `by`'s.
        """
        live = self.get(id)
        if not live.busy:
            raise Conflict(f"Analysis {id} is {live.state} already.")
        await self.jobs.cancel(id, by=by, confirm=confirm)
        return live

    async def wait(self, id: str) -> LiveRun:
        """Until the analysis has ended, however it did."""
        live = self.get(id)
        if live.busy:
            await self.jobs.wait(id)
        return live

    async def result(self, id: str) -> Result:
        """`{metadata, data}` of a finished run, from memory or from the store. Raises NotFound."""
        live = self._live.get(id)
        if live is not None and live.result is not None:
            return live.result
        return await self.runs.result(id)

    def rows(self, live: LiveRun) -> list[dict[str, Any]]:
        """The finished positions as JSON rows, in the order they finished; each is converted once."""
        for item in live.found[len(live.rows) :]:
            live.rows.append(item if isinstance(item, dict) else item.to_json())
        return live.rows

    async def preview(self, options: AnalysisOptions, *, paths_allowed: bool = False) -> LiveRun:
        """The input cut into tokens, with nothing explained and nothing kept. Raises as `start`."""
        from loupe.app.services.question import preview

        self._check(options)
        async with self.models.use(self.models.spec(options, paths_allowed=paths_allowed)) as loaded:
            tokens, about = await asyncio.to_thread(preview, options, loaded)
        shown = LiveRun("", options, state=WorkState.DONE, tokens=tokens, turns=about.get("turns", ()))
        return shown

    def subscribe(self, id: str, callback: Callable[[Any], None]) -> Callable[[], None]:
        """Be told at most ten times a second that a run changed; returns the way to stop it."""
        return self.bridge.subscribe(("run", id), callback)

    def measured(self, seconds: float, positions: int, best_of: int) -> None:
        """Remember what a position cost, for the next estimate."""
        self._seconds_per_position = seconds / max(1, positions) / best_of**0.5

    def _check(self, options: AnalysisOptions) -> None:
        limits = self.settings
        waiting = self._accepting + sum(live.busy for live in self._live.values())
        if waiting >= limits.queue_limit:
            raise QueueFull(f"{waiting} analyses wait or run already; at most {limits.queue_limit} are accepted.")
        if not any(content.strip() for content in contents(options)):
            raise EmptyText("The text is empty. Give at least one word.")
        for content in contents(options):
            check_whole(content)
        if options.characters > limits.max_text_chars:
            raise TextTooLong(
                f"The text has {options.characters:,} characters; at most {limits.max_text_chars:,} are accepted."
            )
        if options.best_of > limits.max_best_of:
            raise BadOption(f"best_of is {options.best_of}; at most {limits.max_best_of} rollouts are allowed.")
        if (options.max_new_tokens or 0) > limits.max_new_tokens:
            raise BadOption(f"max_new_tokens is {options.max_new_tokens}; at most {limits.max_new_tokens} are allowed.")
        if options.reply and options.reply.max_new_tokens > limits.max_reply_tokens:
            raise BadOption(
                f"A reply of {options.reply.max_new_tokens} tokens is asked for; at most {limits.max_reply_tokens} "
                "are allowed."
            )
        if options.best_of > 1 and options.temperature == 0:
            raise BadOption("best_of needs a temperature above 0: greedy rollouts are all the same.")

    async def _work(self, job: LiveJob) -> None:
        live, spec = job.given or (await self._from_record(job.id), None)
        await AnalysisWork(self, live, job, spec).run()

    async def _taken_up(self, job: JobRecord) -> tuple[LiveRun, None] | None:
        try:
            return await self._from_record(job.id), None
        except (errors.NotFound, ValidationError):
            return None  # the work will meet the same, fail with it and say so

    async def _from_record(self, id: str) -> LiveRun:
        record = await self.runs.get(id)
        return self._remember(LiveRun(id, AnalysisOptions.model_validate(record.request), record.author))

    async def _again(self, job: JobRecord, author: str) -> str:
        return (await self.repeat(job.id, paths_allowed=job.request["paths_allowed"], author=author)).id

    def _remember(self, live: LiveRun) -> LiveRun:
        self._live[live.id] = live
        self._forget_old()
        self.tell(live, "queued")
        return live

    def _forget_old(self) -> None:
        ended = [id for id, live in self._live.items() if not live.busy]
        for id in ended[: max(0, len(ended) - self.settings.live_runs_kept)]:
            del self._live[id]
            self.bridge.forget(("run", id))

    def tell(self, live: LiveRun, name: str) -> None:
        """Tell everyone who follows an analysis how it stands."""
        self.events.emit("analysis", name, live.status())
        self.bridge.publish(("run", live.id), live)
        self.bridge.publish("queue", None)


def _job(record: RunRecord, *, paths_allowed: bool, fresh: bool) -> NewJob:
    """The job that makes a run. They share an id: whoever knows one knows the other."""
    return NewJob(
        id=record.id,
        run_id=record.id,
        kind=JOB,
        name=record.name,
        author=record.author,
        seed=record.seed,
        priority=PRIORITIES["interactive"],
        request={"paths_allowed": paths_allowed, "fresh": fresh},
    )
