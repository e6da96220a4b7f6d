"""One training while it is worked on: model and rows brought in, the device job, its points and checkpoints kept.

Points of the curves are written before the checkpoint that follows them, and forgotten beyond the checkpoint a training
goes on from: so the curves have no gap and no double after any crash.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.services.live_job import CHECKPOINT_WAIT_S, LiveJob
from loupe.app.services.trained_saes import follow_checkpoint, keep_entry, new_sae, own_entry, read_state
from loupe.app.services.training_fit import ADVICE, needs_of
from loupe.app.services.training_job import new_job, open_token_rows, split_rows, watched_texts
from loupe.app.services.training_request import TrainingRequest
from loupe.engine.errors import CorruptFile, LoupeError
from loupe.storage.errors import CorruptArtefact, StorageError
from loupe.storage.repos.trainings import CheckpointRecord, Point
from loupe.storage.store import Store

if TYPE_CHECKING:
    from loupe.engine.data.rows import TokenRows
    from loupe.engine.device import DeviceThread
    from loupe.engine.jobs import Event
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.sae.checkpoint import TrainingState
    from loupe.engine.sae.plan import TrainingPlan
    from loupe.engine.sae.trainer import TrainedSAE, TrainingJob, TrainingResult

FLUSH_S = 1.0


class TrainingWork:
    """`latest` holds the newest point of every SAE; `job` is there once training begins.

    `on_listed()` is called when SAEs of a checkpoint came into the library.
    """

    def __init__(self, store: Store, live: LiveJob, on_listed: Callable[[], object] = lambda: None) -> None:
        self.store = store
        self.on_listed = on_listed
        self.live = live
        self.id = live.id
        self.request = TrainingRequest.model_validate(live.record.request)
        self.latest: dict[str, dict[str, Any]] = {}
        self.job: TrainingJob | None = None
        self._newest: CheckpointRecord | None = None  # not in the library yet
        self._listing: asyncio.Task[None] | None = None
        self._points: deque[Point] = deque()
        self._writing = asyncio.Lock()

    async def run(self, lm: "LanguageModel", device: "DeviceThread") -> dict[str, Any]:
        """Train to the end, and keep the SAEs. Raises what ends it."""
        rows = await self._rows()
        plan = self.request.plan(lm.d_model, lm.n_layers)
        state = await self._state()
        plan = _named_as(plan, state)
        needs = needs_of(plan, self.request, lm.torch_dtype.itemsize)
        await asyncio.to_thread(device.memory.require, needs.memory, "This training", ADVICE.capitalize())
        await self.store.trainings.rewind(self.id, state.step if state else -1)
        held_out, training_rows = split_rows(rows, self.request)
        watched = await asyncio.wrap_future(
            device.call(lambda: watched_texts(lm, self.request.watched, plan), name="watched text")
        )
        self._lm = lm
        self.job = await asyncio.to_thread(
            new_job, lm, training_rows, held_out, plan, self.request, state, watched, self.live.record.name,
            await self._cached(),
        )  # fmt: skip
        flushing = asyncio.create_task(self._flush_now_and_then())
        try:
            result = await self.live.on_device(
                device, self.job, on_event=self._on_event, keep=self._keeper(), writer=self.store.artefacts.write
            )
        finally:
            flushing.cancel()
            if self._listing is not None:
                await asyncio.wait([self._listing])
            await self.flush()
        return {"saes": await self._keep_saes(result, lm), "step": result.step, "stopped": result.stopped}

    async def _rows(self) -> "TokenRows":
        record = await self.store.datasets.tokenisation(self.request.tokenisation)
        folder = self.store.artefacts.open(record.artefact_id).folder
        return await asyncio.to_thread(open_token_rows, folder)

    async def _cached(self) -> Path | None:
        if self.request.activations is None:
            return None
        return (await asyncio.to_thread(self.store.artefacts.open, self.request.activations)).folder

    async def _state(self) -> "TrainingState | None":
        """The newest checkpoint that can be read: of this training, of the one it retries, or the one it forks.

        Raises CorruptFile where this training or the fork has none that is whole; a retry then begins anew.
        """
        if state := await self._newest_whole(self.id):
            self.live.say(f"going on from the checkpoint of step {state.step}")
            return state
        if await self.store.trainings.checkpoints(self.id):
            raise CorruptFile("None of the checkpoints can be read.")
        if state := await self._retried():
            return state
        if self.request.from_checkpoint:
            origin = await self.store.trainings.checkpoint(self.request.from_checkpoint)
            folder = self.store.artefacts.open(origin.artefact_id).folder
            state = await asyncio.to_thread(read_state, folder)
            self.live.say(f"forked from step {state.step} of {origin.job_id}")
            return state
        return None

    async def _retried(self) -> "TrainingState | None":
        """What the training that this one retries had reached, or the one which that one retried; its curves too."""
        origin = self.request.retry_of
        while origin is not None:
            if state := await self._newest_whole(origin):
                self.live.say(f"retry of {origin}: going on from its checkpoint of step {state.step}")
                for kind in ("measures", "evaluation"):
                    points = await self.store.trainings.points(origin, kind=kind)
                    await self.store.trainings.add_points(self.id, [each for each in points if each.step <= state.step])
                return state
            origin = (await self.store.jobs.get(origin)).request.get("retry_of")
        if self.request.retry_of:
            self.live.say(
                f"retry of {self.request.retry_of}: it left no checkpoint that can be read, so from the start"
            )
        return None

    async def _newest_whole(self, job_id: str) -> "TrainingState | None":
        for checkpoint in await self.store.trainings.checkpoints(job_id):
            try:
                artefact = self.store.artefacts.open(checkpoint.artefact_id)
                return await asyncio.to_thread(read_state, artefact.folder)
            except (CorruptArtefact, CorruptFile):
                self.live.say(f"the checkpoint of step {checkpoint.step} is damaged; the one before is used", "warning")
        return None

    # Events, on the device thread.

    def _on_event(self, event: "Event") -> None:
        from loupe.engine.sae.measures import Measures
        from loupe.engine.sae.trainer import Evaluation

        item = getattr(event, "item", None)
        if isinstance(item, Measures):
            measured = item.to_dict() | {"at": round(time.time(), 2)}
            self.latest[item.name] = measured
            self._points.append(Point(item.name, "measures", item.step, measured))
        elif isinstance(item, Evaluation):
            self._points.append(Point(item.name, "evaluation", item.step, item.card.to_dict()))

    def _keeper(self):
        loop = asyncio.get_running_loop()

        def keep(state: dict[str, Any]) -> str:
            kept = self._keep(state["artefact"], state["step"])
            return asyncio.run_coroutine_threadsafe(kept, loop).result(CHECKPOINT_WAIT_S)

        return keep

    async def _keep(self, artefact_id: str, step: int) -> str:
        await self.flush()
        artefact = await asyncio.to_thread(self.store.artefacts.open, artefact_id)
        saved = await self.store.trainings.add_checkpoint(self.id, step, artefact)
        self._newest = saved
        if self._listing is None or self._listing.done():
            self._listing = asyncio.create_task(self._follow())
        for gone in await self.store.trainings.prune(self.id, self.request.keep_checkpoints):
            await self.store.remove(gone)
        self.live.say(f"checkpoint of step {step}")
        return artefact_id

    def save_now(self) -> None:
        """Ask for a checkpoint at the end of this step."""
        assert self.job is not None, "asked only while it trains"
        self.job.save_now()

    async def _follow(self) -> None:
        """Bring the library to the newest checkpoint, beside the training: a failure is said, and stops nothing."""
        while (saved := self._newest) is not None:
            self._newest = None
            try:
                await follow_checkpoint(self.store, self.live.record, saved, self._lm)
            except (LoupeError, StorageError) as error:
                self.live.say(f"the SAEs of step {saved.step} could not be listed: {error}", "warning")
            self.on_listed()

    async def _flush_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write the points that are waiting."""
        async with self._writing:
            points = [self._points.popleft() for _ in range(len(self._points))]
            await self.store.trainings.add_points(self.id, points)

    # The end.

    async def _keep_saes(self, result: "TrainingResult", lm: "LanguageModel") -> list[str]:
        kept = []
        for trained in result.saes:
            if trained.artefact is not None:
                kept.append(await self.add_sae(trained, lm, result.step))
        cards: list[tuple[str, Any]] = [(trained.run.name, trained.card) for trained in result.saes]
        evaluations = [
            Point(name, "evaluation", result.step, card.to_dict()) for name, card in cards if card is not None
        ]
        await self.store.trainings.add_points(self.id, evaluations)
        return kept

    async def add_sae(self, trained: "TrainedSAE", lm: "LanguageModel", step: int) -> str:
        """Put a finished SAE into the library; its id."""
        assert trained.artefact is not None, "only SAEs that were written are kept"
        artefact = await asyncio.to_thread(self.store.artefacts.open, trained.artefact)
        card: Any = trained.card
        new = new_sae(
            trained.run, self.request, lm, job_id=self.id, author=self.live.record.author, step=step,
            card=card.to_dict() if card is not None else None,
        )  # fmt: skip
        own = await own_entry(self.store, self.id, trained.run.name)
        return (await keep_entry(self.store, own, new, artefact)).id


def _named_as(plan: "TrainingPlan", state: "TrainingState | None") -> "TrainingPlan":
    """The plan with the SAEs named as in the checkpoint: how unnamed ones are called may have changed since."""
    if state is None or len(state.plan.runs) != len(plan.runs):
        return plan
    runs = tuple(replace(run, name=old.name) for run, old in zip(plan.runs, state.plan.runs, strict=True))
    return replace(plan, runs=runs)
