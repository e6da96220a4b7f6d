"""What the page of datasets shows of work that goes on, and of what was counted."""

from types import SimpleNamespace

from loupe.app.pages.dataset_statistics import statistics_html
from loupe.app.pages.ongoing import line_html
from loupe.engine.data.statistics import TextStatistics


def test_work_that_goes_on_is_shown_with_its_progress_and_an_end_and_its_name_is_inert() -> None:
    record = SimpleNamespace(name="<b>hills</b>")
    live = SimpleNamespace(
        id="j1", record=record, total=8, done=2, message="2 documents", state="running", seconds_left=6
    )
    told = line_html(live)  # type: ignore[arg-type]  # a job of few facts
    assert "&lt;b&gt;hills" in told and "<b>hills" not in told
    assert 'max="8" value="2"' in told and "about 6.0 s left" in told and 'data-id="j1"' in told


def test_lengths_are_shown_as_a_histogram_in_figures() -> None:
    counted = TextStatistics()
    for text in ("a", "abc", "abd", ""):
        counted.add(text) if text else counted.skip()
    told = statistics_html(counted.summary())
    assert "empty rows <b class=num>1</b>" in told
    assert "2 to 3" in told and "2 documents" in told
    assert statistics_html({}) == ""
