"""From a pasted text to a training that is watched, paused, resumed and saved, all with the mouse and the keyboard."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor

TEXT = "\n\n".join(
    f"The {animal} ran over hill number {n} and looked at the moon." for n in range(60) for animal in ("fox", "owl")
)

ADVANCED = {"log-interval": "2", "initial-rows": "64", "threshold-rows": "64", "buffer-rows": "4096"}


def with_dataset(visitor: Visitor, name: str) -> Page:
    """The page of a dataset that was made by pasting the text."""
    page = visitor.open("/training/datasets")
    page.get_by_test_id("dataset-name").fill(name)
    page.get_by_test_id("dataset-text").fill(TEXT)
    page.get_by_test_id("dataset-make").click()
    expect(page.get_by_test_id("dataset-title")).to_have_text(name)
    return page


def test_a_pasted_text_becomes_a_training_that_is_paused_resumed_and_saved(visit: Callable[..., Visitor]) -> None:
    page = with_dataset(visit(), "Hills <b>bold</b>")
    page.get_by_test_id("documents-search").fill("hill number 7 ")
    expect(page.get_by_test_id("document")).to_have_count(2)

    page.get_by_test_id("cut-max-tokens").fill("32")
    page.get_by_test_id("cut-preview").click()
    expect(page.get_by_test_id("token-preview-rows")).to_contain_text("fox")
    page.get_by_test_id("cut-go").click()
    page.get_by_test_id("train-on").click()
    page.wait_for_url("**/training/new?tokens=*")

    page.get_by_test_id("train-d-sae").fill("24")
    page.get_by_test_id("train-k").fill("30")
    page.get_by_test_id("train-steps").fill("100000")
    page.get_by_test_id("train-batch-rows").fill("32")
    page.get_by_test_id("train-advanced").click()
    for name, value in ADVANCED.items():
        page.get_by_test_id(f"train-{name}").fill(value)
    page.get_by_test_id("train-start").click()
    expect(page.get_by_test_id("train-problem")).to_contain_text("k = 30")
    page.get_by_test_id("train-k").fill("4")
    page.get_by_test_id("train-start").click()

    page.get_by_test_id("training-name").wait_for()
    expect(page.locator("[data-testid=training-now] [data-measure=loss]")).to_contain_text(re.compile(r"\d"))
    chart = page.get_by_test_id("chart-loss")
    expect(chart.get_by_role("img")).not_to_have_attribute("aria-label", "Loss: no point yet")
    expect(chart.locator("canvas")).to_be_visible()
    page.get_by_test_id("training-pause").click()
    expect(page.get_by_test_id("training-state")).to_have_text("paused")
    page.get_by_test_id("training-resume").click()
    expect(page.get_by_test_id("training-state")).to_have_text("running")
    page.get_by_test_id("training-save").click()
    expect(page.get_by_test_id("checkpoint").first).to_be_visible()
    page.get_by_test_id("training-stop").click()
    expect(page.get_by_test_id("training-state")).to_have_text("done")
    expect(page.get_by_test_id("training-sae")).to_have_count(1)  # the entry of the checkpoint is now the finished SAE
    expect(page.get_by_test_id("training-sae").first).to_contain_text("24 latents")


def test_activations_are_written_once_and_a_training_reads_them(visit: Callable[..., Visitor]) -> None:
    page = with_dataset(visit(), "To be cached")
    page.get_by_test_id("cut-max-tokens").fill("32")
    page.get_by_test_id("cut-go").click()
    page.get_by_test_id("token-row").wait_for()
    page.get_by_test_id("activations").click()
    page.get_by_test_id("cache-max-gb").fill("0")
    page.get_by_test_id("cache-go").click()
    expect(page.get_by_test_id("cache-said")).to_contain_text("max_gb")
    page.get_by_test_id("cache-max-gb").fill("1")
    page.get_by_test_id("cache-go").click()
    expect(page.get_by_test_id("cache")).to_contain_text("blocks.2.resid_post")
    page.get_by_test_id("train-from").click()
    page.wait_for_url("**/training/new?cache=*")
    for name, value in {"d-sae": "24", "k": "4", "steps": "20", "batch-rows": "32"}.items():
        page.get_by_test_id(f"train-{name}").fill(value)
    page.get_by_test_id("train-advanced").click()
    for name, value in ADVANCED.items():
        if name != "buffer-rows":  # a cache has its own
            page.get_by_test_id(f"train-{name}").fill(value)
    page.get_by_test_id("train-start").click()
    expect(page.get_by_test_id("training-state")).to_have_text("done")
    expect(page.get_by_test_id("training-sae")).to_have_count(1)
