"""Downloads from a hub that answers on localhost: pinned, safetensors only, whole or absent."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from loupe.app.errors import Conflict, HubRefused, HubUnreachable, OfflineRefused, RevisionNotFound
from loupe.app.outbound.hub import Hub
from loupe.app.settings import Settings
from tests.app.fake_hub import COMMIT, FakeHub, serving

FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": bytes(range(256)) * 400,
    "tokenizer.json": b"{}",
    "README.md": b"# tiny",
    "pytorch_model.bin": b"\x80\x04pickle",
    "modeling_tiny.py": b"import os",
    "onnx/model.safetensors": b"another format",
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving(FakeHub(dict(FILES))) as fake:
        yield fake


def client_of(fake: FakeHub, **settings: object) -> Hub:
    return Hub(Settings(**{"hub_url": fake.url} | settings))  # type: ignore[arg-type]  # pydantic converts


def nothing(_done: int, _total: int) -> None:
    return


def test_a_plan_pins_the_commit_and_names_only_plain_data(hub: FakeHub) -> None:
    plan = client_of(hub).plan("lab/tiny", "v1")
    assert plan.commit == COMMIT and plan.licence == "mit"
    assert {f.name for f in plan.files} == {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert plan.total_bytes == sum(len(FILES[f.name]) for f in plan.files)
    assert not any("/resolve/" in path for path in hub.asked), "a preview must not fetch files"


def test_a_download_arrives_whole_under_its_commit(hub: FakeHub, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    client = client_of(hub)
    plan = client.plan("lab/tiny")
    folder = client.download(plan, tmp_path, lambda done, total: seen.append((done, total)), threading.Event())
    assert folder == tmp_path / f"lab--tiny@{COMMIT[:12]}"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {f.name: FILES[f.name] for f in plan.files}
    assert seen[-1] == (plan.total_bytes, plan.total_bytes) and [d for d, _ in seen] == sorted(d for d, _ in seen)
    assert not any("pytorch_model.bin" in path or ".py" in path for path in hub.asked)
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_what_is_there_already_is_not_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    client = client_of(hub)
    plan = client.plan("lab/tiny")
    client.download(plan, tmp_path, nothing, threading.Event())
    hub.asked.clear()
    client.download(plan, tmp_path, nothing, threading.Event())
    assert hub.asked == []


def test_a_cancelled_download_leaves_nothing(hub: FakeHub, tmp_path: Path) -> None:
    client, stop = client_of(hub), threading.Event()

    def stop_soon(_done: int, _total: int) -> None:
        stop.set()

    with pytest.raises(Conflict, match="cancelled"):
        client.download(client.plan("lab/tiny"), tmp_path, stop_soon, stop)
    assert list(tmp_path.iterdir()) == []


def test_a_repository_with_pickles_only_is_refused(hub: FakeHub) -> None:
    del hub.files["model.safetensors"], hub.files["onnx/model.safetensors"]
    with pytest.raises(HubRefused, match=r"pytorch_model\.bin"):
        client_of(hub).plan("lab/tiny")


def test_each_refusal_says_what_to_do(hub: FakeHub) -> None:
    client = client_of(hub)
    with pytest.raises(RevisionNotFound, match="no revision 'v9'"):
        client.plan("lab/tiny", "v9")
    with pytest.raises(HubRefused, match="not on the hub"):
        client.plan("lab/none")
    hub.gated = True
    with pytest.raises(HubRefused, match="LOUPE_HUB_TOKEN"):
        client.plan("lab/tiny")


def test_a_hub_that_is_away_is_a_retryable_error() -> None:
    with serving(FakeHub({})) as gone:
        pass
    with pytest.raises(HubUnreachable) as raised:
        client_of(gone).plan("lab/tiny")
    assert raised.value.retryable


def test_offline_means_offline(hub: FakeHub) -> None:
    with pytest.raises(OfflineRefused):
        client_of(hub, offline=True).plan("lab/tiny")
    assert hub.asked == []
