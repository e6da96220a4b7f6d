"""A file goes from the browser to the server in pieces, over a line that fails, and becomes a dataset."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Visitor

ROWS = "".join(f'{{"text": "The fox ran over hill number {n}."}}\n' for n in range(4000))


def chosen(page: Page, tmp_path: Path) -> Path:
    """The page with small pieces, and a file that needs several of them."""
    file = tmp_path / "hills.jsonl"
    file.write_text(ROWS)
    page.evaluate("() => { loupe.upload.piece = 50000; loupe.upload.smallest = 20000; }")
    return file


def offset_of(route: Route) -> str:
    """Where the piece of a request begins."""
    return route.request.url.split("offset=")[1].split("&")[0]


def test_a_file_arrives_over_a_line_that_fails_and_becomes_a_dataset(
    visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    visitor = visit()
    page = visitor.open("/training/datasets")
    file = chosen(page, tmp_path)
    offsets: list[str] = []

    def fail_twice(route: Route) -> None:
        offsets.append(offset_of(route))
        if len(offsets) == 2:
            route.abort()
        elif len(offsets) == 4:
            route.fulfill(status=524, body="<html>a proxy</html>")
        else:
            route.continue_()

    visitor.context.route("**/api/v1/uploads/*offset=*", fail_twice)
    page.get_by_test_id("dataset-file").set_input_files(file)
    expect(page.get_by_test_id("dataset-title")).to_have_text("hills.jsonl")
    expect(page.get_by_test_id("dataset-sent")).to_be_hidden()
    assert offsets[:5] == ["0", "50000", "50000", "75000", "75000"], "after a failure pieces are smaller"
    expect(page.get_by_test_id("document").first).to_contain_text("hill number 0")
    visitor.complaints = [said for said in visitor.complaints if "Failed to load resource" not in said]  # the two


def test_a_stopped_upload_goes_on_where_it_was(visit: Callable[..., Visitor], tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.open("/training/datasets")
    file = chosen(page, tmp_path)
    offsets: list[str] = []

    def hold(route: Route) -> None:
        offsets.append(offset_of(route))
        if len(offsets) != 2:  # the second one never comes to an end
            route.continue_()

    visitor.context.route("**/api/v1/uploads/*offset=*", hold)
    page.get_by_test_id("dataset-file").set_input_files(file)
    page.wait_for_function("() => document.querySelector('[data-testid=dataset-sent]').value === 50000")
    page.get_by_test_id("dataset-stop").click()
    expect(page.get_by_test_id("dataset-problem")).to_contain_text("go on")
    page.get_by_test_id("dataset-file").set_input_files(file)
    expect(page.get_by_test_id("dataset-title")).to_have_text("hills.jsonl")
    assert offsets[:3] == ["0", "50000", "50000"]
