"""A training that outlives its server and its browsers: restarted, resumed, loaded, forked, overlaid, exported."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Server, Visitor, stop_server
from tests.browser.test_restart import asked, place, started, until_state  # noqa: F401 - place is the fixture

TEXT = "\n\n".join(
    f"The {a} ran over hill number {n} and looked at the moon." for n in range(40) for a in ("fox", "owl")
)
FEW = {
    "log_interval": 2,
    "initial_rows": 64,
    "threshold_rows": 64,
    "evaluation_interval": 0,
    "checkpoint_interval": 500,
}
STEP = "[data-testid=training-now] [data-measure=step]"
DRAWN = "() => [...loupe.charts.drawn.values()].some((each) => (each.series || []).some((line) => line.other))"


def visitor(server: Server, browser: Browser) -> Visitor:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(240_000)
    return Visitor(server, context)


def step_of(page: Page) -> int:
    return int(page.locator(STEP).first.inner_text().replace(",", ""))


def finished(server: Server, path: str, body: dict[str, Any]) -> None:
    until_state(server, asked(server, "POST", path, json=body)["job_id"], "done")


def rows_of(server: Server) -> str:
    finished(server, "/datasets", {"name": "hills", "text": TEXT})
    id = asked(server, "GET", "/datasets?search=hills")[0]["id"]
    finished(server, f"/datasets/{id}/tokenisations", {"mode": "window", "max_tokens": 32})
    return asked(server, "GET", f"/datasets/{id}/tokenisations")[0]["id"]


def test_a_training_outlives_its_server_and_is_loaded_forked_overlaid_and_exported(
    place: dict[str, Any],  # noqa: F811 - the fixture
    browser: Browser,
    tmp_path: Path,
) -> None:
    server = started(place)
    first = visitor(server, browser)
    page = first.open("/training/datasets")
    file = tmp_path / "hills.txt"
    file.write_text(TEXT)
    page.get_by_test_id("dataset-name").fill("From a file")
    page.set_input_files("input[type=file]", file)
    expect(page.get_by_test_id("dataset-title")).to_have_text("From a file")
    page.get_by_test_id("cut-max-tokens").fill("32")
    page.get_by_test_id("cut-go").click()
    page.get_by_test_id("train-on").click()
    page.wait_for_url("**/training/new?tokens=*")
    for name, value in {"d-sae": "24", "k": "4", "steps": "1000000", "batch-rows": "32"}.items():
        page.get_by_test_id(f"train-{name}").fill(value)
    page.get_by_test_id("train-sae-add").click()
    second = page.get_by_test_id("train-sae").nth(1)
    second.get_by_test_id("train-d-sae").fill("32")
    second.get_by_test_id("train-k").fill("2")
    expect(page.get_by_test_id("train-sae-count")).to_have_text("2 SAEs from one pass over the model")
    page.get_by_test_id("train-advanced").click()
    for name in ("log-interval", "initial-rows", "threshold-rows", "evaluation-interval", "checkpoint-interval"):
        page.get_by_test_id(f"train-{name}").fill(str(FEW[name.replace("-", "_")]))
    page.get_by_test_id("train-buffer-rows").fill("4096")
    page.get_by_test_id("train-save-template").click()
    page.get_by_test_id("template-name").fill("Two <i>small</i> ones")
    page.get_by_test_id("template-go").click()
    expect(page.get_by_test_id("template-dialog")).to_have_count(0)
    page.get_by_test_id("train-start").click()
    page.get_by_test_id("training-name").wait_for()
    id = page.url.rpartition("/")[2]
    expect(page.locator(STEP)).to_have_count(2)
    page.get_by_test_id("training-save").click()
    expect(page.get_by_test_id("checkpoint").first).to_be_visible()
    expect(page.get_by_test_id("training-sae")).to_have_count(2)
    page.get_by_test_id("training-pause").click()
    expect(page.get_by_test_id("training-state")).to_have_text("paused")
    saved = int(page.get_by_test_id("checkpoint").first.get_attribute("data-step") or 0)
    first.context.close()
    assert first.complaints == []

    stop_server(server)
    server = started(place)
    again = visitor(server, browser)
    page = again.open(f"/training/{id}")
    expect(page.get_by_test_id("training-state")).to_have_text("paused")
    page.get_by_test_id("training-resume").click()
    page.wait_for_function(f"(step) => +document.querySelector('{STEP}').innerText.replace(/,/g, '') > step", arg=saved)
    page.get_by_test_id("training-stop").click()
    expect(page.get_by_test_id("training-state")).to_have_text("done")
    expect(page.get_by_test_id("training-sae")).to_have_count(2)  # one entry an SAE, from its first checkpoint on
    page.get_by_test_id("checkpoint-load").last.click()
    expect(page.get_by_text(re.compile("In the Library as of step"))).to_be_visible()
    expect(page.get_by_test_id("training-sae")).to_have_count(4)

    page.get_by_test_id("checkpoint-fork").first.click()
    page.get_by_test_id("fork-name").fill("The fork")
    page.get_by_test_id("fork-steps").fill(str(step_of(page) + 20))
    page.get_by_test_id("fork-lr").fill("0.0001")
    page.get_by_test_id("fork-go").click()
    page.wait_for_url(lambda url: url.rpartition("/training/")[2] not in ("", id))
    expect(page.get_by_test_id("training-state")).to_have_text("done")
    expect(page.get_by_test_id("training-name")).to_have_text("The fork")
    fork = page.url.rpartition("/")[2]
    page.goto(f"{server.url}/training/{id}?beside={fork}")
    page.wait_for_function(DRAWN)
    with page.expect_download() as coming:
        page.get_by_test_id("sae-export").first.click()
    assert any(name.endswith("cfg.json") for name in zipfile.ZipFile(coming.value.path()).namelist())

    page = again.open("/training/templates")
    mine = page.get_by_test_id("template").filter(has_text="Two <i>small</i> ones")
    mine.get_by_test_id("template-star").click()
    expect(page.get_by_test_id("template").first).to_contain_text("Two <i>small</i> ones")
    mine.get_by_test_id("template-use").click()
    expect(page.get_by_test_id("train-sae")).to_have_count(2)
    expect(page.get_by_test_id("train-d-sae").nth(1)).to_have_value("32")
    page = again.open("/library")
    expect(page.get_by_test_id("section-saes")).to_contain_text("batchtopk-32-k2")
    again.context.close()
    assert again.complaints == []


def test_ten_watchers_stay_live_and_closing_every_browser_changes_nothing(
    server: Server, visit: Callable[..., Visitor]
) -> None:
    sae = {"d_sae": 24, "options": {"k": 4}, "reads": ["blocks.1.resid_post"]}
    training = {"steps": 1_000_000, "batch_rows": 32, **FEW, "log_interval": 100}
    body = {"tokenisation": rows_of(server), "saes": [sae], "training": training, "buffer_rows": 2048}
    id = asked(server, "POST", "/trainings", json=body)["job_id"]
    watchers = [visit() for _ in range(10)]
    pages = [watcher.open(f"/training/{id}") for watcher in watchers]
    for page in pages:
        page.locator(STEP).wait_for()
    seen = [step_of(page) for page in pages]
    for page, step in zip(pages, seen, strict=True):
        page.wait_for_function(
            f"(step) => +document.querySelector('{STEP}').innerText.replace(/,/g, '') > step", arg=step
        )
    before = max(step_of(page) for page in pages)
    for watcher in watchers:
        watcher.context.close()

    def step_now() -> int:
        (point,) = asked(server, "GET", f"/trainings/{id}")["latest"].values()
        return point["step"]

    while step_now() <= before:
        until_state(server, id, "running")
    asked(server, "POST", f"/trainings/{id}/stop")
    assert until_state(server, id, "done")["done"] > before
