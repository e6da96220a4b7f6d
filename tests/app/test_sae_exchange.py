"""SAEs and datasets from a hub on localhost over the API, an SAE sent to it, and bins that empty themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import torch

from loupe.app.api.application import build_api
from loupe.app.services.groups import Pair
from loupe.app.services.options import AnalysisOptions
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.config import SAEConfig
from loupe.engine.sae.formats import ModelFacts, write_saelens
from loupe.engine.sae.sae import SAE
from tests.app.fake_data_hub import COMMIT, FakeDataHub, serving_data

STORIES = b'{"story": "The fox ran."}\n{"story": "The owl saw it."}\n'


def sae_files(folder: Path, d_in: int) -> dict[str, bytes]:
    folder.mkdir()
    write_saelens(folder, SAE(SAEConfig.from_dict({"architecture": "topk", "d_in": d_in, "d_sae": 16, "k": 2})),
                  HookPoint(1), ModelFacts("lab/tiny"))  # fmt: skip
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def client(workspace: Workspace) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(build_api(workspace), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://loupe/api/v1")


async def finished(api: httpx.AsyncClient, workspace: Workspace, path: str, body: dict[str, Any]) -> Any:
    answer = await api.post(path, json=body)
    assert answer.status_code == 202, answer.text
    return await workspace.jobs.wait(answer.json()["data"]["job_id"])


async def test_an_sae_of_the_hub_is_pinned_fetched_and_sent_back(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    files = {f"a/{name}": data for name, data in sae_files(tmp_path / "fits", 48).items()}
    files |= {f"b/{name}": data for name, data in sae_files(tmp_path / "wide", 50).items()}
    with serving_data(FakeDataHub({COMMIT: files}, token="may-write")) as hub:
        settings = make_settings(hub_url=hub.url, hub_token="may-write", downloads_per_hour=2)
        async with open_workspace(settings) as workspace, client(workspace) as api:
            seen = (await api.post("/saes/preview", json={"repo": "lab/tiny"})).json()["data"]
            assert [each["path"] for each in seen["saes"]] == ["a", "b"] and seen["commit"] == COMMIT
            missing = await api.post("/saes/download", json={"repo": "lab/tiny", "path": "c"})
            assert (missing.status_code, missing.json()["error"]["code"]) == (422, "hub_refused"), missing.text
            job = await finished(
                api, workspace, "/saes/download", {"repo": "lab/tiny", "path": "a", "revision": COMMIT}
            )
            assert job.state == "done", job.error_message
            (sae,) = (await api.get("/saes", params={"source": "imported"})).json()["data"]
            assert (sae["name"], sae["details"]["commit"], sae["d_sae"]) == ("tiny a", COMMIT, 16)
            wide = await finished(api, workspace, "/saes/download", {"repo": "lab/tiny", "path": "b"})
            assert (wide.state, wide.error_code) == ("failed", "width_mismatch")
            assert (await api.get("/saes", params={"source": "imported"})).json()["pagination"]["total"] == 1
            third = await api.post("/saes/download", json={"repo": "lab/tiny", "path": "a"})
            assert third.status_code == 429
            sent = await finished(api, workspace, f"/saes/{sae['id']}/upload", {"repo": "lab/tiny", "path": "own"})
            assert sent.state == "done" and set(hub.uploaded) == {"own/cfg.json", "own/sae_weights.safetensors"}
            assert not any((settings.home / "arriving").iterdir())  # type: ignore[operator]  # set by the fixture


async def test_a_dataset_of_the_hub_is_looked_at_and_made_with_where_it_came_from(
    make_settings: Callable[..., Settings],
) -> None:
    files = {"data/train.jsonl": STORIES, "data/test.jsonl": STORIES}
    with serving_data(FakeDataHub({COMMIT: files})) as hub:
        async with open_workspace(make_settings(hub_url=hub.url)) as workspace, client(workspace) as api:
            asked = {"name": "Stories", "repo": "lab/tiny"}
            seen = (await api.post("/datasets/preview", json=asked)).json()["data"]
            assert {each["split"] for each in seen["parts"]} == {"train", "test"} and seen["split"] == "train"
            assert ([each["name"] for each in seen["columns"]], seen["chosen"]) == (["story"], "story")
            odd = await api.post("/datasets", json=asked | {"part": "validation"})
            assert odd.status_code == 422 and "choose a config and a split" in odd.json()["error"]["message"]
            both = await api.post("/datasets", json=asked | {"text": "The fox ran."})
            assert both.json()["error"]["code"] == "bad_option"
            assert (await finished(api, workspace, "/datasets", asked | {"part": "test"})).state == "done"
            (made,) = (await api.get("/datasets", params={"search": "Stories"})).json()["data"]
            assert (made["source"], made["documents"], made["details"]["split"]) == ("hub", 2, "test")
            assert made["details"]["commit"] == COMMIT and made["details"]["licence"] == "cc-by-4.0"


async def test_what_lay_in_the_bin_long_enough_is_gone_for_good(make_settings: Callable[..., Settings]) -> None:
    async with open_workspace(make_settings(deleted_models_days=0)) as workspace, client(workspace) as api:
        await finished(api, workspace, "/datasets", {"name": "Short", "text": "The fox ran."})
        (made,) = (await api.get("/datasets", params={"search": "Short"})).json()["data"]
        await api.delete(f"/datasets/{made['id']}")
        await workspace.library.sweep()
        assert (await api.get("/datasets", params={"deleted": True})).json()["data"] == []


async def test_a_pair_reads_its_own_layer_only_where_its_verbalizer_names_none(workspace: Workspace) -> None:
    spec = workspace.models.spec(AnalysisOptions.model_validate({"text": "x"}), paths_allowed=False)
    pair = workspace.groups.pair("starter")
    assert pair.layer is not None
    own: dict[str, Any] = {name: getattr(pair, name) for name in ("model", "verbalizer", "reconstructor")}
    await workspace.groups.add_pair(Pair(id="same", name="same", layer=pair.layer, **own))
    await workspace.groups.add_pair(Pair(id="other", name="other", layer=pair.layer - 1, **own))
    asked = {name: AnalysisOptions.model_validate({"text": "x", "model": name}) for name in ("same", "other")}
    assert workspace.models.spec(asked["same"], paths_allowed=False) == spec
    assert workspace.models.spec(asked["other"], paths_allowed=False).layer == pair.layer - 1
