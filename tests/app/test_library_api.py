"""The library over REST: models added, loaded, certified, deleted and brought back; pairs and groups by name."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from loupe.app.api.application import build_api
from loupe.app.services.catalogue import Catalogue, PairSpec
from loupe.app.services.parts import parts_of
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from loupe.engine.device import DeviceThread
from loupe.engine.memory import DeviceMemory, MemoryBudget
from tests.app.conftest import GOLDEN, analysed
from tests.app.fake_hub import COMMIT, FakeHub, serving

V1 = "/api/v1"
MIB = 2**20


async def add_golden(api: httpx.AsyncClient, *parts: str) -> None:
    """The golden checkpoints as folders of the library, linked."""
    for part in parts:
        added = await api.post(f"{V1}/models", json={"folder": str(GOLDEN / part), "name": f"golden-{part}"})
        assert added.status_code == 201, added.text


def pair_body(id: str = "mine", **changes: Any) -> dict[str, Any]:
    return {"id": id, "model": "golden-base", "verbalizer": "golden-av", "reconstructor": "golden-ar"} | changes


async def done(workspace: Workspace, answer: httpx.Response) -> dict[str, Any]:
    """Wait for the job that a 202 names; returns it."""
    assert answer.status_code == 202, answer.text
    await workspace.jobs.wait(answer.json()["data"]["job_id"])
    return await workspace.jobs.get(answer.json()["data"]["job_id"])


async def test_a_folder_is_linked_not_copied_and_only_by_the_operator(
    api: httpx.AsyncClient, far_api: httpx.AsyncClient, workspace: Workspace
) -> None:
    refused = await far_api.post(f"{V1}/models", json={"folder": str(GOLDEN / "base")})
    assert refused.status_code == 403
    preview = (await api.post(f"{V1}/models/preview", json={"folder": str(GOLDEN / "base")})).json()["data"]
    assert preview["fit"]["fits"] and preview["architecture"] == "qwen2" and not preview["gated"]
    await add_golden(api, "base")
    assert (workspace.catalogue.models / "golden-base").is_symlink()
    row = (await api.get(f"{V1}/models/golden-base")).json()["data"]
    assert (row["state"], row["kind"], row["dtype"]) == ("on disk", "model", "fp32")
    assert (
        await api.post(f"{V1}/models", json={"folder": str(GOLDEN / "base"), "name": "golden-base"})
    ).status_code == 409


@pytest.mark.parametrize("name", ["../out", ".hidden", "a/b", "con", "starter"])
async def test_a_name_that_could_escape_or_hide_is_refused(api: httpx.AsyncClient, name: str) -> None:
    answer = await api.post(f"{V1}/models", json={"folder": str(GOLDEN / "base"), "name": name})
    assert answer.status_code in (400, 409), answer.text


async def test_a_folder_of_pickles_is_refused_and_the_converter_named(api: httpx.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    answer = await api.post(f"{V1}/models", json={"folder": str(tmp_path)})
    assert answer.status_code == 400 and "loupe convert" in answer.json()["error"]["message"]


async def test_models_are_paged_searched_and_sorted(api: httpx.AsyncClient) -> None:
    await add_golden(api, "base", "av", "ar")
    first = (await api.get(f"{V1}/models", params={"limit": 2, "sortBy": "id", "order": "asc"})).json()
    assert [row["id"] for row in first["data"]] == ["golden-ar", "golden-av"]
    assert first["pagination"] == {"page": 1, "limit": 2, "total": 6, "has_next": True}
    found = (await api.get(f"{V1}/models", params={"search": "golden", "kind": "verbalizer"})).json()["data"]
    assert [row["id"] for row in found] == ["golden-av"]
    assert (await api.get(f"{V1}/models", params={"sortBy": "colour"})).status_code == 400


async def test_a_pair_is_loaded_in_stages_and_used_by_name(api: httpx.AsyncClient, workspace: Workspace) -> None:
    await add_golden(api, "base", "av", "ar")
    assert (await api.post(f"{V1}/nla-pairs", json=pair_body())).status_code == 201
    job = await done(workspace, await api.post(f"{V1}/nla-pairs/mine/load", json={}))
    assert job["state"] == "done", job
    said = [line["message"] for line in (await api.get(f"{V1}/jobs/{job['id']}/logs")).json()["data"]]
    for stage in (
        "hashing golden-ar",
        "loading the model",
        "loading the verbalizer",
        "answering a test input",
        "ready",
    ):
        assert stage in said, said
    device = workspace.engine.running
    assert device is not None
    held = {"model golden-base", "verbalizer golden-av", "reconstructor golden-ar"}
    assert set(device.memory.holdings()) == held and min(device.memory.holdings().values()) > 0
    assert (await api.get(f"{V1}/nla-pairs/mine")).json()["data"]["state"] == "loaded"
    id, status = await analysed(api, workspace, model="mine", positions="-1")
    assert status["state"] == "done", status
    assert (await api.get(f"{V1}/runs/{id}")).json()["data"]["model"] == "mine"


async def test_switching_inside_a_group_keeps_the_base(
    api: httpx.AsyncClient, workspace: Workspace, tmp_path: Path
) -> None:
    await add_golden(api, "base", "av", "ar")
    await api.post(f"{V1}/models", json={"folder": str(GOLDEN / "ar"), "name": "golden-ar2"})
    for name, ar in (("one", "golden-ar"), ("two", "golden-ar2")):
        await api.post(f"{V1}/nla-pairs", json=pair_body(name, reconstructor=ar))
    group = await api.post(f"{V1}/model-groups", json={"id": "g", "base": "golden-base", "pairs": ["one", "two"]})
    assert group.status_code == 201, group.text
    await done(workspace, await api.post(f"{V1}/model-groups/g/load", json={}))
    base = {id(part.thing) for part in workspace.models.parts if part.part.role == "model"}
    job = await done(workspace, await api.post(f"{V1}/nla-pairs/two/load", json={}))
    assert job["state"] == "done"
    assert {id(part.thing) for part in workspace.models.parts if part.part.role == "model"} == base
    assert [part.part.role.value for part in workspace.models.parts].count("verbalizer") == 1
    await api.post(f"{V1}/nla-pairs/one/unload")
    states = (await api.get(f"{V1}/model-groups/g")).json()["data"]["states"]
    assert states == {"one": "on disk", "two": "loaded"}


async def test_requests_that_name_no_model_get_the_default_and_running_ones_keep_theirs(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    await add_golden(api, "base", "av", "ar")
    await api.post(f"{V1}/nla-pairs", json=pair_body())
    running = await api.post(f"{V1}/analyses", json={"text": "The fox ran home.", "max_new_tokens": 6})
    chosen = await api.post(f"{V1}/nla-pairs/mine/default")
    assert chosen.json()["data"]["is_default"]
    first = running.json()["data"]["id"]
    await workspace.analyses.wait(first)
    second, status = await analysed(api, workspace)
    runs = [(await api.get(f"{V1}/runs/{id}")).json()["data"] for id in (first, second)]
    assert [run["model"] for run in runs] == ["starter", "mine"]
    assert [run["state"] for run in runs] == ["done", "done"], status
    assert (await api.delete(f"{V1}/nla-pairs/mine")).status_code == 409


async def test_what_is_in_use_is_neither_unloaded_nor_deleted(api: httpx.AsyncClient, workspace: Workspace) -> None:
    await add_golden(api, "base")
    folder = workspace.catalogue.get("golden-base").path
    async with workspace.models.use_model(folder):
        assert (await api.post(f"{V1}/models/golden-base/unload")).status_code == 409
        refused = await api.delete(f"{V1}/models/golden-base")
        assert refused.status_code == 409 and "running requests use" in refused.json()["error"]["message"]
    gone = (await api.post(f"{V1}/models/golden-base/unload")).json()["data"]
    assert (gone["unloaded_parts"], gone["state"]) == (1, "on disk")
    assert workspace.engine.running and workspace.engine.running.memory.holdings() == {}


async def test_dependants_are_shown_before_a_delete_that_can_be_undone(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    await add_golden(api, "base", "av", "ar")
    await api.post(f"{V1}/nla-pairs", json=pair_body())
    asked = await api.delete(f"{V1}/models/golden-av")
    error = asked.json()["error"]
    assert (asked.status_code, error["code"]) == (409, "still_used")
    assert error["details"]["dependants"]["pairs"] == ["mine"]
    gone = (await api.delete(f"{V1}/models/golden-av", params={"confirm": True})).json()["data"]
    assert gone["id"] == "golden-av" and gone["restorable_until"] > gone["deleted_at"]
    assert (await api.get(f"{V1}/nla-pairs/mine")).json()["data"]["state"] == "unusable"
    assert [r["id"] for r in (await api.get(f"{V1}/models", params={"deleted": True})).json()["data"]] == ["golden-av"]
    assert (await api.post(f"{V1}/models/golden-av/restore")).status_code == 200
    assert (await api.get(f"{V1}/nla-pairs/mine")).json()["data"]["state"] == "on disk"
    assert (GOLDEN / "av/config.json").is_file(), "deleting a link must not touch the folder"
    assert (await api.delete(f"{V1}/models/starter")).status_code == 403


async def test_what_was_deleted_too_long_ago_goes_for_good(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    async with open_workspace(make_settings(deleted_models_days=0)) as workspace:
        folder = workspace.catalogue.models / "old"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        await workspace.library.delete("old")
        await workspace.library.sweep()
        assert workspace.library.deleted() == []


async def test_a_certificate_stays_on_record_with_date_and_versions(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    assert (await api.get(f"{V1}/models/starter/certificate")).json()["data"] is None
    job = await done(workspace, await api.post(f"{V1}/models/starter/certify", json={}))
    assert job["state"] == "done", job
    found = (await api.get(f"{V1}/models/starter/certificate")).json()["data"]
    assert found["passed"] and found["family"] == "qwen2" and {"torch", "transformers"} <= set(found["versions"])
    assert found["fingerprint"] == (await api.get(f"{V1}/models/starter/fingerprint")).json()["data"]["fingerprint"]
    assert {"resid_post", "mlp_out"} <= set(found["sites"])
    assert (await api.post(f"{V1}/models/starter/ar/certify", json={})).status_code == 409


async def test_the_architecture_names_hook_points_and_folds_alike_blocks(api: httpx.AsyncClient) -> None:
    tree = (await api.get(f"{V1}/models/starter/architecture")).json()["data"]

    def walk(node: dict[str, Any]) -> list[dict[str, Any]]:
        return [node, *(found for child in node.get("children", ()) for found in walk(child))]

    blocks = next(node for node in walk(tree) if node["repeats"] > 1)
    config = json.loads((GOLDEN / "base/config.json").read_text())
    assert blocks["repeats"] == config["num_hidden_layers"]
    assert blocks["sites"] == ["resid_pre (input)", "resid_post (output)"]
    sites = {site.split()[0] for node in walk(tree) for site in node.get("sites", ())}
    assert sites == {"resid_pre", "attn_out", "resid_mid", "mlp_in", "mlp_out", "resid_post"}


async def test_what_does_not_fit_is_refused_with_needs_free_and_owners(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    device = await workspace.engine.device()
    device.memory = MemoryBudget(read=lambda _: DeviceMemory(100 * MIB, 90 * MIB))
    device.memory.hold("model elsewhere", 64 * MIB)
    job = await done(workspace, await api.post(f"{V1}/models/starter/load", json={}))
    assert job["state"] == "failed" and job["error"]["code"] == "out_of_device_memory"
    told = (await api.get(f"{V1}/models/starter")).json()["data"]["error"]
    numbers = told["details"]
    assert told["code"] == job["error"]["code"] and "Held by model elsewhere" in job["error"]["message"]
    assert numbers["available_bytes"] == 0 and numbers["needed_bytes"] > 0
    assert numbers["holdings"] == {"model elsewhere": 64 * MIB}
    assert (await api.get(f"{V1}/models/starter/fit")).json()["data"]["fits"] is False
    device.memory = MemoryBudget(read=lambda _: DeviceMemory(100 * MIB, 0))
    again = (await api.post(f"{V1}/jobs/{job['id']}/retry")).json()["data"]
    await workspace.jobs.wait(again["id"])
    assert (await workspace.jobs.get(again["id"]))["state"] == "done"


async def test_the_longest_unused_leaves_when_another_needs_its_room(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    await add_golden(api, "base")
    size = (await api.get(f"{V1}/models/golden-base/fit")).json()["data"]["weights_bytes"]
    device = await workspace.engine.device()
    device.memory = MemoryBudget(
        fraction=1, read=lambda _: DeviceMemory(3 * size // 2, sum(device.memory.holdings().values()))
    )
    starter, golden = (workspace.catalogue.get(id).path for id in ("starter", "golden-base"))
    await workspace.models.bring(starter)
    await workspace.models.bring(golden)
    assert [part.part.folder for part in workspace.models.parts] == [golden]
    async with workspace.models.use_model(golden):
        job = await done(workspace, await api.post(f"{V1}/models/starter/load", json={}))
    assert job["state"] == "failed", "what somebody uses is not let go"


async def test_idle_models_leave_when_asked_to(api: httpx.AsyncClient, workspace: Workspace) -> None:
    await workspace.models.bring(workspace.catalogue.get("starter").path)
    assert workspace.models.drop_idle(minutes=60) == 0
    async with workspace.models.use_model(workspace.catalogue.get("starter").path):
        assert workspace.models.drop_idle(minutes=0) == 0
    assert workspace.models.drop_idle(minutes=0) == 1


async def test_quantised_dtypes_say_what_they_need(api: httpx.AsyncClient) -> None:
    found = (await api.get(f"{V1}/models/starter/fit", params={"dtype": "nf4"})).json()["data"]
    assert not found["fits"] and "CUDA" in found["why_not"] and not found["exact"]
    assert "needs a CUDA device" in found["dtypes"]["int8"]
    full = (await api.get(f"{V1}/models/starter/fit", params={"dtype": "fp32"})).json()["data"]
    half = (await api.get(f"{V1}/models/starter/fit", params={"dtype": "bf16"})).json()["data"]
    assert full["weights_bytes"] == 2 * half["weights_bytes"]


@pytest.mark.parametrize(("asked", "of_halves"), [("auto", "auto"), ("fp32", "fp32"), ("nf4", "auto")])
def test_a_precision_is_that_of_the_whole_pair_and_a_quantised_one_of_the_base_alone(
    tmp_path: Path, asked: str, of_halves: str
) -> None:
    spec = PairSpec(tmp_path / "base", tmp_path / "av", tmp_path / "ar", dtype=asked)
    parts = parts_of(Catalogue(tmp_path / "starter", tmp_path), spec, lambda folder: None)
    assert [part.dtype for part in parts] == [asked, of_halves, of_halves]
    assert all(part.owner.endswith(f"({part.dtype})") != (part.dtype == "auto") for part in parts)


async def test_two_requests_for_one_model_load_it_once(
    api: httpx.AsyncClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, submitted = DeviceThread.submit, []

    def noted(thread: DeviceThread, job: Any, **options: Any) -> Any:
        submitted.append(job.name)
        return submit(thread, job, **options)

    monkeypatch.setattr(DeviceThread, "submit", noted)
    folder = workspace.catalogue.get("starter").path
    await asyncio.gather(*(workspace.models.bring(folder) for _ in range(3)))
    assert len(workspace.models.parts) == 1
    assert submitted.count("load") == 1


async def test_a_hub_token_is_written_never_read(
    make_settings: Callable[..., Settings], api: httpx.AsyncClient, workspace: Workspace
) -> None:
    assert (await api.get(f"{V1}/models/hub-token")).json()["data"] == {"source": "none"}
    written = await api.put(f"{V1}/models/hub-token", json={"token": "hf_secret"})
    assert written.json()["data"] == {"source": "written here"} and "hf_secret" not in written.text
    file = workspace.store.data_dir.path / "hub-token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await api.put(f"{V1}/models/hub-token", json={"token": "two words"})).status_code == 400
    assert (await api.delete(f"{V1}/models/hub-token")).json()["data"] == {"source": "none"}


async def test_a_gated_repository_opens_with_the_token_alone(make_settings: Callable[..., Settings]) -> None:
    config = json.dumps({"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2})
    files = {"config.json": config.encode(), "model.safetensors": b"weights" * 100}
    with serving(FakeHub(files, token="hf_right")) as hub:
        async with open_workspace(make_settings(hub_url=hub.url)) as workspace:
            transport = httpx.ASGITransport(build_api(workspace), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as api:
                closed = await api.post(f"{V1}/models/preview", json={"repo": "lab/tiny"})
                await api.put(f"{V1}/models/hub-token", json={"token": "hf_right"})
                preview = (await api.post(f"{V1}/models/preview", json={"repo": "lab/tiny"})).json()["data"]
                job = await done(workspace, await api.post(f"{V1}/models", json={"repo": "lab/tiny"}))
    assert closed.status_code == 422 and "gated" in closed.json()["error"]["message"]
    assert preview["gated"] and preview["commit"] == COMMIT and preview["n_layers"] == 2
    assert preview["fit"]["weights_bytes"] == 700
    assert job["state"] == "done", job


async def test_an_older_group_file_is_taken_over_with_what_cannot_be_used(api: httpx.AsyncClient) -> None:
    older = {
        "model_groups": [
            {
                "group_id": "Gemma2-9B",
                "group_name": "Gemma 2 9B",
                "base_model_path": "starter",
                "models": [
                    {
                        "id": "gemma2-l30",
                        "name": "L30",
                        "lens_checkpoint_path": "/checkpoints/run_7",
                        "layer": 30,
                        "auto_batch_size_max": 512,
                        "different_activations_orig_path": "org/donor",
                    }
                ],
            }
        ],
        "settings": {"tuned_lens_dir": "x"},
    }
    told = (await api.post(f"{V1}/model-groups/import", json={"content": older})).json()["data"]
    assert (told["groups"], told["pairs"], told["unused"]) == (
        ["gemma2-9b"],
        ["gemma2-l30"],
        ["settings.tuned_lens_dir"],
    )
    assert (
        "run_7" in told["problems"]["gemma2-l30"]
        and "org/donor is not in the library" in told["problems"]["gemma2-l30"]
    )
    pair = (await api.get(f"{V1}/nla-pairs/gemma2-l30")).json()["data"]
    assert (pair["state"], pair["batch_rows"], pair["layer"]) == ("unusable", 512, 30)
    refused = await api.post(f"{V1}/analyses", json={"text": "a", "model": "gemma2-l30"})
    assert refused.status_code == 409 and "cannot be used yet" in refused.json()["error"]["message"]
    assert (await api.post(f"{V1}/model-groups/import", json={"content": older})).status_code == 409


async def test_an_exported_group_file_is_read_back_equal(api: httpx.AsyncClient) -> None:
    await add_golden(api, "base", "av", "ar")
    await api.post(f"{V1}/nla-pairs", json=pair_body(layer=3, batch_rows=7))
    await api.post(
        f"{V1}/model-groups", json={"id": "g", "base": "golden-base", "pairs": ["mine"], "donors": ["golden-av"]}
    )
    file = (await api.get(f"{V1}/model-groups/g/export")).json()["data"]
    for path in ("model-groups/g", "nla-pairs/mine"):
        assert (await api.delete(f"{V1}/{path}")).status_code == 200
    assert (await api.post(f"{V1}/model-groups/import", json={"content": file})).status_code == 201
    assert (await api.get(f"{V1}/model-groups/g/export")).json()["data"] == file
    for bad in ({}, {"loupe_groups": 9, "groups": []}, {"loupe_groups": 1, "groups": [{}]}, {"model_groups": [1]}):
        assert (await api.post(f"{V1}/model-groups/import", json={"content": bad})).status_code == 422


async def test_pairs_and_groups_come_back_from_the_bin(api: httpx.AsyncClient) -> None:
    await add_golden(api, "base", "av", "ar")
    await api.post(f"{V1}/nla-pairs", json=pair_body())
    await api.delete(f"{V1}/nla-pairs/mine")
    assert (await api.get(f"{V1}/nla-pairs/mine")).status_code == 404
    bin = (await api.get(f"{V1}/nla-pairs", params={"deleted": True})).json()["data"]
    assert [row["id"] for row in bin] == ["mine"]
    assert (await api.post(f"{V1}/nla-pairs/mine/restore")).json()["data"]["model"] == "golden-base"
    assert (await api.delete(f"{V1}/model-groups/starter")).status_code == 409
    assert (await api.post(f"{V1}/nla-pairs", json=pair_body("UPPER"))).status_code == 400


def save_adapter(folder: Path) -> None:
    """A random LoRA adapter for the golden base."""
    import torch
    from peft import LoraConfig, get_peft_model

    from loupe.engine.models.loading import load_model

    adapted = get_peft_model(load_model(GOLDEN / "base").model, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    adapted.save_pretrained(folder)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft's own, on saving
async def test_an_adapter_attached_to_a_group_is_read_through_its_pair(
    api: httpx.AsyncClient, workspace: Workspace, tmp_path: Path
) -> None:
    await asyncio.to_thread(save_adapter, tmp_path / "tuned")
    await add_golden(api, "base", "av", "ar")
    added = await api.post(f"{V1}/models", json={"folder": str(tmp_path / "tuned")})
    assert added.json()["data"]["kind"] == "adapter", added.text
    await api.post(f"{V1}/nla-pairs", json=pair_body())
    await api.post(f"{V1}/nla-pairs", json=pair_body("through-tuned", donor="tuned"))
    await api.post(f"{V1}/model-groups", json={"id": "g", "base": "golden-base", "pairs": ["mine", "through-tuned"]})
    attached = await api.post(f"{V1}/model-groups/g/donors", json={"model": "tuned"})
    assert attached.json()["data"]["donors"] == ["tuned"]
    found = []
    for model in ("mine", "through-tuned"):
        id, status = await analysed(api, workspace, model=model, positions="-1")
        assert status["state"] == "done", status
        found.append((await api.get(f"{V1}/runs/{id}/result")).json()["data"][0]["norm"])
    assert found[0] != found[1], "the adapter changes what is read"
    roles = sorted(part.part.role.value for part in workspace.models.parts)
    assert roles == ["donor", "model", "reconstructor", "verbalizer"], "everything but the donor is shared"
    assert (await api.post(f"{V1}/models/tuned/load", json={})).status_code == 409


async def test_a_pair_without_its_parts_is_refused_and_the_list_goes_on_working(api: httpx.AsyncClient) -> None:
    empty = {"id": "empty", "model": "", "verbalizer": "", "reconstructor": ""}
    assert (await api.post(f"{V1}/nla-pairs", json=empty)).status_code == 404
    assert (await api.get(f"{V1}/nla-pairs")).status_code == 200
