"""SAEs that a training leaves: written as SAELens folders, and put into the library with where they come from.

Each has one entry there from the first checkpoint on, which follows the newest one until the training ends. Any
checkpoint can be put beside it for good: then with the running threshold of that step, and with the card of an
evaluation where there was one at that very step.
"""

import asyncio
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from loupe.app.services.training_request import TrainingRequest
from loupe.storage.artefacts import Artefact
from loupe.storage.repos.jobs import JobRecord
from loupe.storage.repos.saes import NewSae, SaeRecord
from loupe.storage.repos.trainings import CheckpointRecord
from loupe.storage.store import Store

RUN = "run"  # in the details of an entry that follows its training: which of its SAEs it is

if TYPE_CHECKING:
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.sae.checkpoint import TrainingState
    from loupe.engine.sae.plan import SAERun, TrainingPlan
    from loupe.engine.sae.sae import SAE


class Checkpointed(NamedTuple):
    """A checkpoint that was read, with the cards of evaluations at that very step, by SAE."""

    state: "TrainingState"
    cards: dict[str, dict[str, Any]]


async def read(store: Store, checkpoint: CheckpointRecord) -> Checkpointed:
    """Read a checkpoint. Raises CorruptArtefact, CorruptFile."""
    folder = store.artefacts.open(checkpoint.artefact_id).folder
    state = await asyncio.to_thread(read_state, folder)
    judged = await store.trainings.points(checkpoint.job_id, kind="evaluation", after=state.step - 1)
    return Checkpointed(state, {each.sae: dict(each.measured) for each in judged if each.step == state.step})


async def follow_checkpoint(
    store: Store, job: JobRecord, checkpoint: CheckpointRecord, lm: "LanguageModel"
) -> list[SaeRecord]:
    """Bring the entry that every SAE of a training has in the library to this checkpoint, its first one making it.

    One that somebody deleted stays deleted. Raises as `load_checkpoint`.
    """
    found = await read(store, checkpoint)
    listed = []
    for run in found.state.plan.runs:
        own = await own_entry(store, job.id, run.name)
        if own is None or (own.deleted_at is None and own.step != found.state.step):
            listed.append(await keep_entry(store, own, *await _written(store, job, found, run, lm)))
    return listed


async def own_entry(store: Store, job_id: str, run: str) -> SaeRecord | None:
    """The entry of an SAE of a training that follows it, also one in the bin."""
    for deleted in (False, True):
        for sae in (await store.saes.list(job_id=job_id, limit=200, deleted=deleted)).items:
            if _is_own(sae, run):
                return sae
    return None


async def keep_entry(store: Store, own: SaeRecord | None, new: NewSae, artefact: Artefact) -> SaeRecord:
    """Bring an entry to what a training has now, under the name that it was given; or make it."""
    if own is None or own.deleted_at is not None:
        return await store.saes.add(new, artefact)
    record, gone = await store.saes.replace(own.id, new, artefact)
    for each in gone:
        await store.remove(each)
    return record


async def load_checkpoint(
    store: Store, job: JobRecord, checkpoint: CheckpointRecord, lm: "LanguageModel"
) -> list[SaeRecord]:
    """Put the SAEs of a checkpoint into the library, to stay as they are; those that are there stay the only ones.

    Raises NotFound, CorruptArtefact, CorruptFile.
    """
    found = await read(store, checkpoint)
    step = found.state.step
    here = [sae for sae in (await store.saes.list(job_id=job.id, limit=200)).items if sae.step == step]
    kept = []
    for run in found.state.plan.runs:
        stays = (sae for sae in here if sae.name == _name(run, step) or (job.finished_at and _is_own(sae, run.name)))
        if (known := next(stays, None)) is None:
            new, artefact = await _written(store, job, found, run, lm)
            known = await store.saes.add(replace(new, name=_name(run, step), details={}), artefact)
        kept.append(known)
    return kept


def _is_own(sae: SaeRecord, run: str) -> bool:
    return sae.details.get(RUN, sae.name) == run


async def _written(
    store: Store, job: JobRecord, found: Checkpointed, run: "SAERun", lm: "LanguageModel"
) -> tuple[NewSae, Artefact]:
    request, (state, cards) = TrainingRequest.model_validate(job.request), found
    card = cards.get(run.name)

    def written() -> str:
        from loupe.engine.sae.trainer import checkpointed_sae

        sae = checkpointed_sae(state, run.name)
        with store.artefacts.write("sae", run.name, {"training": job.name, "step": state.step}) as draft:
            write_sae(draft.folder, lm, request, state.plan, run, sae, card)
        return draft.id

    artefact = await asyncio.to_thread(store.artefacts.open, await asyncio.to_thread(written))
    new = new_sae(run, request, lm, job_id=job.id, author=job.author, step=state.step, card=card)
    return new, artefact


def _name(run: "SAERun", step: int) -> str:
    return f"{run.name}, step {step}"


def new_sae(
    run: "SAERun", request: TrainingRequest, lm: "LanguageModel", *, job_id: str, author: str, step: int, card: Any
) -> NewSae:
    """The record of a trained SAE."""
    config = run.sae
    return NewSae(
        name=run.name,
        architecture=str(config.architecture),
        hook_points=tuple(str(point) for point in run.reads),
        hook_point_out=str(run.writes[0]) if config.is_transcoder else None,
        model=request.model,
        model_fingerprint=lm.fingerprint,
        d_in=config.d_in,
        d_sae=config.d_sae,
        k=config.k,
        source="trained",
        source_format="saelens",
        author=author,
        card=card,
        job_id=job_id,
        tokenisation_id=request.tokenisation,
        step=step,
        details={RUN: run.name},
    )


# In a thread or on the device: what needs the engine.


def read_state(folder: Path) -> "TrainingState":
    """A checkpoint's state. Raises CorruptFile."""
    from loupe.engine.sae.checkpoint import read_checkpoint

    return read_checkpoint(folder)


def write_sae(
    folder: Path,
    lm: "LanguageModel",
    request: TrainingRequest,
    plan: "TrainingPlan",
    run: "SAERun",
    sae: "SAE",
    card: dict[str, Any] | None,
) -> None:
    """Fill a folder with an SAE in the SAELens format. Raises BadOption."""
    from loupe.engine.sae.formats import facts_of, write_saelens

    out = run.writes[0] if run.sae.is_transcoder else None
    facts = facts_of(lm, request.model)
    write_saelens(folder, sae, run.reads, facts, hook_point_out=out, card=card, training=plan.training.to_dict())


def checkpoint_json(record: CheckpointRecord) -> dict[str, Any]:
    """For programs."""
    return asdict(record) | {"created_at": record.created_at.isoformat()}
