"""Curves as a page draws them: over steps, tokens and time, beside those of others, and while there are none."""

from types import SimpleNamespace

import pytest

from loupe.app.pages.training_charts import CHARTS, Curves, Look, heat, lines
from loupe.app.pages.training_curves import evaluated_every
from loupe.app.services import live_job
from loupe.app.services.live_job import LiveJob
from loupe.app.services.trainings import Trainings
from loupe.storage.rows import WorkState

LOSS = next(chart for chart in CHARTS if chart.id == "loss")
RECOVERED = next(chart for chart in CHARTS if chart.id == "recovered")


def curves(rows_per_step: int, *, began: float | None) -> Curves:
    steps = (10, 20, 40)
    measured: dict = {
        "loss": [(step, 1 / step) for step in steps], "tokens": [(step, step * rows_per_step) for step in steps]
    }  # fmt: skip
    if began is not None:
        measured["at"] = [(step, began + step * 2) for step in steps]
    told = Curves()
    held_out = {"sae": {"ce_recovered": [(30, 0.5)]}}
    assert told.take({"curves": {"sae": measured}, "held_out": held_out, "density": {}, "last_step": 40})
    return told


def across(chart, look: Look, own: Curves, **others: Curves) -> list[list[float]]:
    what, _, _ = lines(chart, own, others, look, "nothing yet")
    return [[x for x, _ in series["points"]] for series in what["series"]]


def test_each_training_is_drawn_over_its_own_tokens_whatever_its_batch() -> None:
    mine, other = curves(100, began=5.0), curves(300, began=900.0)
    assert across(LOSS, Look("tokens"), mine, other=other) == [[1000, 2000, 4000], [3000, 6000, 12000]]
    assert across(RECOVERED, Look("tokens"), mine) == [[3000]]  # between two points


def test_time_begins_with_the_first_point_of_each_training() -> None:
    mine, other = curves(100, began=5.0), curves(300, began=900.0)
    assert across(LOSS, Look("at"), mine, other=other) == [[0, 20, 60], [0, 20, 60]]


def test_a_chart_without_lines_says_why() -> None:
    what, _, _ = lines(LOSS, curves(100, began=None), {}, Look("at"), "nothing yet")
    assert (what["series"], what["empty"]) == ([], "nothing yet")
    assert lines(LOSS, Curves(), {}, Look(), "No point yet")[0]["empty"] == "No point yet"
    assert heat([])["empty"]


def test_the_step_of_the_first_evaluation_is_the_schema_s_unless_another_is_asked_for() -> None:
    options = Trainings.options()["training"]
    assert evaluated_every({"training": {}}, options) > 0
    assert evaluated_every({"training": {"evaluation_interval": 0}}, options) == 0


def test_time_left_counts_from_where_the_work_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(live_job, "time", SimpleNamespace(monotonic=lambda: clock.now))
    record = SimpleNamespace(id="j", priority=2, done=0, total=None, message="", checkpoint_id=None)
    live = LiveJob(record, None, lambda _: None, lambda *_: None)  # type: ignore[arg-type]  # a row of few columns
    live.state = WorkState.RUNNING
    live.report(0, 100, "reading the first rows")
    clock.now = 600.0
    live.report(0, 100, "training")
    assert live.seconds_left is None
    clock.now = 620.0
    live.report(10, 100, "training")
    live.report(10, 100, "evaluating")
    assert live.seconds_left == 180.0
