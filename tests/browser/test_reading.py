"""Reading a run in a real browser: views, colours, ranges, chats, replies, keys, and a long text that stays light."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.app.sample import WORDS, sample_run
from tests.browser.conftest import Server, Visitor

LONG = 2000


def drag(page: Page, first: int, last: int) -> None:
    page.locator(f"#tok-{first}").hover()
    page.mouse.down()
    page.locator(f"#tok-{last}").hover()
    page.mouse.up()


def test_every_noun_has_its_page_and_says_where_one_is(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/training")
    expect(page.get_by_test_id("nav-training")).to_have_attribute("aria-current", "page")
    expect(page.get_by_test_id("training-new")).to_be_visible()
    for noun in ("features", "steering"):
        page.get_by_test_id(f"nav-{noun}").click()
        expect(page.get_by_test_id(f"nav-{noun}")).to_have_attribute("aria-current", "page")
        expect(page.locator(".outlook").get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("main")).to_have_count(1)


def test_the_keyboard_reaches_the_text_the_map_and_other_pages(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to main content")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_test_id("keymap")).to_be_visible()
    expect(page.get_by_test_id("keymap")).to_contain_text("walk the explained tokens")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("keymap")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_test_id("text")).to_be_focused()
    page.keyboard.type("g t")
    expect(page.get_by_test_id("text")).to_have_value("g t")
    page.get_by_test_id("token-strip").focus()
    page.keyboard.press("v")
    expect(page.get_by_test_id("result-table")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("f")
    expect(page).to_have_url(re.compile("/features$"))


def test_the_table_has_one_element_per_row_sorts_and_remembers_its_columns(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.open()
    page.get_by_test_id("view-table").click()
    rows = page.locator("[data-testid=result-table] tbody tr")
    expect(rows).to_have_count(len(WORDS) - 1)
    expect(page.locator("[data-testid=result-table] thead")).to_contain_text("cosine")
    page.locator("[data-sort=fve_nrm]").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("fve_nrm")
    expect(rows.first).to_have_attribute("data-i", str(len(WORDS) - 2))
    expect(rows.last).to_have_attribute("data-i", "4")
    rows.last.click()
    expect(page.locator(".card .head")).to_contain_text("token 4 of")
    expect(page).to_have_url(re.compile("position=4"))
    page.get_by_test_id("columns").click()
    page.get_by_test_id("column-cosine").click()
    expect(page.locator("[data-testid=result-table] thead")).not_to_contain_text("cosine")
    again = visitor.open()
    expect(again.locator("[data-testid=result-table] thead")).to_contain_text("fve_nrm")
    expect(again.locator("[data-testid=result-table] thead")).not_to_contain_text("cosine")


def test_the_run_can_be_read_on_its_side(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    page.get_by_test_id("view-transposed").click()
    columns = page.locator("[data-testid=transposed] .column")
    expect(columns).to_have_count(len(WORDS) - 1)
    expect(columns.nth(5)).to_contain_text("Quiet story about something lost.")
    page.get_by_test_id("column-width").fill("300")
    assert columns.first.evaluate("e => Math.round(e.getBoundingClientRect().width)") == 300
    columns.nth(5).click()
    expect(page.locator(".card .head")).to_contain_text("token 5 of")


def test_colour_follows_the_chosen_score_and_so_does_the_legend(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    legend = page.get_by_test_id("legend")
    expect(legend).to_contain_text("fve_nrm")
    page.get_by_test_id("colour-by").click()
    page.get_by_role("option", name="KL ↓").click()
    expect(legend).to_contain_text("KL ↓, nats")
    expect(legend).to_contain_text("0.125")
    expect(page.locator("#tok-1")).to_have_class(re.compile(r"\bp8\b"))
    drawn = page.locator("#tok-1").evaluate("e => getComputedStyle(e).backgroundColor")
    assert legend.locator(".cells .p8").evaluate("e => getComputedStyle(e).backgroundColor") == drawn


def test_a_range_is_chosen_by_dragging_and_by_shift_and_only_it_is_explained(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    drag(page, 1, 3)
    expect(page.get_by_test_id("explain")).to_have_text("Explain 3 tokens")
    expect(page.locator(".tok.chosen")).to_have_count(3)
    page.locator("#tok-5").click(modifiers=["Shift"])
    expect(page.get_by_test_id("explain")).to_have_text("Explain 5 tokens")
    page.get_by_test_id("token-strip").focus()
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.get_by_test_id("explain")).to_have_text("Explain 4 tokens")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("said")).to_contain_text("Done in")
    expect(page.get_by_test_id("facts")).to_contain_text("4 explained")
    expect(page.locator(".tok.skipped").first).to_have_attribute("aria-label", re.compile("not asked"))


def test_a_changed_text_forgets_the_range_and_marks_the_run_as_out_of_date(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    page.get_by_test_id("text").fill("A fox.")
    page.get_by_test_id("explain").click()
    expect(page.get_by_test_id("said")).to_contain_text("Done in")
    drag(page, 0, 1)
    expect(page.get_by_test_id("explain")).to_have_text("Explain 2 tokens")
    page.get_by_test_id("text").fill("A fox ran.")
    expect(page.get_by_test_id("explain")).to_have_text("Explain every token")
    expect(page.locator(".tok.chosen")).to_have_count(0)
    expect(page.get_by_test_id("state-stale")).to_contain_text("the text")


def test_a_pasted_chat_is_answered_and_read_turn_by_turn(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.open()
    chat = {"model": "any", "messages": [{"role": "user", "content": [{"type": "text", "text": "A fox ran."}]}]}
    page.get_by_test_id("text").fill(json.dumps(chat))
    page.get_by_test_id("read-as-chat").click()
    expect(page.get_by_test_id("chat-content")).to_have_value("A fox ran.")
    page.get_by_test_id("reply").click()
    page.get_by_test_id("reply-options").click()
    page.get_by_test_id("reply-max-new-tokens").fill("6")
    page.keyboard.press("Escape")
    page.get_by_test_id("positions").click()
    page.get_by_role("option", name="last turn").click()
    expect(page.get_by_test_id("explain")).to_have_text("Reply, then explain the last turn")
    page.get_by_test_id("explain").click()
    expect(page.get_by_test_id("said")).to_contain_text("Done in")
    expect(page.locator(".turn")).to_have_text(["user", "assistant"])
    assert 0 < page.locator("[role=option]:is(.done, .doubtful)").count() <= 6
    again = visitor.open(page.url.removeprefix(visitor.server.url))
    expect(again.get_by_test_id("chat-content")).to_have_value("A fox ran.")
    expect(again.get_by_test_id("reply")).to_be_checked()


def test_a_chat_that_cannot_be_read_says_where(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    page.get_by_test_id("input-chat").click()
    page.get_by_test_id("chat-json").click()
    page.get_by_test_id("chat-json-text").fill('[{"role": "wizard", "content": "<b>x</b>"}]')
    page.get_by_test_id("chat-json-take").click()
    expect(page.get_by_test_id("chat-problem")).to_contain_text("Message 1 has the role 'wizard'")


def test_the_lines_of_an_explanation_can_be_read_as_written(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/?position=6")
    lines = page.get_by_test_id("explanation").locator("li")
    expect(lines.first).to_contain_text("The sentence ends in")
    page.get_by_test_id("order").click()
    expect(lines.first).to_contain_text("Quiet story")
    page.reload()
    expect(page.get_by_test_id("explanation").locator("li").first).to_contain_text("Quiet story")


@pytest.fixture
def long_sample(server: Server) -> Iterator[str]:
    run: dict[str, Any] = sample_run()
    rows, tokens = run["data"][:13], run["metadata"]["tokens"][:13]
    run["data"] = [rows[i % 13] | {"position": i} for i in range(LONG)]
    run["metadata"]["tokens"] = [tokens[i % 13] for i in range(LONG)]
    file = Path(server.env["LOUPE_STARTER_DIR"]) / "runs/90-long.json"
    file.write_text(json.dumps(run))
    yield "/samples/90-long"
    file.unlink()


def test_a_text_of_two_thousand_tokens_is_a_light_page(
    server: Server, visit: Callable[..., Visitor], long_sample: str
) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=240) as http:
        assert len(http.get(long_sample).content) < 300_000
    page = visit().open(long_sample)
    expect(page.get_by_role("option")).to_have_count(LONG)
    rows = page.get_by_test_id("token-strip").locator("> *").count()
    assert rows == -(-LONG // 32), "one element per row of tokens, none per token"
    page.locator("#tok-1990").click()
    expect(page.locator(".card .head")).to_contain_text("token 1990 of 2000")
    page.get_by_test_id("view-table").click()
    expect(page.locator("[data-testid=result-table] tbody tr")).to_have_count(LONG - 33 * 60)
    page.get_by_test_id("table-back").click()
    expect(page.locator("[data-testid=result-table] tbody tr")).to_have_count(60)
