"""SAEs kept: imported with what was assumed, exported so that they come back equal, judged, deleted with a way back."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import torch

import loupe
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.config import SAEConfig
from loupe.engine.sae.formats import ModelFacts, read_sae, write_saelens
from loupe.engine.sae.sae import SAE
from tests.app.test_trainings import token_rows


@pytest.fixture
def folder(tmp_path: Path, workspace: Workspace) -> Path:
    d_model = workspace.catalogue.get("starter").d_model
    assert d_model
    torch.manual_seed(0)
    sae = SAE(SAEConfig.from_dict({"architecture": "topk", "d_in": d_model, "d_sae": 12, "k": 3}))
    for parameter in sae.parameters():
        torch.nn.init.normal_(parameter)
    place = tmp_path / "mine"
    place.mkdir()
    write_saelens(place, sae, HookPoint(1), ModelFacts("starter"))
    return place


async def test_an_import_is_listed_judged_and_exported_equal(
    api: httpx.AsyncClient, workspace: Workspace, folder: Path, tmp_path: Path
) -> None:
    made = await api.post("/api/v1/saes/import", json={"path": str(folder)})
    assert made.status_code == 201, made.text
    id = made.json()["data"]["id"]
    listed = (await api.get("/api/v1/saes", params={"source": "imported"})).json()["data"]
    assert [(each["id"], each["d_sae"], each["source_format"]) for each in listed] == [(id, 12, "loupe")]
    answer = await api.get(f"/api/v1/saes/{id}/export")
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(tmp_path / "out")
    before, after = read_sae(folder).sae, read_sae(tmp_path / "out/mine").sae
    assert all(torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items())
    rows = await token_rows(api, workspace)
    begun = (await api.post(f"/api/v1/saes/{id}/evaluate", json={"tokenisation": rows, "rows": 4})).json()["data"]
    assert (await workspace.jobs.wait(begun["job_id"])).state == "done"
    card = (await api.get(f"/api/v1/saes/{id}")).json()["data"]["card"]
    assert card["l0"] == 3 and card["tokens"] > 0


async def test_a_folder_that_is_no_sae_leaves_nothing(api: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"\x80\x04.")
    for path, code in ((tmp_path / "weights.pt", "unsafe_file"), (tmp_path / "nowhere", "unknown_format")):
        answer = await api.post("/api/v1/saes/import", json={"path": str(path)})
        assert answer.json()["error"]["code"] == code, answer.text
    assert (await api.get("/api/v1/saes", params={"source": "imported"})).json()["data"] == []


async def test_paths_are_for_the_operator_alone(far_api: httpx.AsyncClient, folder: Path) -> None:
    assert (await far_api.post("/api/v1/saes/import", json={"path": str(folder)})).status_code == 403


async def test_a_deleted_sae_comes_back(api: httpx.AsyncClient, folder: Path) -> None:
    id = (await api.post("/api/v1/saes/import", json={"path": str(folder)})).json()["data"]["id"]
    await api.delete(f"/api/v1/saes/{id}")
    assert (await api.get("/api/v1/saes", params={"source": "imported"})).json()["data"] == []
    await api.post(f"/api/v1/saes/{id}/restore")
    assert len((await api.get("/api/v1/saes", params={"source": "imported"})).json()["data"]) == 1


async def test_what_ships_is_listed_from_its_settings_as_its_files_say(
    make_settings: Callable[..., Settings],
) -> None:
    starter = Path(loupe.__file__).parent.parent / "assets/starter"
    async with open_workspace(make_settings(starter_dir=starter)) as workspace:
        listed = (await workspace.saes.rows.list()).items
    assert len(listed) == 7
    for record in listed:
        loaded = read_sae(Path(record.path))
        config = loaded.sae.config
        assert (record.architecture, record.d_in, record.d_sae, record.k) == (
            config.architecture,
            config.d_in,
            config.d_sae,
            config.k,
        )
        assert record.hook_points == tuple(str(point) for point in loaded.hook_points)
        assert record.hook_point_out == (str(loaded.hook_point_out) if loaded.hook_point_out else None)
        assert record.source_format == loaded.source_format and record.card and record.size > 100_000
