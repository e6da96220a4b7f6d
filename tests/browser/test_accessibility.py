"""Every page under axe-core: nothing serious or critical, in both themes, and in every view of a run."""

from collections.abc import Callable
from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import READY, Visitor

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
PAGES = (
    *(
        "/",
        "/runs/00000000000000000000",
        "/history",
        "/compare",
        "/library",
        "/library/models/starter",
        "/library/pairs/starter",
    ),
    *("/training", "/training/new", "/training/datasets", "/features", "/steering", "/system"),
)
GRAVE = ("serious", "critical")


def complaints(page: Page, **rules: bool) -> list[str]:
    """What axe finds serious, as one line per rule with the first place; `rules` switches some off."""
    page.evaluate(AXE)
    asked = {"resultTypes": ["violations"], "rules": {n.replace("_", "-"): {"enabled": on} for n, on in rules.items()}}
    found = page.evaluate("asked => axe.run(document, asked)", asked)
    grave = [rule for rule in found["violations"] if rule["impact"] in GRAVE]
    return [f"{rule['id']}: {rule['help']}: {rule['nodes'][0]['html'][:200]}" for rule in grave]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_serious_finding(visit: Callable[..., Visitor], path: str) -> None:
    page = visit().open(path)
    assert complaints(page) == []
    page.get_by_test_id("theme").click()
    page.wait_for_selector("body.body--light")
    assert complaints(page) == []


@pytest.mark.parametrize("view", ["table", "transposed"])
def test_a_view_of_a_run_has_no_serious_finding(visit: Callable[..., Visitor], view: str) -> None:
    page = visit().open("/?position=5")
    page.get_by_test_id(f"view-{view}").click()
    page.get_by_test_id({"table": "result-table", "transposed": "transposed"}[view]).wait_for()
    assert complaints(page) == []


def test_the_chat_has_no_serious_finding(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/")
    page.get_by_test_id("input-chat").click()
    page.get_by_test_id("chat").wait_for()
    assert complaints(page) == []


def test_what_opens_above_a_page_has_a_name_and_no_serious_finding(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/")
    for opener, inside in (("options", "max-new-tokens"), ("run-menu", "export-json")):
        page.get_by_test_id(opener).click()
        expect(page.get_by_test_id(inside)).to_be_visible()
        assert complaints(page) == []
        page.keyboard.press("Escape")
        expect(page.get_by_test_id(inside)).to_be_hidden()
    page.get_by_test_id("colour-by").click()
    expect(page.get_by_role("option", name="KL ↓")).to_be_visible()
    assert complaints(page) == []
    page.keyboard.press("Escape")
    page.goto(f"{page.url.partition('?')[0]}library")
    page.wait_for_function(READY)
    page.get_by_test_id("add-pair").click()
    expect(page.get_by_role("dialog", name="A new NLA pair")).to_be_visible()
    assert complaints(page, color_contrast=False) == []  # axe takes the dimmed page for the dialog's background


def test_the_main_job_is_done_without_a_mouse(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    page.keyboard.press("/")
    page.keyboard.type("The fox ran.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("said")).to_contain_text("Done in")
    strip = page.get_by_test_id("token-strip")
    for _ in range(40):
        if strip.evaluate("e => e === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(strip).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card .head")).to_contain_text("token 1 of")
    expect(page.get_by_test_id("release")).to_be_visible()
    page.keyboard.press("v")
    expect(page.get_by_test_id("result-table")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("h")
    page.wait_for_url("**/history")
    expect(page.get_by_test_id("history-row")).to_contain_text("The fox ran.")


def test_arrow_keys_faster_than_the_server_each_go_one_token_on(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/?position=5")
    expect(page.get_by_test_id("release")).to_be_visible()
    pressed = """(box, keys) => keys.forEach((key) => box.dispatchEvent(new KeyboardEvent('keydown', {key})))"""
    page.get_by_test_id("token-strip").evaluate(
        pressed, ["Home", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowRight"]
    )
    expect(page.locator(".card .head")).to_contain_text("token 2 of")
    page.get_by_test_id("release").click()
    expect(page.get_by_test_id("release")).to_have_count(0)
    page.get_by_test_id("token-strip").evaluate(pressed, ["Home", "Home"])
    expect(page.locator(".card .head")).to_contain_text("token 0 of")
    expect(page.get_by_test_id("release")).to_be_visible()
