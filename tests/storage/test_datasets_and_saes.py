"""Records of datasets, tokenisations and SAEs: with their bytes or not at all, searchable, in a bin before they go."""

from datetime import timedelta

import pytest

from loupe.storage.errors import NotFound
from loupe.storage.repos.datasets import NewDataset, NewTokenisation
from loupe.storage.repos.jobs import NewJob
from loupe.storage.repos.saes import NewSae
from loupe.storage.store import open_store

STORIES = NewDataset(name="stories", source="file", documents=3, characters=40, fingerprint="f", author="Ada")


def tokens_of(dataset_id: str) -> NewTokenisation:
    return NewTokenisation(
        dataset_id=dataset_id, name="128", model="m", tokenizer_fingerprint="t", rows=2, tokens=9, fingerprint="x"
    )


def sae(**changes: object) -> NewSae:
    values = {
        "name": "layer 3",
        "architecture": "batchtopk",
        "hook_points": ("blocks.3.resid_post",),
        "model": "tiny",
        "model_fingerprint": "abc",
        "d_in": 8,
        "d_sae": 32,
        "k": 4,
        "source": "trained",
    }
    return NewSae(**values | changes)  # type: ignore[arg-type]


def finished(store, kind: str, name: str = "x"):
    with store.artefacts.write(kind, name) as draft:
        draft.write("data", b"123")
    return store.artefacts.open(draft.id)


async def test_a_dataset_goes_with_its_tokenisations_and_their_folders(data_dir):
    async with open_store(data_dir.path) as store:
        dataset = await store.datasets.add(STORIES, finished(store, "dataset"))
        tokens = await store.datasets.add_tokenisation(tokens_of(dataset.id), finished(store, "tokenisation"))
        assert [each.id for each in await store.datasets.tokenisations(dataset.id)] == [tokens.id]
        trained = await store.saes.add(sae(tokenisation_id=tokens.id), finished(store, "sae"))
        await store.datasets.delete(dataset.id)
        assert (await store.datasets.list()).total == 0 and (await store.datasets.list(deleted=True)).total == 1
        assert (await store.datasets.restore(dataset.id)).deleted_at is None
        await store.datasets.delete(dataset.id)
        for artefact in await store.datasets.purge(timedelta(seconds=-1)):
            await store.remove(artefact)
        assert await store.artefact_records.ids() == set(store.artefacts.ids()) == {trained.artefact_id}
        assert (await store.saes.get(trained.id)).tokenisation_id is None
        with pytest.raises(NotFound):
            await store.datasets.get(dataset.id)


async def test_a_tokenisation_of_a_dataset_that_is_gone_leaves_no_record(data_dir):
    async with open_store(data_dir.path) as store:
        artefact = finished(store, "tokenisation")
        with pytest.raises(NotFound):
            await store.datasets.add_tokenisation(tokens_of("nobody"), artefact)
        assert await store.artefact_records.ids() == set()


async def test_datasets_are_found_by_name_renamed_and_described(data_dir):
    async with open_store(data_dir.path) as store:
        first = await store.datasets.add(STORIES)
        await store.datasets.add(NewDataset(name="100%_chat", source="hub", documents=1, characters=1, fingerprint="g"))
        assert [each.name for each in (await store.datasets.list(search="%_")).items] == ["100%_chat"]
        changed = await store.datasets.describe(first.id, name="tales", statistics={"documents": 3})
        assert (changed.name, changed.statistics) == ("tales", {"documents": 3})
        assert (await store.datasets.list(page=2, limit=1)).items[0].id == first.id


async def test_saes_are_listed_by_model_kind_and_words(data_dir):
    async with open_store(data_dir.path) as store:
        small = await store.saes.add(sae(), finished(store, "sae"))
        large = await store.saes.add(sae(name="wide", d_sae=64, model_fingerprint="def", card={"l0": 3.5}))
        assert [each.id for each in (await store.saes.list(sort_by="d_sae")).items] == [large.id, small.id]
        assert [each.id for each in (await store.saes.list(model_fingerprint="abc")).items] == [small.id]
        assert (await store.saes.list(search="resid_post")).total == 2 and (
            await store.saes.list(search="wi")
        ).total == 1
        assert large.card == {"l0": 3.5} and small.hook_points == ("blocks.3.resid_post",) and small.size > 0
        changed = await store.saes.describe(small.id, card={"l0": 4.0}, details={"licence": "mit"})
        assert (changed.card, changed.details, changed.name) == ({"l0": 4.0}, {"licence": "mit"}, "layer 3")
        with pytest.raises(ValueError, match="sorted by one of"):
            await store.saes.list(sort_by="author; DROP TABLE sae")


async def test_a_shipped_sae_is_recorded_once_however_often_it_is_found(data_dir):
    async with open_store(data_dir.path) as store:
        first = await store.saes.add(sae(path="/starter/sae", source="starter"))
        again = await store.saes.add(sae(path="/starter/sae", source="starter", name="renamed"))
        assert again.id == first.id and (await store.saes.list()).total == 1


async def test_an_sae_outlives_its_job_and_leaves_through_the_bin(data_dir):
    async with open_store(data_dir.path) as store:
        job = await store.jobs.create(NewJob(kind="training", name="x", request={}))
        trained = await store.saes.add(sae(job_id=job.id, step=100), finished(store, "sae"))
        await store.saes.delete(trained.id)
        with pytest.raises(NotFound):
            await store.saes.delete(trained.id)
        assert (await store.saes.restore(trained.id)).deleted_at is None
        await store.saes.delete(trained.id)
        assert await store.saes.purge(timedelta(days=1)) == ()
        assert await store.saes.purge(timedelta(seconds=-1)) == (trained.artefact_id,)
