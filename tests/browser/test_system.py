"""The levers of the System page do what they say, on real jobs; backups are made and checked; the bundle is silent."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Server, Visitor

SECRET = "Nobody but the owl knows where the lantern is hidden."
LONG = " ".join([SECRET] * 6)


def started(server: Server, name: str) -> str:
    """Begin an analysis that is not soon over; returns its id."""
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as http:
        answer = http.post("/api/v1/analyses", json={"text": LONG, "best_of": 32, "temperature": 1.0, "name": name})
    assert answer.status_code == 202, answer.text
    return answer.json()["data"]["id"]


def row(page: Page, name: str) -> Locator:
    """The row of the newest job of a name."""
    return page.get_by_test_id("job").filter(has_text=name).first


def test_a_job_is_held_goes_on_gets_another_priority_ends_and_is_tried_again(
    visit: Callable[..., Visitor], server: Server
) -> None:
    started(server, "the long one")
    page = visit().open("/system")
    job = row(page, "the long one")
    expect(job).to_have_attribute("data-state", "running")
    job.get_by_test_id("job-pause").click()
    expect(job).to_have_attribute("data-state", "paused")
    expect(job.get_by_test_id("job-pause")).to_have_count(0)
    job.get_by_test_id("job-resume").click()
    expect(job).to_have_attribute("data-state", "running")

    job.get_by_test_id("job-training").click()
    expect(job.get_by_test_id("job-training")).to_have_count(0)
    expect(job.get_by_test_id("job-interactive")).to_be_visible()

    job.get_by_test_id("job-cancel").click()
    expect(job).to_have_attribute("data-state", "cancelled")
    job.get_by_test_id("job-log").click()
    expect(page.get_by_test_id("job-log").last).to_contain_text("cancelled")
    page.get_by_role("button", name="Close").last.click()

    page.get_by_test_id("jobs-search").fill("the long one")
    expect(page.get_by_test_id("job")).to_have_count(1)
    job.get_by_test_id("job-retry").click()
    expect(page.get_by_test_id("job")).to_have_count(2)
    again = page.locator("[data-testid=job]:not([data-state=cancelled])")
    again.get_by_test_id("job-cancel").click()
    expect(again).to_have_count(0)


def test_a_backup_is_made_and_verified(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/system")
    expect(page.get_by_test_id("backups-empty")).to_be_visible()
    page.get_by_test_id("backup-now").click()
    expect(page.get_by_test_id("backup-verify")).to_have_count(1)
    page.get_by_test_id("backup-verify").click()
    for name in ("all records", "backup check"):
        page.get_by_test_id("jobs-search").fill(name)
        expect(page.get_by_test_id("job")).to_have_count(1)
        expect(page.get_by_test_id("job")).to_have_attribute("data-state", "done")


def test_the_bundle_holds_numbers_and_nobodys_words(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    page = visit().open("/system")
    with page.expect_download() as download:
        page.get_by_test_id("diagnostics").click()
    packed = Path(download.value.path()).read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as bundle:
        assert {"README.txt", "settings.json", "jobs.json", "log.json"} <= set(bundle.namelist())
        words = b"".join(bundle.read(name) for name in bundle.namelist()).decode()
    assert "lantern" not in words and "the long one" not in words and str(tmp_path.parent) not in words
