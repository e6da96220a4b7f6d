"""Kept runs over REST: found, renamed, deleted with a way back, exported, imported, compared, repeated."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from loupe.app.services.exports import Format
from loupe.app.services.runs import summary_of
from loupe.app.workspace import Workspace
from loupe.storage.repos.runs import NewRun, RunRecord
from tests.app.conftest import analysed
from tests.app.hostile import HOSTILE
from tests.app.sample import sample_run

RUNS = "/api/v1/runs"


async def kept(workspace: Workspace, name: str = "The lantern", **facts: Any) -> RunRecord:
    """A finished run with the written sample as its result."""
    new = NewRun(**{"name": name, "text": "Once upon a time", "request": {}, "model": "starter"} | facts)
    record = await workspace.runs.create(new)
    return await workspace.runs.keep(record.id, sample_run())


async def test_runs_are_filtered_sorted_and_counted(api: httpx.AsyncClient, workspace: Workspace) -> None:
    await kept(workspace, "b", author="Ada")
    await kept(workspace, "a", author="Bea", model="qwen")
    await workspace.runs.create(NewRun(name="waiting", text="", request={}))
    names = lambda answer: [row["name"] for row in answer.json()["data"]]  # noqa: E731 - read three times below
    assert names(await api.get(RUNS, params={"sortBy": "name", "order": "asc"})) == ["a", "b", "waiting"]
    assert names(await api.get(RUNS, params={"author": "Ada"})) == ["b"]
    assert names(await api.get(RUNS, params={"state": "done", "model": "qwen"})) == ["a"]
    filters = (await api.get(f"{RUNS}/filters")).json()["data"]
    assert filters["author"] == {"": 1, "Ada": 1, "Bea": 1} and filters["state"] == {"done": 2, "queued": 1}


async def test_a_deleted_run_is_out_of_sight_until_it_is_restored(api: httpx.AsyncClient, workspace: Workspace) -> None:
    record = await kept(workspace)
    gone = (await api.delete(f"{RUNS}/{record.id}")).json()["data"]
    assert gone["state"] == "in_bin" and datetime.fromisoformat(gone["gone_at"]) > datetime.now(UTC) + timedelta(days=6)
    assert (await api.get(RUNS)).json()["data"] == []
    for path in ("result", "export"):
        refused = await api.get(f"{RUNS}/{record.id}/{path}")
        assert refused.status_code == 404 and "Restore" in refused.json()["error"]["message"]
    assert (await api.post(f"{RUNS}/{record.id}/repeat")).status_code == 409
    binned = (await api.get(RUNS, params={"deleted": True})).json()["data"]
    assert [row["id"] for row in binned] == [record.id] and "deleted_at" in binned[0]
    assert (await api.post(f"{RUNS}/{record.id}/restore")).status_code == 200
    assert (await api.get(f"{RUNS}/{record.id}/result")).json() == sample_run()


async def test_the_bin_is_swept_after_the_days_of_the_setting(workspace: Workspace) -> None:
    early, late = await kept(workspace), await kept(workspace)
    await workspace.runs.delete(early.id)
    await workspace.runs.delete(late.id)
    assert await workspace.runs.sweep(datetime.now(UTC) + timedelta(days=6.9)) == 0
    assert await workspace.runs.sweep(datetime.now(UTC) + timedelta(days=7.1)) == 2
    assert workspace.store.artefacts.ids() == set()


async def test_what_depends_on_a_run_is_shown_before_it_goes(api: httpx.AsyncClient, workspace: Workspace) -> None:
    record = await kept(workspace)
    await kept(workspace, "again", repeat_of=record.id)
    found = (await api.get(f"{RUNS}/{record.id}/dependants")).json()["data"]
    assert found == [{"kind": "run", "goes_too": False, "count": 1, "names": ["again"]}]
    assert (await api.delete(f"{RUNS}/{record.id}", params={"forever": True})).json()["data"]["state"] == "deleted"
    assert (await api.get(f"{RUNS}/{record.id}/dependants")).status_code == 404


@pytest.mark.parametrize("format", [each for each in Format if each is not Format.HTML])
async def test_an_exported_run_can_be_imported_and_says_where_it_came_from(
    api: httpx.AsyncClient, workspace: Workspace, format: Format
) -> None:
    facts = {"author": "Ada", "seed": 5, "layer": 3, "token_ids": (1, 2), "fingerprints": {"model": "f"}}
    record = await kept(workspace, **facts, versions={"loupe": "1"}, request={"text": "Once upon a time"})
    file = await api.get(f"{RUNS}/{record.id}/export", params={"format": format.value})
    assert file.headers["content-disposition"].startswith('attachment; filename="loupe-the-lantern-')
    assert file.headers["content-security-policy"].startswith("sandbox")
    taken = await api.post(f"{RUNS}/import", params={"file": "C:\\mine\\run.dat"}, content=file.content)
    assert taken.status_code == 201, taken.text
    new = await workspace.runs.get(taken.json()["data"]["ids"][0])
    same = ("name", "text", "request", "model", "layer", "seed", "token_ids", "fingerprints", "versions", "summary")
    assert {n: getattr(new, n) for n in same} == {n: getattr(record, n) for n in same}
    assert (await api.get(f"{RUNS}/{new.id}/result")).json() == sample_run()
    assert new.author == "" and new.origin is not None
    told = {name: new.origin[name] for name in ("file", "author", "run")}
    assert told == {"file": "run.dat", "author": "Ada", "run": record.id}


async def test_a_file_with_one_wrong_line_leaves_nothing_behind(api: httpx.AsyncClient, workspace: Workspace) -> None:
    good = (await api.get(f"{RUNS}/{(await kept(workspace)).id}/export", params={"format": "jsonl"})).content
    before = workspace.store.artefacts.ids()
    refused = await api.post(f"{RUNS}/import", content=good + good + b'{"position": "x"}\n')
    error = refused.json()["error"]
    assert refused.status_code == 422 and error["code"] == "import_refused"
    assert error["details"]["lines"][0]["line"] == len((good + good).splitlines()) + 1
    assert (await api.get(RUNS)).json()["pagination"]["total"] == 1
    assert workspace.store.artefacts.ids() == before


async def test_when_the_records_cannot_be_written_the_bytes_go_too(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(made: object) -> None:
        raise OSError("the disk is gone")

    from orjson import dumps

    monkeypatch.setattr(workspace.store.runs, "add", fail)
    with pytest.raises(OSError, match="gone"):
        await workspace.runs.take_in(dumps(sample_run()), "a.json")
    assert workspace.store.artefacts.ids() == set()


async def test_a_run_is_compared_with_a_sample(api: httpx.AsyncClient, workspace: Workspace) -> None:
    record = await kept(workspace)
    b = "sample:01-the-lost-lantern"
    found = (await api.get(f"{RUNS}/compare", params={"a": record.id, "b": b})).json()["data"]
    assert (found["verdict"], found["counts"]) == ("equal", {"equal": 13})
    changed = (await api.get(f"{RUNS}/compare", params={"a": record.id, "b": b, "changed": True})).json()["data"]
    assert changed["places"] == []
    assert (await api.get(f"{RUNS}/compare", params={"a": "nobody", "b": b})).status_code == 404


async def test_a_repetition_is_equal_but_for_rounding(api: httpx.AsyncClient, workspace: Workspace) -> None:
    id, _ = await analysed(api, workspace, best_of=2, temperature=1.0, seed=3, name="first")
    fresh = (await api.post(f"{RUNS}/{id}/repeat")).json()["data"]["id"]
    await workspace.analyses.wait(fresh)
    found = (await api.get(f"{RUNS}/compare", params={"a": id, "b": fresh})).json()["data"]
    assert found["verdict"] in ("equal", "rounding", "ties") and found["is_repeat"] and found["setup"] == []


async def test_a_run_that_came_without_options_says_so_when_it_is_to_be_repeated(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    record = await kept(workspace)
    refused = await api.post(f"{RUNS}/{record.id}/repeat")
    assert refused.status_code == 409 and "without the options" in refused.json()["error"]["message"]


@pytest.mark.parametrize("name", ["", " \n ", "x" * 201])
async def test_a_name_that_is_none_is_refused(api: httpx.AsyncClient, workspace: Workspace, name: str) -> None:
    record = await kept(workspace)
    assert (await api.patch(f"{RUNS}/{record.id}", json={"name": name})).status_code == 400
    assert (await workspace.runs.get(record.id)).name == "The lantern"


async def test_hostile_names_and_texts_travel_unchanged_and_do_nothing(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    for bad in [each for each in HOSTILE if each.strip()][::4]:
        record = await kept(workspace, bad, text=bad, author=bad, model=bad)
        file = await api.get(f"{RUNS}/{record.id}/export", params={"format": "csv"})
        taken = await api.post(f"{RUNS}/import", params={"file": bad[:200]}, content=file.content)
        new = await workspace.runs.get(taken.json()["data"]["ids"][0])
        assert (new.name, new.text, new.model, new.origin and new.origin["author"]) == (bad, bad, bad, bad)
        assert "\r" not in file.headers["content-disposition"] and "/" not in file.headers["content-disposition"]
        assert (await api.get(RUNS, params={"search": bad[:200]})).status_code == 200
    assert summary_of(sample_run())["positions"] == 13
