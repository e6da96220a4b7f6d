"""Trainings of sparse autoencoders: asked for, checked, worked on as jobs, steered, and looked at while they run.

The job kind `training` can be paused, and goes on by itself after a restart from its newest checkpoint. One training at
a time holds the device, the others wait; analyses never wait for one longer than a slice.
"""

import asyncio
import builtins
import logging
from typing import TYPE_CHECKING, Any

from loupe.app.bridge import Bridge
from loupe.app.errors import ConfirmationNeeded, Conflict, NotFound
from loupe.app.services.activations import Activations
from loupe.app.services.catalogue import Catalogue
from loupe.app.services.curves import CURVES, HELD_OUT, density_strip, series, without_pictures
from loupe.app.services.engine import Engine
from loupe.app.services.events import EventStream
from loupe.app.services.jobs import Jobs, Kind
from loupe.app.services.live_job import LiveJob
from loupe.app.services.models import Models
from loupe.app.services.trained_saes import load_checkpoint
from loupe.app.services.training_fit import Fit, check_possible, check_tokenizer, measure_fit
from loupe.app.services.training_request import TrainingRequest, option_rows
from loupe.app.services.training_work import TrainingWork
from loupe.engine.errors import BadOption
from loupe.storage.repos.jobs import JobRecord, NewJob
from loupe.storage.repos.saes import SaeRecord
from loupe.storage.repos.trainings import CheckpointRecord
from loupe.storage.store import Store

if TYPE_CHECKING:
    from loupe.engine.sae.plan import TrainingPlan

log = logging.getLogger(__name__)

PRIORITY = 2  # of trainings, see engine/jobs.py


class Trainings:
    """The trainings of this data directory."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        catalogue: Catalogue,
        models: Models,
        jobs: Jobs,
        activations: Activations,
        bridge: Bridge,
        events: EventStream,
    ) -> None:
        self.store = store
        self.engine = engine
        self.catalogue = catalogue
        self.models = models
        self.jobs = jobs
        self.activations = activations
        self.bridge = bridge
        self.events = events
        self._working: dict[str, TrainingWork] = {}
        self._device_turn = asyncio.Lock()
        self._loading = asyncio.Lock()
        jobs.register(Kind("training", self._work, pausable=True, restarts=True, again=self._again))

    async def start(self, request: TrainingRequest, *, author: str = "") -> LiveJob:
        """Accept a training. Raises NotFound, BadInput and OutOfDeviceMemory before anything is kept."""
        request, plan = await self._checked(request)
        check_possible((await self.engine.device()).memory, plan, request)
        new = NewJob(
            kind="training",
            name=request.title,
            request=request.model_dump(mode="json"),
            priority=PRIORITY,
            seed=plan.training.seed,
            author=author,
        )
        return await self.jobs.submit(new)

    async def fit(self, request: TrainingRequest) -> Fit:
        """What it would take: memory, disk, and the time, from a short probe on the device. Raises as `start`."""
        request, _ = await self._checked(request)
        record = await self.store.datasets.tokenisation(request.tokenisation)
        cached = (await self.activations.get(request.activations)).folder if request.activations else None
        folder = self.store.artefacts.open(record.artefact_id).folder
        entry = self.catalogue.get(request.model)
        async with self.models.use_model(entry.path, request.dtype or "") as lm:
            home = self.store.data_dir.path
            return await measure_fit(await self.engine.device(), lm, folder, request, home, cached)

    # The levers beyond those of every job.

    def save_now(self, id: str) -> None:
        """Ask for a checkpoint at the end of this step. Raises Conflict when it does not run, or is paused."""
        work = self._running(id)
        if work.live.paused:
            raise Conflict("The training is paused. Resume it, and then save.")
        work.save_now()

    async def stop(self, id: str, *, by: str = "") -> None:
        """End the training after this step, and keep its SAEs as they are; a paused one goes on to do that.

        Raises Conflict when it does not run.
        """
        work = self._running(id)
        work.job.stop()
        if work.live.paused:
            await self.jobs.resume(id, by=by)

    async def delete(self, id: str, *, by: str = "", confirm: bool = False) -> None:
        """Forget a training that has ended, with its curves and checkpoints, for good; its SAEs stay.

        Raises NotFound, Conflict while it or one that goes on from it works, ConfirmationNeeded for another person's.
        """
        record = await self._record(id)
        if record.finished_at is None or any(live.id == id for live in self.jobs.live):
            raise Conflict("The training has not ended. Stop or cancel it first.")
        for live in self.jobs.live:
            if id in (live.record.request.get("fork_of"), live.record.request.get("retry_of")):
                raise Conflict(f"{live.record.name} goes on from it. Stop that first.")
        if record.author not in ("", by):
            if not confirm:
                raise ConfirmationNeeded(f"This is {record.author}'s work. Confirm to delete it.")
            log.warning("%s deleted a training of %s", by or "somebody", record.author)
        for gone in await self.store.trainings.delete(id):
            await self.store.remove(gone)
        self.bridge.publish("jobs")
        self._tell_library()

    async def fork(
        self, checkpoint_id: str, *, name: str = "", training: dict[str, Any] | None = None, author: str = ""
    ) -> LiveJob:
        """Begin another training from a checkpoint, with other options from there on.

        Raises NotFound, BadOption.
        """
        checkpoint = await self.store.trainings.checkpoint(checkpoint_id)
        request = TrainingRequest.model_validate((await self._record(checkpoint.job_id)).request)
        steps = (training or {}).get("steps")
        if isinstance(steps, int) and steps <= checkpoint.step:
            raise BadOption(f"The checkpoint is of step {checkpoint.step}: steps in all must be more; got {steps}.")
        changed = {
            "name": name or f"{request.title}, from step {checkpoint.step}",
            "training": {**request.training, **(training or {})},
            "fork_of": checkpoint.job_id,
            "from_checkpoint": checkpoint_id,
        }
        await self.store.trainings.mark(checkpoint_id, kept=True)
        return await self.start(request.model_copy(update=changed), author=author)

    async def load_checkpoint(self, checkpoint_id: str) -> builtins.list[SaeRecord]:
        """Put the SAEs of a checkpoint into the library, where every page can use them; twice is once.

        Raises NotFound, CorruptArtefact, CorruptFile.
        """
        checkpoint = await self.store.trainings.checkpoint(checkpoint_id)
        job = await self._record(checkpoint.job_id)
        request = TrainingRequest.model_validate(job.request)
        entry = self.catalogue.get(request.model)
        async with self._loading, self.models.use_model(entry.path, request.dtype or "") as lm:
            found = await load_checkpoint(self.store, job, checkpoint, lm)
        self._tell_library()
        return found

    # Looking.

    async def list(self, **query: Any) -> tuple[list[dict[str, Any]], Any]:
        """A page of trainings, each with the newest point of its curves, and the page's numbers."""
        found = await self.jobs.list(kind="training", **query)
        last = await self.store.trainings.last_points([job["id"] for job in found.items])
        return [self._view(job, last.get(job["id"], [])) for job in found.items], found

    async def get(self, id: str) -> dict[str, Any]:
        """One training: its job, what was asked, the newest points. Raises NotFound."""
        record = await self._record(id)
        last = await self.store.trainings.last_points([id])
        view = self._view(await self.jobs.get(id), last.get(id, []))
        saes = await self.store.saes.list(job_id=id)
        recipe = TrainingRequest.model_validate(record.request).recipe.model_dump(mode="json")
        return view | {"request": record.request, "recipe": recipe, "saes": [sae.id for sae in saes.items]}

    async def curves(self, id: str, *, most: int = 1500, after: int = -1) -> dict[str, Any]:
        """All curves, thinned to about `most` points each, held-out evaluations, and densities over time.

        Raises NotFound.
        """
        await self._record(id)
        points = await self.store.trainings.points(id, after=after)
        judged = await self.store.trainings.points(id, kind="evaluation", after=after)
        return await asyncio.to_thread(
            lambda: {
                "curves": series(points, CURVES, most),
                "held_out": series(judged, HELD_OUT, most),
                "density": density_strip(points),
                "last_step": max((point.step for point in points), default=after),
            }
        )

    def strip(self, id: str) -> dict[str, Any]:
        """The newest feature strip of every SAE of a training that runs here; empty otherwise."""
        work = self._working.get(id)
        latest = work.latest if work else {}
        return {sae: measured["strip"] for sae, measured in latest.items() if measured.get("strip")}

    async def checkpoints(self, id: str) -> tuple[CheckpointRecord, ...]:
        """The checkpoints of a training, the newest first. Raises NotFound."""
        await self._record(id)
        return await self.store.trainings.checkpoints(id)

    async def keep_checkpoint(self, checkpoint_id: str, *, kept: bool) -> CheckpointRecord:
        """Keep a checkpoint for good, or leave it to pruning again. Raises NotFound."""
        return await self.store.trainings.mark(checkpoint_id, kept=kept)

    async def delete_checkpoint(self, checkpoint_id: str) -> None:
        """Remove a checkpoint. Raises NotFound, and Conflict for the one an unfinished training would go on from."""
        checkpoint = await self.store.trainings.checkpoint(checkpoint_id)
        job = await self._record(checkpoint.job_id)
        newest = (await self.store.trainings.checkpoints(checkpoint.job_id))[0]
        if job.finished_at is None and newest.id == checkpoint_id:
            raise Conflict("An unfinished training goes on from this checkpoint. Stop or cancel the training first.")
        await self.store.remove(await self.store.trainings.delete_checkpoint(checkpoint_id))

    @staticmethod
    def options() -> dict[str, Any]:
        """The schema of everything that can be asked."""
        return {"request": TrainingRequest.model_json_schema(), **option_rows()}

    # The work.

    async def _again(self, job: JobRecord, author: str) -> str:
        """A training that failed or was cancelled, as another one that goes on from its newest good checkpoint."""
        request = TrainingRequest.model_validate(job.request)
        return (await self.start(request.model_copy(update={"retry_of": job.id}), author=author)).id

    async def _work(self, live: LiveJob) -> dict[str, Any]:
        live.note("waiting for another training")
        async with self._device_turn:
            live.check()
            work = self._working[live.id] = TrainingWork(self.store, live, self._tell_library)
            unsubscribe = self.bridge.subscribe(("job", live.id), lambda _: self._tell(work))
            try:
                live.note("loading the model")
                entry = self.catalogue.get(work.request.model)
                async with self.models.use_model(entry.path, work.request.dtype or "") as lm:
                    return await work.run(lm, await self.engine.device())
            finally:
                unsubscribe()
                del self._working[live.id]
                self._tell_library()

    def _tell(self, work: TrainingWork) -> None:
        latest = {sae: without_pictures(measured) for sae, measured in work.latest.items()}
        if latest:
            self.events.emit("training", "progress", {"id": work.id, "latest": latest})
            self.bridge.publish(("training", work.id), latest)

    def _tell_library(self) -> None:
        self.bridge.publish("library")

    async def _checked(self, request: TrainingRequest) -> "tuple[TrainingRequest, TrainingPlan]":
        """The request with what a cache decides, and its plan, held to the model and the rows.

        Raises NotFound, BadOption, CorruptFile, LayerOutOfRange, WidthMismatch.
        """
        request = await self.activations.settled(request)
        for origin in filter(None, (request.fork_of, request.retry_of)):
            await self._record(origin)
        entry = self.catalogue.get(request.model)
        check_tokenizer(self.catalogue, await self.store.datasets.tokenisation(request.tokenisation), entry)
        if entry.d_model is None or entry.n_layers is None:
            raise BadOption(f"{request.model} does not say how wide or deep it is.")
        plan = await asyncio.to_thread(request.plan, entry.d_model, entry.n_layers)
        await self.activations.check_points(request.activations, plan.points)
        return request, plan

    def _running(self, id: str) -> Any:  # a TrainingWork whose job is there
        work = self._working.get(id)
        if work is None or work.job is None:
            raise Conflict(f"Training {id} does not run now.")
        return work

    async def _record(self, id: str) -> JobRecord:
        record = await self.store.jobs.get(id)
        if record.kind != "training":
            raise NotFound(f"There is no training {id!r}.")
        return record

    def _view(self, job: dict[str, Any], points: Any) -> dict[str, Any]:
        latest = {point.sae: without_pictures(point.measured) for point in points}
        work = self._working.get(job["id"])
        if work and work.job:
            extra = ["stop"] if work.live.paused else ["save", "stop"]
        else:
            extra = ["delete"] * ("finished_at" in job)
        if job["state"] == "queued" and (first := next(iter(self._working.values()), None)):
            job = job | {"message": f"waits for {first.live.record.name}{', which is paused' * first.live.paused}"}
        return job | {"latest": latest, "actions": [*job["actions"], *extra]}
