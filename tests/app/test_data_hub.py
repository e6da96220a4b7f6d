"""Datasets and SAEs from a hub that answers on localhost, and an SAE uploaded to it."""

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from loupe.app.errors import Conflict, HubRefused, OfflineRefused
from loupe.app.outbound.hub import Hub
from loupe.app.outbound.hub_datasets import DatasetHub
from loupe.app.outbound.hub_saes import SaeHub
from loupe.app.settings import Settings
from loupe.engine.data.making import MakeDataset
from loupe.engine.data.texts import StoredTexts
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.config import Architecture, SAEConfig
from loupe.engine.sae.formats import ModelFacts, read_sae, write_saelens
from loupe.engine.sae.sae import SAE
from tests.app.fake_data_hub import COMMIT, CONVERTED, FakeDataHub, serving_data
from tests.engine.data.sample import Drafts, finish

GOLDEN = Path(__file__).parents[1] / "golden" / "sae"


def parquet(*texts: str) -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({"text": texts, "n": range(len(texts))}).to_parquet(buffer)
    return buffer.getvalue()


DATASET = {
    CONVERTED: {
        "default/train/0000.parquet": parquet("one", "two"),
        "default/train/0001.parquet": parquet("three"),
        "default/test/0000.parquet": parquet("four"),
    },
    COMMIT: {"README.md": b"# stories", "script.py": b"import os", "data/train.jsonl": b'{"story": "five"}\n'},
}


def client(kind: Callable[..., Any], hub: FakeDataHub, **settings: Any) -> Any:
    return kind(Settings(**{"hub_url": hub.url} | settings))


def test_a_dataset_of_the_hub_is_read_file_by_file_from_its_conversion(tmp_path: Path) -> None:
    with serving_data(FakeDataHub(DATASET)) as hub:
        datasets: DatasetHub = client(DatasetHub, hub)
        plan = datasets.plan_dataset("lab/tiny")
        assert set(plan.parts) == {("default", "train"), ("default", "test")} and plan.converted
        assert (plan.plan.commit, plan.plan.licence, plan.homepage) == (CONVERTED, "cc-by-4.0", "https://lab.example")
        assert [each.name for each in datasets.preview_dataset(plan).columns] == ["text", "n"]
        drafts = Drafts(tmp_path / "artefacts")
        source = datasets.source(plan, tmp_path, split="train")
        made, said = finish(MakeDataset(source, "stories"), drafts)
        texts = StoredTexts(drafts.root / made.artefact_id)
        assert [texts.document(i) for i in range(3)] == ["one", "two", "three"]
        assert source.describe()["commit"] == CONVERTED and said[-1].done == said[-1].total
        assert not any("script.py" in path for path in hub.asked)
    assert [each.name for each in tmp_path.iterdir()] == ["artefacts"]


def test_a_dataset_without_a_conversion_is_read_from_its_own_files(tmp_path: Path) -> None:
    with serving_data(FakeDataHub({COMMIT: DATASET[COMMIT]})) as hub:
        datasets: DatasetHub = client(DatasetHub, hub)
        plan = datasets.plan_dataset("lab/tiny")
        assert set(plan.parts) == {("default", "train")} and not plan.converted
        made, _ = finish(MakeDataset(datasets.source(plan, tmp_path), "x"), Drafts(tmp_path / "artefacts"))
        assert (made.documents, made.column) == (1, "story")


def test_a_part_that_does_not_exist_and_a_dataset_without_data_are_refused() -> None:
    with serving_data(FakeDataHub(DATASET)) as hub:
        datasets: DatasetHub = client(DatasetHub, hub)
        plan = datasets.plan_dataset("lab/tiny")
        with pytest.raises(HubRefused, match="default/test, default/train: choose"):
            plan.part(None, "validation")
        assert plan.part(None, None)[0] == ("default", "train")
        with pytest.raises(HubRefused, match="not on the hub"):
            datasets.plan_dataset("lab/unknown")
        with pytest.raises(OfflineRefused):
            client(DatasetHub, hub, offline=True).plan_dataset("lab/tiny")
        hub.files = {COMMIT: {"README.md": b"#", "script.py": b""}}
        with pytest.raises(HubRefused, match="has no parquet"):
            datasets.plan_dataset("lab/tiny")


def test_a_download_of_a_dataset_can_be_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    stop = threading.Event()
    with serving_data(FakeDataHub(DATASET)) as hub:
        datasets: DatasetHub = client(DatasetHub, hub)
        source = datasets.source(datasets.plan_dataset("lab/tiny"), tmp_path, split="train", stop=stop)
        stop.set()
        with pytest.raises(Conflict, match="cancelled"):
            finish(MakeDataset(source, "x"), Drafts(tmp_path / "artefacts"))
    assert list((tmp_path / "artefacts").iterdir()) == [] and len(list(tmp_path.iterdir())) == 1


def sae_files() -> dict[str, bytes]:
    folders = {
        "saelens/jumprelu": "layer_1/jumprelu",
        "circuit_tracer/skip": "transcoders",
        "sparsify/topk/layers.1": "layers.1",
        "gemma_scope/gemma-scope-2b-pt-res/layer_1/width_40/average_l0_5": "gemma-scope-2b-pt-res/layer_1/w/l0",
    }
    return {
        f"{target}/{file.name}": file.read_bytes()
        for folder, target in folders.items()
        for file in (GOLDEN / folder).iterdir()
        if file.name != "expected.safetensors"
    } | {"evil/ae.pt": b"\x80\x04"}


def test_the_saes_of_a_repository_are_listed_and_fetched_one_at_a_time(tmp_path: Path) -> None:
    with serving_data(FakeDataHub({COMMIT: sae_files()})) as hub:
        saes: SaeHub = client(SaeHub, hub)
        plan, found = saes.plan_saes("lab/tiny")
        assert [each.path for each in found] == [
            "gemma-scope-2b-pt-res/layer_1/w/l0",
            "layer_1/jumprelu",
            "layers.1",
            "transcoders/layer_1.safetensors",
        ]
        assert all(each.size > 0 for each in found)
        for each in found:
            place = saes.download_sae(plan, each.path, tmp_path, lambda done, total: None, threading.Event())
            loaded = read_sae(place)
            assert loaded.hook_point.layer == 1 and loaded.sae.d_sae == 40
            before = len(hub.asked)
            assert saes.download_sae(plan, each.path, tmp_path, lambda done, total: None, threading.Event()) == place
            assert len(hub.asked) == before
        assert not any(path.endswith("ae.pt") for path in hub.asked)
        with pytest.raises(HubRefused, match="no SAE at"):
            saes.download_sae(plan, "../../etc", tmp_path, lambda done, total: None, threading.Event())
    assert [each.name for each in tmp_path.iterdir()] == [f"lab--tiny@{COMMIT[:12]}"]


def test_a_repository_of_pickles_names_the_way_to_open_them() -> None:
    only_pickles = {COMMIT: {"trainer_0/ae.pt": b"\x80\x04"}}
    sentence = r"only pickles \(trainer_0/ae\.pt\).*loupe convert"
    with serving_data(FakeDataHub(only_pickles)) as hub, pytest.raises(HubRefused, match=sentence):
        client(SaeHub, hub).plan_saes("lab/tiny")


def test_a_download_of_an_sae_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with serving_data(FakeDataHub({COMMIT: sae_files()})) as hub:
        saes: SaeHub = client(SaeHub, hub)
        plan, _ = saes.plan_saes("lab/tiny")
        with pytest.raises(Conflict, match="cancelled"):
            saes.download_sae(plan, "layer_1/jumprelu", tmp_path, lambda done, total: None, stop)
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_an_sae_is_uploaded_whole_by_a_token_that_may_write(tmp_path: Path) -> None:
    with torch.no_grad():
        write_saelens(tmp_path, SAE(SAEConfig(Architecture.TOPK, 6, 10, k=2)), HookPoint(0), ModelFacts("org/model"))
    with serving_data(FakeDataHub({COMMIT: {}}, token="may-write")) as hub:
        with pytest.raises(HubRefused, match="hub token"):
            client(SaeHub, hub).upload_sae(tmp_path, "lab/tiny")
        with pytest.raises(HubRefused, match="does not let this token write"):
            client(SaeHub, hub, hub_token="reads").upload_sae(tmp_path, "lab/tiny")
        commit = client(SaeHub, hub, hub_token="may-write").upload_sae(tmp_path, "lab/tiny", path="layer_0/topk")
        assert commit == COMMIT
        assert set(hub.uploaded) == {"layer_0/topk/cfg.json", "layer_0/topk/sae_weights.safetensors"}
        assert json.loads(hub.uploaded["layer_0/topk/cfg.json"])["architecture"] == "topk"
    assert issubclass(SaeHub, Hub)
