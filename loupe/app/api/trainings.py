"""Trainings of sparse autoencoders: ask, check, steer, watch, fork."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Author, Confirm, Here, Wanted
from loupe.app.api.datasets import Begun, begun
from loupe.app.api.envelope import Page, Reply, page_of
from loupe.app.api.levers import add_levers
from loupe.app.services.saes import sae_json
from loupe.app.services.trained_saes import checkpoint_json
from loupe.app.services.training_request import TrainingRequest
from loupe.engine.errors import BadOption

router = APIRouter(prefix="/trainings", tags=["trainings"])


class Fork(BaseModel):
    """What differs in a training that begins from a checkpoint."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=200, description="What the new training is called.")
    training: dict[str, Any] = Field(default={}, description="Options of the training that change from there on.")


class Keep(BaseModel):
    """Whether a checkpoint is never pruned."""

    model_config = ConfigDict(extra="forbid")

    kept: bool


@router.get("/options")
async def options(here: Here) -> Reply[dict[str, Any]]:
    """Everything that can be asked, with defaults, ranges and meanings."""
    return Reply(data=here.trainings.options())


@router.get("")
async def list_trainings(
    here: Here,
    wanted: Wanted,
    state: Annotated[str | None, Query(max_length=20, description="Only in this state.")] = None,
) -> Page[dict[str, Any]]:
    """Trainings with the newest point of their curves, the latest first."""
    try:
        rows, found = await here.trainings.list(state=state, **wanted.model_dump())
    except ValueError as error:
        raise BadOption(str(error)) from error
    return page_of(rows, page=found.page, limit=found.limit, total=found.total)


@router.post("", status_code=202)
async def start(asked: TrainingRequest, here: Here, author: Author) -> Reply[Begun]:
    """Begin a training."""
    return begun(await here.trainings.start(asked, author=author))


@router.post("/fit")
async def fit(asked: TrainingRequest, here: Here) -> Reply[dict[str, Any]]:
    """What it would take, measured by a few steps: memory, disk, time; nothing is kept."""
    return Reply(data=asdict(await here.trainings.fit(asked)))


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """State, what was asked, the newest points, and the SAEs it left."""
    return Reply(data=await here.trainings.get(id))


@router.get("/{id}/metrics")
async def metrics(
    id: str,
    here: Here,
    points: Annotated[int, Query(ge=10, le=100_000, description="Most points of a curve.")] = 1500,
    after: Annotated[int, Query(ge=-1, le=10_000_000, description="Only points after this step.")] = -1,
) -> Reply[dict[str, Any]]:
    """All curves with their full history, thinned so that every peak stays; held-out evaluations; densities."""
    return Reply(data=await here.trainings.curves(id, most=points, after=after))


@router.get("/{id}/strip")
async def strip(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Which features fire on the watched text now; empty when it does not run."""
    await here.trainings.get(id)
    return Reply(data=here.trainings.strip(id))


add_levers(router)


@router.post("/{id}/stop", status_code=202)
async def stop(id: str, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """End it after this step, and keep its SAEs as they are."""
    await here.trainings.stop(id, by=author)
    return Reply(data=await here.trainings.get(id))


@router.delete("/{id}")
async def delete(id: str, here: Here, author: Author, confirm: Confirm = False) -> Reply[dict[str, Any]]:
    """Forget one that has ended, with its curves and checkpoints, for good; its SAEs stay in the library."""
    await here.trainings.delete(id, by=author, confirm=confirm)
    return Reply(data={"id": id, "state": "deleted"})


@router.get("/{id}/checkpoints")
async def checkpoints(id: str, here: Here) -> Reply[list[dict[str, Any]]]:
    """Its checkpoints, the newest first."""
    return Reply(data=[checkpoint_json(each) for each in await here.trainings.checkpoints(id)])


@router.post("/{id}/checkpoints", status_code=202)
async def save_now(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Save a checkpoint at the end of this step; the library's entries of its SAEs follow it."""
    here.trainings.save_now(id)
    return Reply(data=await here.trainings.get(id))


@router.patch("/{id}/checkpoints/{checkpoint}")
async def keep(id: str, checkpoint: str, wanted: Keep, here: Here) -> Reply[dict[str, Any]]:
    """Keep a checkpoint for good, or leave it to pruning."""
    await here.trainings.get(id)
    return Reply(data=checkpoint_json(await here.trainings.keep_checkpoint(checkpoint, kept=wanted.kept)))


@router.delete("/{id}/checkpoints/{checkpoint}")
async def delete_checkpoint(id: str, checkpoint: str, here: Here) -> Reply[dict[str, Any]]:
    """Remove a checkpoint."""
    await here.trainings.get(id)
    await here.trainings.delete_checkpoint(checkpoint)
    return Reply(data={"id": checkpoint, "state": "deleted"})


@router.post("/{id}/checkpoints/{checkpoint}/fork", status_code=202)
async def fork(id: str, checkpoint: str, wanted: Fork, here: Here, author: Author) -> Reply[Begun]:
    """Begin another training from a checkpoint, with other options from there on."""
    await here.trainings.get(id)
    return begun(await here.trainings.fork(checkpoint, name=wanted.name, training=wanted.training, author=author))


@router.post("/{id}/checkpoints/{checkpoint}/load", status_code=201)
async def load(id: str, checkpoint: str, here: Here) -> Reply[dict[str, Any]]:
    """Put its SAEs into the library as they were at that step; asking again changes nothing."""
    await here.trainings.get(id)
    found = await here.trainings.load_checkpoint(checkpoint)
    return Reply(data={"checkpoint": checkpoint, "saes": [sae_json(each) for each in found]})
