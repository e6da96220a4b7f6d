"""What cannot become a dataset, token rows or an SAE is refused with its reason, and leaves nothing half-registered."""

import errno
from pathlib import Path
from typing import Any

import httpx
import pytest

from loupe.app.workspace import Workspace
from loupe.engine.models.pieces import PiecewiseForward
from loupe.storage.artefacts import ArtefactStore
from loupe.storage.errors import StoreFull
from tests.app.test_trainings import SMALL, token_rows

TABLE = "title,body\nHills,The fox ran.\nMoon,The owl flew.\n"


async def failed(api: httpx.AsyncClient, workspace: Workspace, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The error of work that was accepted and could not be done."""
    answer = await api.post(path, json=body)
    assert answer.status_code == 202, answer.text
    record = await workspace.jobs.wait(answer.json()["data"]["job_id"])
    assert record.state == "failed"
    return (await api.get(f"/api/v1/jobs/{record.id}")).json()["data"]["error"]


def artefacts(workspace: Workspace) -> set[str]:
    return {each.name for each in (workspace.settings.home / "artefacts").iterdir() if not each.name.startswith(".")}


def drafts(workspace: Workspace) -> list[Path]:
    return list((workspace.settings.home / "artefacts/.partial").glob("*"))


async def test_a_column_that_does_not_exist_is_named_with_those_that_do(
    api: httpx.AsyncClient, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    asked = {"name": "wrong", "path": str(tmp_path / "table.csv"), "column": "text"}
    error = await failed(api, workspace, "/api/v1/datasets", asked)
    assert "body" in error["message"] and "text" in error["message"]
    assert (await api.get("/api/v1/datasets", params={"search": "wrong"})).json()["data"] == []
    assert artefacts(workspace) == set() and drafts(workspace) == []


@pytest.mark.parametrize("text", ["", "   \n\n  "])
async def test_an_empty_text_is_no_dataset(api: httpx.AsyncClient, workspace: Workspace, text: str) -> None:
    answer = await api.post("/api/v1/datasets", json={"name": "empty", "text": text})
    if answer.status_code == 202:
        await workspace.jobs.wait(answer.json()["data"]["job_id"])
        assert (await api.get(f"/api/v1/jobs/{answer.json()['data']['job_id']}")).json()["data"]["state"] == "failed"
    assert (await api.get("/api/v1/datasets", params={"search": "empty"})).json()["data"] == []
    assert artefacts(workspace) == set() and drafts(workspace) == []


async def test_texts_of_one_token_become_no_rows(api: httpx.AsyncClient, workspace: Workspace) -> None:
    made = await api.post("/api/v1/datasets", json={"name": "tiny", "text": "a"})
    await workspace.jobs.wait(made.json()["data"]["job_id"])
    (dataset,) = (await api.get("/api/v1/datasets", params={"search": "tiny"})).json()["data"]
    before = artefacts(workspace)
    path = f"/api/v1/datasets/{dataset['id']}/tokenisations"
    error = await failed(api, workspace, path, {"mode": "window", "bos": "none", "min_tokens": 1})
    assert "no row has two tokens" in error["message"]
    assert (await api.get(path)).json()["data"] == [] and artefacts(workspace) == before


async def test_activations_that_are_not_numbers_end_a_training_and_leave_no_sae(
    api: httpx.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = await token_rows(api, workspace)
    whole = PiecewiseForward.steps

    def broken(self: PiecewiseForward, ids: Any) -> Any:
        found = yield from whole(self, ids)
        return {point: each * float("nan") for point, each in found.items()}

    monkeypatch.setattr(PiecewiseForward, "steps", broken)
    before = artefacts(workspace)
    error = await failed(api, workspace, "/api/v1/trainings", {"tokenisation": rows, **SMALL})
    assert error["code"] == "bad_input" and error["details"]["sentence"]
    assert "finite" in error["message"] or "NaN" in error["message"]
    assert (await workspace.store.saes.list()).total == 0 and artefacts(workspace) == before


async def test_a_full_disk_ends_a_training_with_what_was_saved_before(
    api: httpx.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = await token_rows(api, workspace)
    whole = ArtefactStore.write

    def full(self: ArtefactStore, kind: str, name: str, *args: Any) -> Any:
        if name.endswith("at step 8"):
            raise StoreFull("No space left on the disk.") from OSError(errno.ENOSPC, "No space left on device")
        return whole(self, kind, name, *args)

    monkeypatch.setattr(ArtefactStore, "write", full)
    error = await failed(api, workspace, "/api/v1/trainings", {"tokenisation": rows, **SMALL})
    assert error["code"] == "store_full"
    (job,) = (await api.get("/api/v1/trainings")).json()["data"]
    saved = (await api.get(f"/api/v1/trainings/{job['id']}/checkpoints")).json()["data"]
    assert [each["step"] for each in saved] == [4] and "retry" in job["actions"]
    assert [sae.step for sae in (await workspace.store.saes.list()).items] == [4] and drafts(workspace) == []
