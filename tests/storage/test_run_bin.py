"""The bin, names, filters, dependants, and runs that were made elsewhere."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from loupe.storage.errors import NotFound
from loupe.storage.repos.jobs import NewJob
from loupe.storage.repos.runs import MadeRun, NewRun, Runs
from loupe.storage.rows import WorkState
from tests.storage.samples import saved

FOX = NewRun(name="fox", text="The fox lost its lantern.", request={"seed": 1}, model="starter", author="Ada")


def made(store, **changes) -> MadeRun:
    return MadeRun(
        new=replace(FOX, **changes), artefact=saved(store.artefacts), summary={"positions": 3}, origin={"format": "csv"}
    )


async def test_a_run_in_the_bin_is_listed_there_only_until_it_is_restored(store):
    kept, gone = [await store.runs.create(FOX) for _ in range(2)]
    binned = await store.runs.put_in_bin(gone.id, by="Bea")
    assert (binned.deleted_by, binned.deleted_at.tzinfo) == ("Bea", UTC)
    assert [run.id for run in (await store.runs.list()).items] == [kept.id]
    assert [run.id for run in (await store.runs.list(deleted=True)).items] == [gone.id]
    assert (await store.runs.list(search="lantern")).total == 1
    assert await store.runs.restore(gone.id) == gone
    assert (await store.runs.list()).total == 2


async def test_the_bin_is_swept_by_the_moment_things_went_in(store):
    moments = iter(datetime(2026, 3, day, tzinfo=UTC) for day in (1, 1, 2, 9))
    runs = Runs(store.database, lambda: next(moments))
    first, second = await runs.create(FOX), await runs.create(FOX)
    await runs.put_in_bin(first.id)
    await runs.put_in_bin(second.id)
    assert await runs.in_bin_since(datetime(2026, 3, 9, tzinfo=UTC)) == (first.id,)
    assert await runs.in_bin_since(datetime(2026, 3, 9, tzinfo=UTC) + timedelta(seconds=1)) == (first.id, second.id)


async def test_a_finished_run_can_be_renamed_and_is_found_by_its_new_name(store):
    run = await store.runs.create(FOX)
    await store.runs.finish(run.id, artefact_id=None)
    assert (await store.runs.rename(run.id, "lighthouse")).name == "lighthouse"
    assert [each.id for each in (await store.runs.list(search="lighth")).items] == [run.id]
    assert (await store.runs.get(run.id)).state is WorkState.DONE


async def test_lists_are_filtered_by_model_and_author_and_say_what_to_choose_from(store):
    for model, author in (("starter", "Ada"), ("starter", "Bea"), ("qwen", "")):
        await store.runs.create(replace(FOX, model=model, author=author))
    gone = await store.runs.create(replace(FOX, model="gone"))
    await store.runs.put_in_bin(gone.id)
    assert (await store.runs.list(model="starter")).total == 2
    assert (await store.runs.list(model="starter", author="Bea")).total == 1
    assert (await store.runs.list(author="")).total == 1
    assert await store.runs.choices() == {
        "model": {"starter": 2, "qwen": 1},
        "author": {"Ada": 1, "Bea": 1, "": 1},
        "state": {"queued": 3},
    }


async def test_dependants_are_repetitions_and_jobs_but_not_what_is_in_the_bin(store):
    run = await store.runs.create(FOX)
    assert await store.runs.dependants(run.id) == ()
    await store.runs.create(replace(FOX, name="again", repeat_of=run.id))
    binned = await store.runs.create(replace(FOX, name="binned", repeat_of=run.id))
    await store.runs.put_in_bin(binned.id)
    await store.jobs.create(NewJob(kind="analysis", name="the work", request={}, run_id=run.id))
    found = {each.kind: (each.count, each.names, each.goes_too) for each in await store.runs.dependants(run.id)}
    assert found == {"run": (1, ("again",), False), "job": (1, ("the work",), True)}


async def test_runs_made_elsewhere_are_kept_together_with_their_artefacts(store):
    entries = [made(store, name="one"), made(store, name="two")]
    one, two = await store.runs.add(entries)
    assert (one.state, one.origin, one.summary, one.author) == (
        WorkState.DONE,
        {"format": "csv"},
        {"positions": 3},
        "Ada",
    )
    assert await store.artefact_records.ids() == {one.artefact_id, two.artefact_id} == store.artefacts.ids()
    assert await store.runs.get(one.id) == one


async def test_when_one_of_them_cannot_be_kept_none_is(store):
    good = made(store)
    with pytest.raises(Exception, match="UNIQUE"):
        await store.runs.add([good, replace(good, new=FOX)])
    assert (await store.runs.list()).total == 0
    assert await store.artefact_records.ids() == set()


@pytest.mark.parametrize("verb", ["rename", "put_in_bin", "restore", "dependants"])
async def test_an_unknown_run_is_not_found(store, verb):
    with pytest.raises(NotFound, match="no run 'x'"):
        await getattr(store.runs, verb)("x", *(["name"] if verb == "rename" else []))
