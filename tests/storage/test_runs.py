"""Runs: kept whole, found again, and ended once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loupe.storage.errors import NotFound
from loupe.storage.records import search_terms
from loupe.storage.repos.runs import NewRun, Runs
from loupe.storage.rows import WorkState
from tests.storage.samples import saved

WHOLE = NewRun(
    kind="analysis",
    name="The fox",
    text="Once the fox 🦊 lost its lantern.",
    request={"best_of": 4, "temperature": 0.7, "positions": [0, 3], "kl": True, "salience": "line", "layer": None},
    model="starter",
    layer=3,
    seed=2**62,
    device="cpu",
    dtype="fp32",
    token_ids=(1, 2, 50256),
    fingerprints={"model": "a" * 64, "verbalizer": "b" * 64, "reconstructor": "c" * 64, "verbalizer_sidecar": "d" * 64},
    versions={"loupe": "0.1.0", "torch": "2.13.0"},
    author="Ada",
)


async def test_a_run_keeps_everything_needed_to_repeat_it(store):
    created = await store.runs.create(WHOLE)
    found = await store.runs.get(created.id)
    assert found == created
    for name in ("kind", "name", "text", "request", "model", "layer", "seed", "device", "dtype", "token_ids", "author"):
        assert getattr(found, name) == getattr(WHOLE, name), name
    assert (found.fingerprints, found.versions) == (WHOLE.fingerprints, WHOLE.versions)
    assert (found.state, found.artefact_id, found.summary, found.finished_at) == (WorkState.QUEUED, None, None, None)
    assert found.created_at.tzinfo is UTC


async def test_what_is_only_known_later_is_filled_in_and_the_rest_left(store):
    run = await store.runs.create(NewRun(name="n", text="t", request={"a": 1}, device="cpu"))
    amended = await store.runs.amend(
        run.id, token_ids=[7], fingerprints={"model": "f"}, layer=0, versions={}, model="m"
    )
    assert (amended.token_ids, amended.fingerprints, amended.layer, amended.model) == ((7,), {"model": "f"}, 0, "m")
    assert (amended.request, amended.device) == ({"a": 1}, "cpu")
    assert (await store.runs.amend(run.id, request={"b": 2}, dtype="bf16", device="cuda")).request == {"b": 2}
    assert await store.runs.get(run.id) == await store.runs.amend(run.id)


async def test_a_run_goes_from_queued_to_running_to_done_with_its_artefact(store):
    run = await store.runs.create(WHOLE)
    artefact = saved(store.artefacts)
    await store.keep(artefact)
    assert (await store.runs.start(run.id)).state is WorkState.RUNNING
    done = await store.runs.finish(run.id, artefact_id=artefact.id, summary={"fve_nrm": 0.61})
    assert (done.state, done.artefact_id, done.summary) == (WorkState.DONE, artefact.id, {"fve_nrm": 0.61})
    assert done.created_at <= done.started_at <= done.finished_at


async def test_the_first_end_wins(store):
    cancelled = await store.runs.create(WHOLE)
    await store.runs.cancel(cancelled.id)
    assert (await store.runs.finish(cancelled.id, artefact_id=None)).state is WorkState.CANCELLED
    failed = await store.runs.create(WHOLE)
    await store.runs.fail(failed.id, code="out_of_device_memory", message="too large")
    assert (await store.runs.cancel(failed.id)).error_code == "out_of_device_memory"
    assert (await store.runs.start(failed.id)).state is WorkState.FAILED


async def test_an_unknown_run_is_not_found_by_any_verb(store):
    for attempt in (
        store.runs.get("x"),
        store.runs.start("x"),
        store.runs.cancel("x"),
        store.runs.delete("x"),
        store.runs.finish("x", artefact_id=None),
    ):
        with pytest.raises(NotFound, match="no run 'x'"):
            await attempt


async def test_pages_are_newest_first_and_say_whether_there_are_more(store):
    ids = [(await store.runs.create(NewRun(name=str(n), text="", request={}))).id for n in range(5)]
    first, last = await store.runs.list(limit=2), await store.runs.list(limit=2, page=3)
    assert [run.id for run in first.items] == ids[:2:-1]
    assert (first.total, first.has_next, [run.id for run in last.items], last.has_next) == (5, True, ids[:1], False)
    assert (await store.runs.list(page=9)).items == ()


async def test_a_clock_that_was_set_back_does_not_reorder_runs(store):
    moments = iter([datetime(2026, 6, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC)])
    runs = Runs(store.database, lambda: next(moments))
    first = await runs.create(WHOLE)
    second = await runs.create(WHOLE)
    assert second.created_at < first.created_at
    assert [run.id for run in (await runs.list()).items] == [second.id, first.id]


async def test_runs_are_filtered_and_sorted(store):
    for name in ("b", "a", "c"):
        run = await store.runs.create(
            NewRun(name=name, text="", request={}, kind="other" if name == "c" else "analysis")
        )
        if name == "a":
            await store.runs.cancel(run.id)
    names = lambda page: [run.name for run in page.items]  # noqa: E731 - read three times below
    assert names(await store.runs.list(sort_by="name", order="asc")) == ["a", "b", "c"]
    assert names(await store.runs.list(state="cancelled")) == ["a"]
    assert names(await store.runs.list(kind="other")) == ["c"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"page": 0},
        {"limit": 0},
        {"limit": 501},
        {"sort_by": "text; DROP TABLE run"},
        {"order": "up"},
        {"state": "asleep"},
    ],
    ids=str,
)
async def test_a_page_that_cannot_exist_is_refused(store, wrong):
    with pytest.raises(ValueError, match=r"got|asleep"):
        await store.runs.list(**wrong)


async def test_search_looks_in_name_text_and_model_as_one_types(store):
    fox = await store.runs.create(NewRun(name="one", text="The fox lost its lantern", request={}))
    bear = await store.runs.create(NewRun(name="bear talk", text="Once upon a time", request={}, model="starter"))

    async def found(search: str) -> list[str]:
        return [run.id for run in (await store.runs.list(search=search)).items]

    assert await found("lan") == [fox.id]
    assert await found("LANTERN fox") == [fox.id]
    assert await found("bear") == await found("starter") == [bear.id]
    assert await found("lan fox") == []
    assert await found("  ") == await found('"*()') == [bear.id, fox.id]


async def test_search_follows_changes_and_deletions(store):
    run = await store.runs.create(NewRun(name="n", text="t", request={}))
    await store.runs.amend(run.id, model="qwen")
    assert (await store.runs.list(search="qwen")).total == 1
    await store.runs.amend(run.id, model="llama")
    assert (await store.runs.list(search="qwen")).total == 0
    await store.runs.delete(run.id)
    assert (await store.runs.list(search="llama")).total == 0


HOSTILE = [
    "a-b AND (",
    '"',
    "NEAR(",
    "text:x",
    "*",
    "a*b",
    "-x",
    "^x",
    "{a b}",
    "' OR 1=1 --",
    "\x00a",
    "NOT",
    "狐",
    "é\u0301",
]


@pytest.mark.parametrize("search", HOSTILE)
async def test_signs_in_a_search_are_not_operators(store, search):
    run = await store.runs.create(NewRun(name="n", text=f"before {search} after", request={}))
    page = await store.runs.list(search=search)
    assert run.id in [each.id for each in page.items]


@given(st.text(max_size=40))
def test_a_search_is_quoted_words_or_nothing(text):
    terms = search_terms(text)
    assert terms == "" or (terms.startswith('"') and terms.endswith('"*'))
    assert "\x00" not in terms


async def test_a_deleted_run_takes_its_jobs_and_its_artefact_with_it(store):
    run = await store.runs.create(WHOLE)
    artefact = saved(store.artefacts)
    await store.keep(artefact)
    await store.runs.finish(run.id, artefact_id=artefact.id)
    repeat = await store.runs.create(NewRun(name="again", text="", request={}, repeat_of=run.id))
    from loupe.storage.repos.jobs import NewJob

    job = await store.jobs.create(NewJob(kind="analysis", name="n", request={}, run_id=run.id))
    checkpoint = saved(store.artefacts, kind="checkpoint")
    await store.keep(checkpoint)
    await store.jobs.checkpoint(job.id, checkpoint.id)
    await store.delete_run(run.id)
    assert store.artefacts.ids() == await store.artefact_records.ids() == set()
    assert (await store.runs.get(repeat.id)).repeat_of is None
    with pytest.raises(NotFound):
        await store.jobs.get(job.id)


async def test_an_artefact_that_two_runs_share_stays_until_the_last_is_deleted(store):
    artefact = saved(store.artefacts)
    await store.keep(artefact)
    runs = [await store.runs.create(WHOLE) for _ in range(2)]
    for run in runs:
        await store.runs.finish(run.id, artefact_id=artefact.id)
    await store.delete_run(runs[0].id)
    assert store.artefacts.open(artefact.id)
    await store.delete_run(runs[1].id)
    assert store.artefacts.ids() == set()


async def test_deleting_a_run_whose_folder_is_gone_already_still_deletes_the_run(store):
    artefact = saved(store.artefacts)
    await store.keep(artefact)
    run = await store.runs.create(WHOLE)
    await store.runs.finish(run.id, artefact_id=artefact.id)
    store.artefacts.delete(artefact.id)
    await store.delete_run(run.id)
    assert (await store.runs.list()).total == 0


async def test_only_running_runs_are_swept(store):
    queued, running, done = [await store.runs.create(WHOLE) for _ in range(3)]
    await store.runs.start(running.id)
    await store.runs.finish(done.id, artefact_id=None)
    assert await store.runs.sweep() == (running.id,)
    states = [(await store.runs.get(run.id)).state for run in (queued, running, done)]
    assert states == [WorkState.QUEUED, WorkState.INTERRUPTED, WorkState.DONE]
    assert (await store.runs.start(running.id)).state is WorkState.RUNNING


async def test_moments_come_from_the_clock_that_was_passed_in(store):
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    ticks = iter(moment + timedelta(seconds=second) for second in range(3))
    runs = Runs(store.database, lambda: next(ticks))
    run = await runs.create(WHOLE)
    await runs.start(run.id)
    done = await runs.finish(run.id, artefact_id=None)
    assert (done.finished_at - done.started_at, done.created_at) == (timedelta(seconds=1), moment)
