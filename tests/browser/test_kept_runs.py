"""Kept runs in a browser: found, renamed, deleted and brought back, compared, imported, taken along as one file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect

from tests.app.hostile import HOSTILE
from tests.app.sample import sample_run
from tests.browser.conftest import READY, Server

Visit = Callable[..., Any]


def bring_in(server: Server, name: str, change: Callable[[list[dict[str, Any]]], None] = lambda rows: None) -> str:
    """Import the written sample under a name; returns the id of the run."""
    run = sample_run()
    change(run["data"])
    document = {"format": "loupe-run", "version": 1, "run": {"name": name, "text": name, "model": "starter"}, **run}
    with httpx.Client(base_url=server.url, trust_env=False, timeout=120) as http:
        answer = http.post("/api/v1/runs/import", content=json.dumps(document).encode())
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["ids"][0]


def other_words(rows: list[dict[str, Any]]) -> None:
    rows[5]["explanation"] = "Quiet story about something found.\nThe sentence ends in joy."
    rows[5]["fve_nrm"] = 0.2


def unhurt(page: Page) -> None:
    assert page.evaluate("window.hurt") is None


def test_a_run_is_found_renamed_deleted_brought_back_and_compared(server: Server, visit: Visit) -> None:
    first, second = bring_in(server, "Lighthouse keeper"), bring_in(server, "Lighthouse keeper, again", other_words)
    page: Page = visit().open("/history?search=lighthouse")
    expect(page.get_by_test_id("history-row")).to_have_count(2)
    row = page.locator(f'[data-run="{first}"]')
    row.get_by_test_id("row-rename").click()
    page.get_by_test_id("new-name").fill("Lamp keeper")
    page.get_by_test_id("rename-go").click()
    expect(row).to_contain_text("Lamp keeper")
    page.get_by_test_id("history-search").fill("lamp")
    expect(page.get_by_test_id("history-row")).to_have_count(1)
    page.get_by_test_id("history-search").fill("keeper")
    expect(page.get_by_test_id("history-row")).to_have_count(2)
    row.get_by_test_id("row-delete").click()
    page.get_by_test_id("delete-go").click()
    expect(row).to_have_count(0)
    page.get_by_test_id("undo").click()
    expect(row).to_have_count(1)
    assert "search=keeper" in page.url
    row.get_by_test_id("pick").click()
    expect(page.get_by_test_id("history-said")).to_contain_text("Choose a second run")
    page.locator(f'[data-run="{second}"]').get_by_test_id("pick").click()
    page.wait_for_url("**/compare?**")
    page.wait_for_function(READY)
    expect(page.get_by_test_id("verdict")).to_contain_text("The results differ")
    expect(page.get_by_test_id("difference")).to_have_count(1)
    expect(page.get_by_test_id("place")).to_contain_text("found")
    page.get_by_test_id("strip-b").locator('[data-i="2"]').click()
    expect(page.get_by_test_id("place")).to_have_attribute("data-kind", "equal")
    expect(page.get_by_test_id("strip-a").locator(".locked")).to_have_attribute("data-i", "2")
    assert "position=2" in page.url
    page.keyboard.press("ArrowRight")
    expect(page.get_by_test_id("strip-a").locator(".locked")).to_have_attribute("data-i", "3")


def test_a_refused_file_names_its_lines_and_a_good_one_opens(server: Server, visit: Visit, tmp_path: Path) -> None:
    page: Page = visit().open("/history")
    bad, good = tmp_path / "bad.jsonl", tmp_path / "good.json"
    bad.write_text('{"position": "x"}\n{"position": 1,\n')
    good.write_text(json.dumps(sample_run()))
    page.get_by_test_id("import-file").set_input_files(bad)
    expect(page.get_by_test_id("import-lines").locator("li")).to_have_count(2)
    expect(page.get_by_test_id("error-panel")).to_contain_text("Nothing was imported")
    page.get_by_test_id("import-file").set_input_files(good)
    page.wait_for_url("**/runs/*")
    page.wait_for_function(READY)
    expect(page.locator("#tok-6")).to_contain_text("lost")


def hostile(rows: list[dict[str, Any]]) -> None:
    for row, bad in zip(rows, HOSTILE, strict=False):
        row["token"] = bad
        row["explanation"] = bad + "\n" + "\n".join(HOSTILE)
        row["salience"] = [{"unit": bad, "value": 0.1}]
        row["flags"] = [bad]
        for rollout in row["rollouts"]:
            rollout["text"] = bad


def test_whatever_a_run_holds_is_inert_on_every_page(server: Server, visit: Visit) -> None:
    name = " ".join(each for each in HOSTILE if each.strip())[:190]
    a, b = bring_in(server, name, hostile), bring_in(server, name)
    visitor = visit()
    for path in ("/history", f"/compare?a={a}&b={b}", f"/runs/{a}?position=3"):
        page = visitor.open(path)
        page.wait_for_timeout(0)
        unhurt(page)
        assert page.locator("script:text('hurt'), img[src='x'], svg[onload]").count() == 0
        assert "\u202e" not in page.title()
    c = bring_in(server, "evil\u202egnp.exe <script>window.hurt = 1</script>")
    page = visitor.open("/history")
    shown = page.locator(f'[data-run="{c}"] .name').inner_text()
    assert "<script>" in shown and "\u202e" not in shown and "U+202E" in shown
    unhurt(page)


def test_the_file_of_a_run_opens_offline_asks_nobody_and_reads_like_the_app(
    server: Server, browser: Browser, tmp_path: Path
) -> None:
    id = bring_in(server, "</title><script>window.hurt=1</script>", hostile)
    with httpx.Client(base_url=server.url, trust_env=False, timeout=120) as http:
        answer = http.get(f"/api/v1/runs/{id}/export", params={"format": "html"})
    file = tmp_path / "run.html"
    file.write_bytes(answer.content)
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 800}, color_scheme="light")
    page, told, asked = context.new_page(), [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri() + "#position=4")
    page.wait_for_function(READY)
    expect(page.locator(".tok.locked")).to_have_attribute("data-i", "4")
    expect(page.locator("aside .card")).to_have_attribute("data-position", "4")
    expect(page.locator("body")).to_have_class("loupe body--light")
    page.locator(".theme").click()
    expect(page.locator("body")).to_have_class("loupe body--dark")
    page.locator(".strip").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("aside .card")).to_have_attribute("data-position", "5")
    assert page.evaluate("getComputedStyle(document.querySelector('.strip')).fontFamily").startswith('"Source Serif"')
    unhurt(page)
    assert page.locator("aside button").count() == 0
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert told == []
    context.close()
