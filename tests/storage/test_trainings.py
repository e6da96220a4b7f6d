"""Curves without gaps or doubles, checkpoints that are pruned unless kept."""

from pathlib import Path

import pytest

from loupe.storage.errors import NotFound
from loupe.storage.repos.jobs import NewJob
from loupe.storage.repos.trainings import Point
from loupe.storage.store import Store, open_store
from tests.storage.samples import saved


async def training(store: Store) -> str:
    return (await store.jobs.create(NewJob(kind="training", name="t", request={}))).id


async def test_a_step_that_is_done_again_replaces_its_point(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        id = await training(store)
        await store.trainings.add_points(id, [Point("a", "measures", step, {"loss": step}) for step in (50, 100, 150)])
        await store.trainings.rewind(id, 100)
        await store.trainings.add_points(id, [Point("a", "measures", step, {"loss": -step}) for step in (100, 150)])
        found = await store.trainings.points(id)
        assert [(p.step, p.measured["loss"]) for p in found] == [(50, 50), (100, -100), (150, -150)]
        assert [p.step for p in await store.trainings.points(id, after=100)] == [150]
        assert await store.trainings.points(id, kind="evaluation") == ()


async def test_the_newest_point_of_every_sae_is_found_for_many_trainings(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        first, second = await training(store), await training(store)
        for id in (first, second):
            points = [Point(sae, "measures", step, {"at": step}) for step in (1, 2) for sae in "ab"]
            await store.trainings.add_points(id, points)
        found = await store.trainings.last_points([first, second])
        assert {id: [(p.sae, p.step) for p in points] for id, points in found.items()} == {
            first: [("a", 2), ("b", 2)],
            second: [("a", 2), ("b", 2)],
        }


async def test_old_checkpoints_are_pruned_unless_they_are_kept(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        id = await training(store)
        made = [await store.trainings.add_checkpoint(id, step, saved(store.artefacts)) for step in (1, 2, 3, 4)]
        await store.trainings.mark(made[0].id, kept=True)
        gone = await store.trainings.prune(id, newest=2)
        assert gone == (made[1].artefact_id,)
        assert [each.step for each in await store.trainings.checkpoints(id)] == [4, 3, 1]
        with pytest.raises(NotFound):
            await store.trainings.checkpoint(made[1].id)
