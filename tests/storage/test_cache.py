"""The same question about the same bytes is answered once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loupe.storage.cache import content_key
from loupe.storage.errors import NotFound
from loupe.storage.repos.runs import NewRun
from tests.storage.samples import saved

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(min_size=1), plain, max_size=5))
def test_a_key_depends_on_what_is_asked_not_on_its_order(parts):
    assert content_key(**parts) == content_key(**dict(reversed(parts.items())))
    assert content_key(**{**parts, "one more": 1}) != content_key(**parts) or "one more" in parts


def test_different_questions_have_different_keys():
    keys = {
        content_key(seed=1),
        content_key(seed="1"),
        content_key(seed=1.5),
        content_key(seeds=1),
        content_key(seed=[1]),
    }
    assert len(keys) == 5


@pytest.mark.parametrize("part", [float("nan"), object(), {1, 2}], ids=["nan", "object", "set"])
def test_what_has_no_one_text_is_refused(part):
    with pytest.raises((ValueError, TypeError)):
        content_key(part=part)


async def entry(store, key: str, size: int = 1):
    artefact = saved(store.artefacts, data=b"x" * size)
    await store.keep(artefact)
    await store.cache.put(key, artefact.id)
    return artefact


async def test_an_answer_is_found_again_and_an_unknown_question_has_none(store):
    artefact = await entry(store, "k")
    assert (await store.cache.find("k")).manifest == artefact.manifest
    assert await store.cache.find("other") is None


async def test_a_later_answer_replaces_an_earlier_one(store):
    await entry(store, "k")
    later = await entry(store, "k")
    assert (await store.cache.find("k")).id == later.id


async def test_a_damaged_answer_is_no_answer_and_is_asked_again(store, caplog):
    artefact = await entry(store, "k")
    artefact.path("result.json").write_bytes(b"tampered")
    assert await store.cache.find("k") is None
    assert "does not match its manifest" in caplog.text
    better = await entry(store, "k")
    assert (await store.cache.find("k")).id == better.id


async def test_an_answer_whose_folder_is_gone_is_no_answer(store):
    artefact = await entry(store, "k")
    store.artefacts.delete(artefact.id)
    assert await store.cache.find("k") is None
    assert await store.cache.find("k") is None


async def test_the_least_recently_used_answers_go_first(store):
    for key in "abc":
        await entry(store, key, size=1000)
    await store.cache.find("a")
    one = (await store.artefact_records.size_by_kind())["run"] // 3
    assert await store.cache.prune(one * 2) == 1
    assert [key for key in "abc" if await store.cache.find(key)] == ["a", "c"]
    assert len(store.artefacts.ids()) == 2
    assert await store.cache.prune(0) == 2
    assert await store.cache.prune(0) == 0
    assert store.artefacts.ids() == set()


async def test_pruning_never_takes_the_result_of_a_run(store):
    artefact = await entry(store, "k")
    run = await store.runs.create(NewRun(name="n", text="t", request={}))
    await store.runs.finish(run.id, artefact_id=artefact.id)
    assert await store.cache.prune(0) == 1
    assert store.artefacts.open(artefact.id)


async def test_a_cached_answer_outlives_the_run_that_made_it(store):
    artefact = await entry(store, "k")
    run = await store.runs.create(NewRun(name="n", text="t", request={}))
    await store.runs.finish(run.id, artefact_id=artefact.id)
    await store.delete_run(run.id)
    assert (await store.cache.find("k")).id == artefact.id


async def test_an_artefact_that_nothing_refers_to_can_be_dropped(store):
    used, unused = await entry(store, "k"), saved(store.artefacts)
    await store.keep(unused)
    assert await store.artefact_records.drop_unused(used.id) is None
    assert await store.artefact_records.drop_unused(unused.id) == unused.id
    await store.remove(unused.id)
    with pytest.raises(NotFound):
        store.artefacts.open(unused.id)


async def test_disk_use_is_told_by_kind_the_largest_first(store):
    for kind, size in [("run", 10), ("checkpoint", 9000)]:
        await store.keep(saved(store.artefacts, kind=kind, data=b"x" * size))
    sizes = await store.artefact_records.size_by_kind()
    assert list(sizes.items()) == [("checkpoint", 9000 + 2560), ("run", 10 + 2560)]
