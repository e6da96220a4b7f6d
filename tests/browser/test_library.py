"""The library in a real browser: pairs share their base, a model's page says what is known, deleting asks first."""

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.app.conftest import GOLDEN
from tests.browser.conftest import Visitor

NAME = "linked-model"


def test_a_folder_is_looked_at_added_inspected_deleted_and_brought_back(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/library")
    page.get_by_test_id("add-model").click()
    page.get_by_test_id("from-folder").click()
    page.get_by_test_id("add-place").fill(str(GOLDEN / "base"))
    page.get_by_test_id("add-name").fill(NAME)
    page.get_by_test_id("add-preview").click()
    expect(page.get_by_test_id("preview")).to_contain_text("Fits")
    page.get_by_test_id("add-go").click()
    row = page.locator(f"[data-testid=entry-models][data-id={NAME}]")
    expect(row).to_contain_text("on disk")

    row.get_by_role("link", name=NAME).click()
    expect(page.get_by_test_id("tree")).to_contain_text("resid_post (output)")
    page.get_by_test_id("certify").click()
    expect(page.get_by_test_id("certificate")).to_contain_text("Certified")
    expect(page.get_by_test_id("unload")).to_be_visible()

    page.goto(page.url.partition("/library")[0] + "/library")
    page.get_by_test_id("section-models").locator(f"[data-act=delete][data-id={NAME}]").click()
    page.get_by_test_id("delete-go").click()
    gone = page.locator(f"[data-testid=entry-deleted][data-id='models/{NAME}']")
    expect(gone).to_contain_text("deleted")
    gone.get_by_role("button", name=f"Restore {NAME}").click()
    expect(row).to_contain_text("on disk")
    assert (Path(GOLDEN) / "base/config.json").is_file()


def test_a_pair_is_made_loaded_and_made_the_default(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/library")
    page.get_by_test_id("add-pair").click()
    page.get_by_test_id("pair-name").fill("Second pair")
    page.get_by_test_id("pair-go").click()
    row = page.locator("[data-testid=entry-pairs][data-id=second-pair]")
    expect(row).to_contain_text("loaded")  # at once: it is made of the starter's parts, and those are in memory
    row.get_by_role("button", name="Unload Second pair", exact=True).click()
    expect(row).to_contain_text("on disk")
    expect(page.locator("[data-testid=entry-pairs][data-id=starter]")).to_contain_text("on disk")
    row.get_by_role("button", name="Load Second pair", exact=True).click()
    expect(row).to_contain_text("loaded")
    expect(page.locator("[data-testid=entry-pairs][data-id=starter]")).to_contain_text("loaded")
    expect(page.get_by_test_id("owners")).to_contain_text("verbalizer starter/av")
    row.get_by_role("button", name="Make default Second pair").click()
    expect(row).to_contain_text("default")
    first = page.locator("[data-testid=entry-pairs][data-id=starter]")
    first.get_by_role("button", name="Make default Starter").click()
    expect(first).to_contain_text("default")
    row.get_by_role("link", name="Second pair").click()
    page.get_by_test_id("unload").click()
    page.get_by_test_id("load-device").click()
    page.get_by_role("option", name="cpu", exact=True).click()
    page.get_by_test_id("load").click()
    expect(page.get_by_test_id("library-said")).to_contain_text("load done")
    expect(page.get_by_test_id("unload")).to_be_visible()


def test_a_group_file_is_read_and_what_is_deleted_comes_back(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    pairs = [{"id": "third", "verbalizer": "starter/av", "reconstructor": "starter/ar"}]
    group = {"id": "from-file", "name": "From a file", "base": "starter", "pairs": pairs}
    good, older = tmp_path / "groups.json", tmp_path / "model_groups.json"
    good.write_text(json.dumps({"loupe_groups": 1, "groups": [group]}))
    models = [{"id": "old", "name": "Old", "lens_checkpoint_path": "/far/lens.pt", "layer": 1}]
    older.write_text(json.dumps({"model_groups": [{"group_id": "o", "base_model_path": "starter", "models": models}]}))
    page, other = visit().open("/library"), visit().open("/library")
    page.set_input_files("input[type=file]", good)
    expect(page.get_by_test_id("library-said")).to_contain_text("1 group and 1 pair")
    expect(other.locator("[data-testid=entry-groups][data-id=from-file]")).to_contain_text("From a file")
    page.set_input_files("input[type=file]", good)
    expect(page.get_by_test_id("add-problem")).to_contain_text("There are already from-file, third")
    page.get_by_test_id("group-file-close").click()
    page.set_input_files("input[type=file]", older)
    expect(page.get_by_test_id("group-file-told")).to_contain_text("loupe convert")
    page.get_by_test_id("group-file-close").click()

    for noun, id in (("pairs", "third"), ("groups", "from-file")):
        page.locator(f"[data-testid=delete-{noun}][data-id={id}]").click()
        page.get_by_test_id("delete-go").click()
        gone = page.locator(f"[data-testid=entry-deleted][data-id='{noun}/{id}']")
        gone.get_by_test_id("restore-deleted").click()
        expect(gone).to_have_count(0)
        expect(page.locator(f"[data-testid=entry-{noun}][data-id={id}]")).to_be_visible()


def test_the_search_is_in_the_address(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/library?search=reconstructor")
    expect(page.get_by_test_id("entry-checkpoints")).to_have_count(2)
    page.get_by_test_id("library-search").fill("nothing of the kind")
    expect(page.get_by_test_id("none-models")).to_be_visible()
    page.wait_for_url("**search=nothing+of+the+kind")


def test_what_is_not_there_says_so(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/library/models/nobody")
    expect(page.get_by_test_id("state-empty")).to_contain_text("There is no model 'nobody'")
