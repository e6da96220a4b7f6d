"""SAEs that a training leaves: written as SAELens folders, and put into the library with where they come from.

At the end of a training, and of any checkpoint when somebody asks: then with the running threshold of that step, and
with the card of an evaluation where there was one at that very step.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.services.training_request import TrainingRequest
from loupe.storage.repos.jobs import JobRecord
from loupe.storage.repos.saes import NewSae, SaeRecord
from loupe.storage.repos.trainings import CheckpointRecord
from loupe.storage.store import Store

if TYPE_CHECKING:
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.sae.checkpoint import TrainingState
    from loupe.engine.sae.plan import SAERun, TrainingPlan
    from loupe.engine.sae.sae import SAE


async def load_checkpoint(
    store: Store, job: JobRecord, checkpoint: CheckpointRecord, lm: "LanguageModel"
) -> list[SaeRecord]:
    """Put the SAEs of a checkpoint into the library; those of that step that are there already stay the only ones.

    Raises NotFound, CorruptArtefact, CorruptFile.
    """
    folder = store.artefacts.open(checkpoint.artefact_id).folder
    state = await asyncio.to_thread(read_state, folder)
    here = {sae.name: sae for sae in (await store.saes.list(job_id=job.id, limit=200)).items if sae.step == state.step}
    judged = await store.trainings.points(job.id, kind="evaluation", after=state.step - 1)
    cards = {point.sae: dict(point.measured) for point in judged if point.step == state.step}
    found = []
    for run in state.plan.runs:
        known = here.get(run.name) or here.get(_name(run, state.step))
        found.append(known or await _load_one(store, job, state, run, lm, cards.get(run.name)))
    return found


async def _load_one(
    store: Store, job: JobRecord, state: "TrainingState", run: "SAERun", lm: "LanguageModel", card: dict | None
) -> SaeRecord:
    request = TrainingRequest.model_validate(job.request)

    def written() -> str:
        from loupe.engine.sae.trainer import checkpointed_sae

        sae = checkpointed_sae(state, run.name)
        with store.artefacts.write("sae", run.name, {"training": job.name, "step": state.step}) as draft:
            write_sae(draft.folder, lm, request, state.plan, run, sae, card)
        return draft.id

    artefact = await asyncio.to_thread(store.artefacts.open, await asyncio.to_thread(written))
    new = new_sae(run, request, lm, job_id=job.id, author=job.author, step=state.step, card=card)
    return await store.saes.add(replace(new, name=_name(run, state.step)), artefact)


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
