"""The markup of the System page: names, messages and logs are inert, and a number that is not known is not shown."""

from datetime import UTC, datetime
from typing import Any

from loupe.app.pages import system_numbers as numbers
from loupe.app.pages.system_jobs import log_html, table_html
from loupe.app.services.latency import Latency
from loupe.storage.records import Page
from loupe.storage.repos.logs import LogLine

EVIL = '<img src=x onerror="alert(1)">\u202e'


def job(**changes: Any) -> dict[str, Any]:
    usual = {"id": "0ab1", "kind": "analysis", "name": "a fox", "state": "running", "priority": "batch", "done": 3}
    return usual | {"actions": ["pause", "cancel", "priority"]} | changes


def drawn(**changes: Any) -> str:
    return table_html(Page((job(**changes),), 1, 1, 20))


def test_what_people_and_models_wrote_is_inert() -> None:
    shown = drawn(name=EVIL, author=EVIL, message=EVIL, run_id="r", error={"code": "x", "message": EVIL})
    shown += log_html([LogLine(datetime.now(UTC), "info", EVIL)])
    assert "<img" not in shown and "\u202e" not in shown and "&lt;img" in shown


def test_only_the_possible_levers_are_offered() -> None:
    shown = drawn()
    for lever in ("pause", "cancel", "interactive", "training", "log"):
        assert f'data-act="{lever}"' in shown, lever
    for lever in ("resume", "retry", "batch"):
        assert f'data-act="{lever}"' not in shown, lever
    ended = drawn(state="failed", actions=["retry"])
    assert 'data-act="retry"' in ended and 'data-act="cancel"' not in ended


def test_a_list_without_jobs_and_a_search_without_a_hit_say_so_in_other_words() -> None:
    nothing: Page[dict[str, Any]] = Page((), 0, 1, 20)
    assert "No job yet" in table_html(nothing) and "No job fits" in table_html(nothing, is_filtered=True)


def test_a_total_that_is_not_known_draws_no_bar() -> None:
    assert "<progress" not in drawn() and "<progress" in drawn(total=7, seconds_left=12.0)
    assert "12 s left" in drawn(total=7, seconds_left=12.0)


def test_a_latency_above_its_target_says_so() -> None:
    slow = Latency("API answer", 10, 2.0, 0.05, 0.4, 0.9, 0.1)
    fast = Latency("API answer", 10, 2.0, 0.05, 0.09, 0.9, 0.1)
    assert "above target" in numbers.latency_html([slow]) and "above target" not in numbers.latency_html([fast])


def test_settings_that_somebody_set_come_first() -> None:
    rows = [
        {"name": "LOUPE_PORT", "value": 8000, "source": "default", "about": "Port."},
        {"name": "LOUPE_HOST", "value": EVIL, "source": "environment", "about": "Host."},
    ]
    shown = numbers.settings_html(rows)
    assert shown.index("LOUPE_HOST") < shown.index("LOUPE_PORT") and "<img" not in shown


def test_a_line_of_the_past_stays_inside_its_box() -> None:
    assert numbers.line_svg([1.0]) == ""
    points = numbers.line_svg([0, 50, 200], 100).split('points="')[1].split('"')[0].split()
    assert points == ["0.0,44.0", "120.0,22.0", "240.0,0.0"]
