"""The first page as people meet it: a sample that can be read at once, and one's own text live."""

import json
import re
import subprocess
import sys
from collections.abc import Callable

import httpx
from playwright.sync_api import expect

from tests.app.sample import WORDS
from tests.browser.conftest import Server, Visitor


def test_the_first_page_shows_a_sample_with_an_explanation(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    expect(page.get_by_test_id("run-kind")).to_contain_text("Sample run")
    expect(page.get_by_test_id("run-title")).to_have_text("The lost lantern")
    expect(page.get_by_role("option")).to_have_count(len(WORDS))
    expect(page.get_by_test_id("explanation")).to_contain_text("Quiet story")
    expect(page.get_by_test_id("facts")).to_contain_text("1 unreliable left out")
    assert page.locator("html").get_attribute("lang") == "en-US"
    assert page.get_by_test_id("token-strip").locator("> div").count() == 1, "one element per row of tokens"


def test_pointing_previews_and_clicking_keeps(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    head = page.locator(".card .head")
    page.locator("#tok-5").hover()
    expect(head).to_contain_text("token 5 of")
    page.locator("#tok-8").click()
    expect(head).to_contain_text("kept")
    page.locator("#tok-2").hover()
    expect(head).to_contain_text("token 8 of")
    expect(page).to_have_url(re.compile(r"position=8"))
    page.locator("#tok-8").click()
    expect(page.locator(".tok.locked")).to_have_count(0)
    page.locator("#tok-2").hover()
    expect(head).to_contain_text("token 2 of")


def test_the_keys_walk_and_let_go(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/?position=5")
    strip, locked = page.get_by_test_id("token-strip"), page.locator(".tok.locked")
    expect(locked).to_have_attribute("id", "tok-5")
    strip.focus()
    for key, expected in [("ArrowRight", 6), ("ArrowLeft", 5), ("Home", 0), ("End", len(WORDS) - 2), ("ArrowUp", None)]:
        page.keyboard.press(key)
        if expected is not None:
            expect(locked).to_have_attribute("id", f"tok-{expected}")
            expect(strip).to_have_attribute("aria-activedescendant", f"tok-{expected}")
    page.keyboard.press("Escape")
    expect(locked).to_have_count(0)


def test_states_differ_in_shape_and_not_by_colour_alone(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    line = "e => getComputedStyle(e).textDecorationStyle"
    assert page.locator("#tok-1").evaluate(line) == "solid"
    assert page.locator("#tok-4").evaluate(line) == "wavy"
    assert "doubtful" in (page.locator("#tok-4").get_attribute("aria-label") or "")
    assert page.locator(f"#tok-{len(WORDS) - 1}").get_attribute("class") == "tok skipped"


def test_token_text_is_never_markup(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    expect(page.locator("#tok-12")).to_have_text(" <b>looked</b>")
    assert page.locator("#tok-12 b").count() == 0


def test_a_link_to_a_position_opens_it(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/samples/01-the-lost-lantern?position=3")
    expect(page.locator(".tok.locked")).to_have_attribute("id", "tok-3")


def test_the_theme_is_remembered(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.open()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 23, 42)"
    page.get_by_test_id("theme").click()
    expect(page.locator("body")).to_have_class(re.compile("body--light"))
    again = visitor.open()
    expect(again.locator("body")).to_have_class(re.compile("body--light"))


def test_ones_own_text_streams_in_and_is_kept(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.open()
    page.get_by_test_id("text").fill("The fox ran home.\nShe slept.")
    page.get_by_test_id("explain").click()
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f]{20}$"))
    expect(page.locator("[role=option]:is(.done, .doubtful)").first).to_be_visible()
    expect(page.get_by_test_id("said")).to_contain_text("Done in")
    expect(page.get_by_test_id("explain")).to_be_enabled()
    expect(page.locator("[role=option]:is(.waiting, .making)")).to_have_count(0)
    tokens = page.get_by_role("option").count()
    other = visit().open(page.url.removeprefix(visitor.server.url))
    expect(other.get_by_test_id("run-kind")).to_have_text("Saved run")
    expect(other.get_by_role("option")).to_have_count(tokens)
    other.locator("#tok-2").click()
    expect(other.get_by_test_id("scores").locator("[data-score=cosine]")).to_have_text(re.compile(r"^[−0-9.]+$"))


def test_a_running_analysis_is_cancelled_and_survives_a_reload(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.open()
    page.get_by_test_id("text").fill("The fox ran home and slept. " * 28)
    page.get_by_test_id("text").press("Control+Enter")
    expect(page.get_by_test_id("cancel")).to_be_visible()
    expect(page.locator(".tok").nth(100)).to_be_visible()
    page.reload()
    expect(page.get_by_test_id("cancel")).to_be_visible()
    page.get_by_test_id("cancel").click()
    expect(page.get_by_test_id("said")).to_contain_text("Cancelled")
    expect(page.get_by_test_id("run-kind")).to_contain_text("Cancelled")
    expect(page.get_by_test_id("state-partial")).to_contain_text("positions explained")
    expect(page.locator("[role=option].failed").first).to_be_visible()
    expect(page.get_by_test_id("cancel")).to_be_hidden()


def test_an_empty_or_impossible_request_says_why(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    page.get_by_test_id("text").fill("   ")
    page.get_by_test_id("explain").click()
    expect(page.get_by_test_id("box-problem")).to_contain_text("The text is empty")
    lost = visit().open("/runs/00000000000000000000")
    expect(lost.get_by_test_id("problem")).to_contain_text("There is no run")


def test_the_page_fits_a_phone(visit: Callable[..., Visitor]) -> None:
    page = visit(390, 844).open()
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], "the page scrolls sideways"


def test_a_hostile_host_or_origin_gets_nothing(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        assert http.get("/", headers={"Host": "evil.example"}).status_code == 403
        assert http.post("/api/v1/analyses", json={}, headers={"Origin": "https://evil.example"}).status_code == 403
        page = http.get("/")
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"] and len(page.content) < 300_000


def test_an_address_that_is_no_page_leads_on_and_repeats_nothing_as_markup(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        answer = http.get("/nowhere/<img src=x>", headers={"accept": "text/html"})
        told = http.get("/nowhere", headers={"accept": "application/json"})
    assert answer.status_code == told.status_code == 404 and told.json()["error"]["code"] == "not_found"
    assert "There is no such page" in answer.text and "nav-library" in answer.text and "<img src=x>" not in answer.text


def test_the_event_stream_tells_of_an_analysis(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=240) as http:
        after = http.get("/api/v1/health").status_code and 0
        body = {"text": "A fox.", "max_new_tokens": 4}
        id = http.post("/api/v1/analyses", json=body).json()["data"]["id"]
        names = []
        with http.stream("GET", "/api/v1/events", params={"topics": "analysis", "after": after}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:") and id in line:
                    names.append(json.loads(line[5:])["name"])
                    if names[-1] == "done":
                        break
    assert names[0] == "queued" and "position" in names


def test_commands_go_through_the_server_that_holds_the_data(server: Server) -> None:
    def loupe(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "loupe.app.cli", *arguments]
        return subprocess.run(command, env=server.env, capture_output=True, timeout=240, check=False)

    done = loupe("analyze", "The fox ran.", "--max-new-tokens", "4", "--name", "from the shell", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["data"][0]["token"].strip() == "The"
    listed = json.loads(loupe("runs", "list", "--search", "shell", "--json").stdout)
    assert listed["data"][0]["name"] == "from the shell"
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        seen = http.get(f"/api/v1/runs/{listed['data'][0]['id']}").json()["data"]
    assert seen["state"] == "done", "the server did not make this run"
    refused = loupe("analyze", "", "--json")
    assert refused.returncode == 2 and json.loads(refused.stdout)["error"]["code"] == "empty_text"


def test_a_second_server_on_the_same_data_is_refused(server: Server) -> None:
    command = [sys.executable, "-m", "loupe.app.cli", "serve", "--port", "0"]
    second = subprocess.run(command, env=server.env, capture_output=True, timeout=240, check=False)
    assert second.returncode == 4 and b"Traceback" not in second.stderr, second.stderr.decode()[-2000:]
