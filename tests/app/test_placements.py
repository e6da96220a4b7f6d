"""Where models are put: chosen over REST, kept over a restart, refused in words where there is no such device."""

import importlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from loupe.app.pages.system_numbers import devices_html
from loupe.app.services import accelerators
from loupe.app.services.engine import EngineState
from loupe.app.services.placements import PLACEMENT, device_check
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from loupe.engine.errors import BadOption
from loupe.engine.models.placement import Device, Placement
from tests.app.test_library_api import V1, add_golden, done, pair_body

GPU = Device("cuda:0", "a <b>GPU</b>", 24 * 2**30, 20 * 2**30)


async def test_a_device_that_is_not_there_is_refused_with_those_that_are(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    await add_golden(api, "base")
    for device, reason in (("cuda:1", "it has cpu"), ("cpu+cpu", "in CPU memory already"), ("moon", "no placement")):
        for path in ("load", f"fit?device={device.replace('+', '%2B')}"):
            body = {"device": device} if path == "load" else None
            answer = await api.request("POST" if body else "GET", f"{V1}/models/golden-base/{path}", json=body)
            if body or device == "moon":
                assert answer.status_code == 400, answer.text
                assert reason in answer.json()["error"]["message"]
            else:
                assert reason in answer.json()["data"]["why_not"] and not answer.json()["data"]["fits"]
    assert workspace.placements.chosen == {}
    assert workspace.models.parts == ()


async def test_a_model_goes_where_it_was_put_and_stays_there_for_later_requests(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    await add_golden(api, "base")
    job = await done(workspace, await api.post(f"{V1}/models/golden-base/load", json={"device": "cpu"}))
    assert job["state"] == "done"
    row = (await api.get(f"{V1}/models/golden-base")).json()["data"]
    assert (row["device"], row["devices"]) == ("cpu", ["cpu"])
    (part,) = workspace.models.parts
    assert part.part.placement == Placement.parse("cpu")
    async with workspace.models.use_model(part.part.folder) as lm:
        assert lm is part.thing
        conflict = await api.post(f"{V1}/models/golden-base/load", json={"device": "auto"})
        assert conflict.status_code == 409
    await done(workspace, await api.post(f"{V1}/models/golden-base/load", json={"device": "auto"}))
    assert "device" not in (await api.get(f"{V1}/models/golden-base")).json()["data"]
    assert [part.part.placement for part in workspace.models.parts] == [None]


async def test_a_choice_outlives_the_server(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    async with open_workspace(settings) as workspace:
        await workspace.placements.choose(["one", "other"], "cpu")
        await workspace.placements.choose(["other"], "auto")
    async with open_workspace(settings) as workspace:
        assert workspace.placements.chosen == {"one": "cpu"} == workspace.models.placed
        assert [entry.id for entry in await workspace.store.library.list(PLACEMENT)] == ["one"]


async def test_a_pair_takes_its_base_along_unless_that_has_a_place_of_its_own(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    await add_golden(api, "base", "av", "ar")
    assert (await api.post(f"{V1}/nla-pairs", json=pair_body())).status_code == 201
    assert (await done(workspace, await api.post(f"{V1}/nla-pairs/mine/load", json={"device": "cpu"})))[
        "state"
    ] == "done"
    assert set(workspace.placements.chosen) == {"golden-base", "golden-av", "golden-ar"}
    assert (await api.get(f"{V1}/nla-pairs/mine")).json()["data"]["state"] == "loaded"


async def test_the_fit_is_told_for_every_device(api: httpx.AsyncClient, workspace: Workspace) -> None:
    await add_golden(api, "base")
    told = (await api.get(f"{V1}/models/golden-base/fit?device=cpu")).json()["data"]
    (cpu,) = [place for place in told["devices"] if place["device"] == "cpu"]
    assert cpu["fits"] and cpu["needed_bytes"] == told["needed_bytes"] > 0
    overview = (await api.get(f"{V1}/system")).json()["data"]
    assert [device["name"] for device in overview["devices"]][-1] == "cpu"


async def test_an_engine_on_a_device_that_is_not_there_says_so(make_settings: Callable[..., Settings]) -> None:
    async with open_workspace(make_settings(device="cuda:7")) as workspace:
        with pytest.raises(BadOption, match=r"LOUPE_DEVICE=cuda:7 cannot be had: this machine has no cuda:7"):
            await workspace.engine.device()
        assert workspace.engine.state is EngineState.FAILED


def test_the_doctor_lists_the_devices_and_says_why_the_chosen_one_cannot_be_had(tmp_path: Any) -> None:
    fine = device_check(Settings(home=tmp_path, device="auto"))
    assert fine.ok and "cpu (CPU and its memory)" in fine.found and not fine.advice
    for device in ("cuda:7", "moon"):
        wrong = device_check(Settings(home=tmp_path, device=device))
        assert not wrong.ok and device in wrong.advice and "Set it to auto" in wrong.advice


def test_the_system_page_lists_devices_and_holders_as_text() -> None:
    row = {"name": GPU.name, "kind": GPU.kind, "free_bytes": GPU.free_bytes, "total_bytes": GPU.total_bytes}
    shown = devices_html([row | {"holdings": {"model <i>x</i>": 5}}])
    assert "a &lt;b&gt;GPU" in shown and "model &lt;i&gt;x" in shown and "No CUDA device" not in shown
    cpu = row | {"name": "cpu", "holdings": {}}
    assert "No CUDA device was found" in devices_html([cpu])
    assert devices_html([]) == ""


async def test_places_are_devices_gpus_together_and_gpus_with_blocks_that_wait(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = Device("cpu", "CPU and its memory", 2**34, 2**33)
    for there, places in (
        ((cpu,), ["cpu"]),
        ((GPU, cpu), ["cuda:0", "cpu", "cuda:0+cpu"]),
        (
            (GPU, Device("cuda:1", "a GPU", 2**34, 2**33), cpu),
            ["cuda:0", "cuda:1", "cpu", "cuda:0,cuda:1", "cuda:0,cuda:1+cpu"],
        ),
    ):
        monkeypatch.setattr("loupe.engine.models.placement.devices_here", lambda there=there: there)
        assert await workspace.placements.places() == places


def test_a_driver_that_is_not_there_or_does_not_answer_is_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nvml:
        class NVMLError(Exception):
            pass

        def nvmlInit(self) -> None:
            raise self.NVMLError("no library")

    def absent(name: str) -> Any:
        raise ImportError(name)

    for module in (absent, lambda name: Nvml()):
        accelerators._driver.cache_clear()
        monkeypatch.setattr(importlib, "import_module", module)
        assert accelerators.read_accelerators() == ()
    accelerators._driver.cache_clear()
