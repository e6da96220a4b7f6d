"""SAEs in the library, with a hub on localhost: fetched, judged, taken away, sent, deleted, brought back."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import expect

from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.config import SAEConfig
from loupe.engine.sae.formats import ModelFacts, write_saelens
from loupe.engine.sae.sae import SAE
from tests.app.fake_data_hub import COMMIT, CONVERTED, FakeDataHub, serving_data
from tests.browser.conftest import Server, Visitor, served

STORIES = "\n".join(f'{{"story": "The fox ran over hill number {n}.", "n": {n}}}' for n in range(40)).encode()


def an_sae(folder: Path) -> dict[str, bytes]:
    """The files of a small SAE for the starter."""
    torch.manual_seed(0)
    sae = SAE(SAEConfig.from_dict({"architecture": "topk", "d_in": 192, "d_sae": 32, "k": 3}))
    for parameter in sae.parameters():
        torch.nn.init.normal_(parameter)
    write_saelens(folder, sae, HookPoint(1), ModelFacts("lab/tiny"))
    return {f"block_1/{file.name}": file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeDataHub]:
    """It has an SAE and a dataset, and one token may write."""
    parts = {f"default/{split}/0000.jsonl": STORIES for split in ("train", "test")}
    files = {COMMIT: an_sae(tmp_path_factory.mktemp("sae")), CONVERTED: parts}
    with serving_data(FakeDataHub(files, token="may-write")) as serving:
        yield serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, hub: FakeDataHub) -> Iterator[Server]:
    """A server whose hub is that one."""
    settings = {"LOUPE_HUB_URL": hub.url, "LOUPE_HUB_TOKEN": hub.token}
    with served(tmp_path_factory.mktemp("served"), **settings) as running:
        yield running


def test_a_dataset_and_an_sae_of_the_hub_are_looked_at_fetched_and_one_judged_on_the_other(
    visit: Callable[..., Visitor], hub: FakeDataHub, tmp_path: Path
) -> None:
    page = visit().open("/training/datasets")
    page.get_by_test_id("dataset-repo").fill("lab/nothing")
    page.get_by_test_id("dataset-look").click()
    expect(page.get_by_test_id("dataset-hub-problem")).to_contain_text("is not on the hub")
    page.get_by_test_id("dataset-repo").fill("lab/tiny")
    page.get_by_test_id("dataset-look").click()
    expect(page.get_by_test_id("dataset-preview")).to_contain_text("cc-by-4.0")
    expect(page.get_by_test_id("dataset-preview-column")).to_contain_text(["story", "n"])
    page.get_by_test_id("dataset-fetch").click()
    expect(page.get_by_test_id("dataset-title")).to_have_text("tiny")
    expect(page.get_by_test_id("document").first).to_contain_text("hill number 0")
    page.get_by_test_id("cut-max-tokens").fill("16")
    page.get_by_test_id("cut-go").click()
    expect(page.get_by_test_id("token-row")).to_be_visible()

    page = visit().open("/library")
    watching = visit(width=420).open("/library?search=block_1")
    page.get_by_test_id("add-sae").click()
    page.get_by_test_id("sae-add-place").fill("lab/tiny")
    page.get_by_test_id("sae-add-preview").click()
    expect(page.get_by_test_id("sae-preview")).to_contain_text("block_1")
    page.get_by_test_id("sae-add-go").click()
    expect(page.get_by_test_id("entry-saes")).to_contain_text(["blocks.1.resid_post"])
    expect(watching.get_by_test_id("entry-saes")).to_contain_text("lab/tiny")
    assert not any("manifest" in path for path in hub.asked)

    page.get_by_test_id("entry-saes").filter(has_text="lab/tiny").get_by_role("link").click()
    expect(page.get_by_test_id("sae-card-empty")).to_be_visible()
    expect(page.get_by_test_id("provenance")).to_contain_text(COMMIT)
    page.get_by_test_id("sae-evaluate").click()
    page.get_by_test_id("sae-evaluate-go").click()
    expect(page.locator("[data-testid=sae-card] [data-measure=l0]")).to_have_text("3.00")
    expect(page.get_by_test_id("card-zero")).to_be_visible()
    expect(page.get_by_test_id("sae-density").get_by_role("img")).to_be_visible()
    expect(watching.get_by_test_id("entry-saes")).to_contain_text("3.00")


def test_an_sae_is_renamed_taken_away_written_sent_deleted_and_brought_back(
    visit: Callable[..., Visitor], hub: FakeDataHub, tmp_path: Path
) -> None:
    source, target = tmp_path / "mine", tmp_path / "written"
    source.mkdir()
    target.mkdir()
    an_sae(source)
    page = visit().open("/library")
    page.get_by_test_id("add-sae").click()
    page.get_by_test_id("sae-from-folder").click()
    page.get_by_test_id("sae-add-place").fill(str(source))
    page.get_by_test_id("sae-add-go").click()
    page.get_by_role("link", name="mine").click()
    page.get_by_test_id("sae-rename").click()
    page.get_by_test_id("sae-new-name").fill("<i>Own</i>")
    page.get_by_test_id("sae-rename-go").click()
    expect(page.get_by_test_id("sae-name")).to_contain_text("<i>Own</i>")
    with page.expect_download() as waiting:
        page.get_by_test_id("sae-export").click()
    waiting.value.save_as(tmp_path / "sae.zip")
    assert {Path(name).name for name in zipfile.ZipFile(tmp_path / "sae.zip").namelist()} >= {"cfg.json"}
    page.get_by_test_id("sae-write").click()
    page.get_by_test_id("sae-write-to").fill(str(target))
    page.get_by_test_id("sae-write-go").click()
    expect(page.get_by_test_id("library-said")).to_contain_text("It lies in")
    assert (next(target.iterdir()) / "sae_weights.safetensors").is_file()
    page.get_by_test_id("sae-upload").click()
    page.get_by_test_id("sae-upload-repo").fill("lab/tiny")
    page.get_by_test_id("sae-upload-path").fill("own")
    page.get_by_test_id("sae-upload-go").click()
    expect(page.get_by_test_id("library-said")).to_contain_text("It is on the hub.")
    assert set(hub.uploaded) == {"own/cfg.json", "own/sae_weights.safetensors"}

    page.get_by_test_id("sae-delete").click()
    expect(page.get_by_test_id("sae-restore")).to_be_visible()
    page.get_by_test_id("library-undo").click()
    expect(page.get_by_test_id("sae-delete")).to_be_visible()
