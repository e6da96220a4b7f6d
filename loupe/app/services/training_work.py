"""One training while it is worked on: model and rows brought in, the device job, its points and checkpoints kept.

Points of the curves are written before the checkpoint that follows them, and forgotten beyond the checkpoint a training
goes on from: so the curves have no gap and no double after any crash.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.services.live_job import CHECKPOINT_WAIT_S, LiveJob
from loupe.app.services.trained_saes import load_checkpoint, new_sae, read_state, write_sae
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
    from loupe.engine.sae.plan import SAERun, TrainingPlan
    from loupe.engine.sae.sae import SAE
    from loupe.engine.sae.stream import ActivationStream
    from loupe.engine.sae.trainer import TrainedSAE, TrainingJob, TrainingResult, WatchedText

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
        self._asked_to_save = False
        self._listing: set[asyncio.Task[None]] = set()
        self._points: deque[Point] = deque()
        self._writing = asyncio.Lock()

    async def run(self, lm: "LanguageModel", device: "DeviceThread") -> dict[str, Any]:
        """Train to the end, and keep the SAEs. Raises what ends it."""
        rows = await self._rows()
        plan = self.request.plan(lm.d_model, lm.n_layers)
        state = await self._state(plan)
        plan = _named_as(plan, state)
        await self.store.trainings.rewind(self.id, state.step if state else -1)
        held_out, training_rows = split_rows(rows, self.request)
        watched = await asyncio.wrap_future(
            device.call(lambda: watched_texts(lm, self.request.watched, plan), name="watched text")
        )
        self._lm = lm
        self.job = await asyncio.to_thread(
            new_job, lm, training_rows, held_out, plan, self.request, state, watched, self.live.record.name
        )
        flushing = asyncio.create_task(self._flush_now_and_then())
        try:
            result = await self.live.on_device(
                device, self.job, on_event=self._on_event, keep=self._keeper(), writer=self.store.artefacts.write
            )
        finally:
            flushing.cancel()
            if self._listing:
                await asyncio.wait(self._listing)
            await self.flush()
        return {"saes": await self._keep_saes(result, lm), "step": result.step, "stopped": result.stopped}

    async def _rows(self) -> "TokenRows":
        record = await self.store.datasets.tokenisation(self.request.tokenisation)
        folder = self.store.artefacts.open(record.artefact_id).folder
        return await asyncio.to_thread(open_token_rows, folder)

    async def _state(self, plan: "TrainingPlan") -> "TrainingState | None":
        """The newest checkpoint that can be read, of this training or of the one it is forked from."""
        refused: list[str] = []
        for checkpoint in await self.store.trainings.checkpoints(self.id):
            try:
                artefact = self.store.artefacts.open(checkpoint.artefact_id)
                state = await asyncio.to_thread(read_state, artefact.folder)
            except (CorruptArtefact, CorruptFile) as error:
                refused.append(str(error))
                self.live.say(f"the checkpoint of step {checkpoint.step} is damaged; the one before is used", "warning")
                continue
            self.live.say(f"going on from the checkpoint of step {state.step}")
            return state
        if self.request.from_checkpoint:
            origin = await self.store.trainings.checkpoint(self.request.from_checkpoint)
            folder = self.store.artefacts.open(origin.artefact_id).folder
            state = await asyncio.to_thread(read_state, folder)
            self.live.say(f"forked from step {state.step} of {origin.job_id}")
            return state
        if refused:
            raise CorruptFile(f"None of the {len(refused)} checkpoints can be read: {refused[0]}")
        return None

    # Events, on the device thread.

    def _on_event(self, event: "Event") -> None:
        from loupe.engine.sae.measures import Measures
        from loupe.engine.sae.trainer import Evaluation

        item = getattr(event, "item", None)
        if isinstance(item, Measures):
            measured = item.to_dict()
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
        if self._asked_to_save:
            self._asked_to_save = False
            task = asyncio.create_task(self._list(saved))
            self._listing.add(task)
            task.add_done_callback(self._listing.discard)
        for gone in await self.store.trainings.prune(self.id, self.request.keep_checkpoints):
            await self.store.remove(gone)
        self.live.say(f"checkpoint of step {step}")
        return artefact_id

    def save_now(self) -> None:
        """Ask for a checkpoint at the end of this step, whose SAEs are put into the library at once."""
        assert self.job is not None, "asked only while it trains"
        self._asked_to_save = True
        self.job.save_now()

    async def _list(self, saved: CheckpointRecord) -> None:
        """Beside the training: what it cannot do is said, and stops nothing."""
        try:
            await load_checkpoint(self.store, self.live.record, saved, self._lm)
        except (LoupeError, StorageError) as error:
            self.live.say(f"the SAEs of step {saved.step} could not be listed: {error}", "warning")
            return
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
        return (await self.store.saes.add(new, artefact)).id


def _named_as(plan: "TrainingPlan", state: "TrainingState | None") -> "TrainingPlan":
    """The plan with the SAEs named as in the checkpoint: how unnamed ones are called may have changed since."""
    if state is None or len(state.plan.runs) != len(plan.runs):
        return plan
    runs = tuple(replace(run, name=old.name) for run, old in zip(plan.runs, state.plan.runs, strict=True))
    return replace(plan, runs=runs)


# In a thread or on the device: what needs the engine.


def open_token_rows(folder: Path) -> "TokenRows":
    """Token rows of a tokenisation's folder."""
    from loupe.engine.data.tokenising import open_rows

    return open_rows(folder)


def split_rows(rows: "TokenRows", request: TrainingRequest) -> tuple["TokenRows", "TokenRows"]:
    """Held-out rows (the first ones), and those to train on. Raises BadOption when there are too few."""
    from loupe.engine.errors import BadOption

    if len(rows) < 2:
        raise BadOption(f"A training needs two rows of tokens, one of them held out; there is {len(rows)}.")
    count = min(len(rows) - 1, max(1, round(len(rows) * request.held_out)))
    return rows.part(0, min(count, request.evaluation_rows)), rows.part(count, len(rows))


def new_stream(
    lm: "LanguageModel", rows: "TokenRows", plan: "TrainingPlan", request: TrainingRequest, buffer_rows: int
) -> "ActivationStream":
    """The activations a training reads. Raises BadOption, BadInput."""
    from loupe.engine.sae.stream import ActivationStream, Drop

    drop = Drop(special=request.drop_special, first=request.drop_first, norm_factor=request.drop_outliers)
    return ActivationStream(lm, rows, plan.points, seed=plan.training.seed, buffer_rows=buffer_rows, drop=drop)


def new_job(
    lm: "LanguageModel",
    rows: "TokenRows",
    held_out: "TokenRows",
    plan: "TrainingPlan",
    request: TrainingRequest,
    state: "TrainingState | None",
    watched: "tuple[WatchedText, ...]",
    name: str,
) -> "TrainingJob":
    """The device job, from its beginning or from a checkpoint."""
    from loupe.engine.sae.evaluation import evaluate
    from loupe.engine.sae.stream import Drop
    from loupe.engine.sae.trainer import TrainingJob

    drop = Drop(special=request.drop_special, first=request.drop_first, norm_factor=request.drop_outliers)

    def judged(run: "SAERun", sae: "SAE"):
        return evaluate(lm, sae, run.reads, held_out, writes=run.writes, drop=drop)

    def exported(folder: Path, run: "SAERun", sae: "SAE", card: Any) -> None:
        write_sae(folder, lm, request, plan, run, sae, card.to_dict() if card is not None else None)

    stream = new_stream(lm, rows, plan, request, request.buffer_rows)
    options = {"watched": watched, "evaluate": judged, "export": exported, "name": name}
    if state is None:
        return TrainingJob(plan, stream, **options)
    return TrainingJob.resumed(state, stream, plan=plan, **options)


def watched_texts(lm: "LanguageModel", texts: tuple[str, ...], plan: "TrainingPlan") -> "tuple[WatchedText, ...]":
    """Tokens and activations of short texts at all hook points of a plan; on the device."""
    import torch

    from loupe.engine.models.hooks import capture
    from loupe.engine.models.tokens import display_tokens, encode_text
    from loupe.engine.sae.trainer import WatchedText

    found, tokenizer = [], lm.tokenizer
    assert tokenizer is not None, "models of the catalogue have a tokenizer"
    for text in texts:
        ids = encode_text(tokenizer, text)[:64]
        with torch.no_grad(), capture(lm, list(plan.points)) as store:
            lm.model(input_ids=torch.tensor([ids], device=lm.device), use_cache=False)
        tokens = tuple(view.text for view in display_tokens(tokenizer, ids))
        found.append(WatchedText(tokens, {point: store[point][0].float() for point in plan.points}))
    return tuple(found)
