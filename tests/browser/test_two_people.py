"""Two people on one server: one switches the model while the other analyses; what is kept can be repeated and moved."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import READY, Server, Visitor

LONG = "The fox ran home and slept by the river. " * 30


def ask(page: Page, text: str) -> None:
    page.get_by_test_id("text").fill(text)
    page.get_by_test_id("options").click()
    page.get_by_test_id("max-new-tokens").fill("48")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("options")).to_have_text(re.compile("1 changed"))
    page.get_by_test_id("explain").click()
    page.wait_for_url("**/runs/*")


def done(page: Page) -> str:
    """Wait for the run that is shown; returns its id."""
    expect(page.get_by_test_id("said")).to_contain_text("Done in")
    return page.url.rpartition("/runs/")[2].partition("?")[0]


def kept(server: Server, path: str) -> dict[str, Any]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=120) as http:
        return http.get(f"/api/v1/runs/{path}").json()


def test_one_switches_the_pair_while_the_other_analyses_and_both_get_what_they_asked(
    server: Server, visit: Callable[..., Visitor]
) -> None:
    ada, bo = visit().open(), visit().open()
    ask(ada, LONG)
    expect(ada.locator("[role=option]:is(.done, .doubtful)").first).to_be_visible()
    bo.get_by_test_id("model-choice").click()
    bo.get_by_role("option", name="second reconstructor").click()
    expect(ada.get_by_test_id("cancel")).to_be_visible()
    ask(bo, "A fox ran.")
    his, hers = done(bo), done(ada)
    expect(ada.locator("[role=option]:is(.failed, .waiting, .making)")).to_have_count(0)
    asked = {id: kept(server, id)["data"]["request"] for id in (hers, his)}
    assert asked[hers]["model"] == "starter" and asked[his]["model"] == "starter-ar2"
    weights = [kept(server, f"{id}/result")["metadata"]["fingerprints"] for id in (hers, his)]
    assert weights[0]["reconstructor"] != weights[1]["reconstructor"]
    assert weights[0]["verbalizer"] == weights[1]["verbalizer"], "the part that both share was loaded again"


def test_a_run_is_repeated_in_one_click_and_taken_to_another_browser_as_a_file(
    server: Server, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    ada, bo = visit().open(), visit()
    ask(ada, "The fox ran home.")
    first = done(ada)
    ada.get_by_test_id("repeat").click()
    ada.wait_for_url("**/compare?**")
    expect(ada.get_by_test_id("verdict")).to_contain_text("Repeated.")
    expect(ada.get_by_test_id("verdict")).to_contain_text(re.compile("Equal to the last bit|by rounding only"))

    read = bo.open(f"/runs/{first}")
    read.get_by_test_id("run-menu").click()
    with read.expect_download() as waiting:
        read.get_by_test_id("export-json").click()
    file = tmp_path / "run.json"
    waiting.value.save_as(file)
    assert json.loads(file.read_text())["format"] == "loupe-run"
    history = bo.open("/history")
    history.set_input_files("input[type=file]", file)
    history.wait_for_url("**/runs/*")
    history.wait_for_function(READY)
    second = history.url.rpartition("/runs/")[2]
    assert second != first
    both = bo.open(f"/compare?a={first}&b={second}")
    expect(both.get_by_test_id("verdict")).to_contain_text("Equal to the last bit")
    assert kept(server, f"{first}/result")["data"] == kept(server, f"{second}/result")["data"]
