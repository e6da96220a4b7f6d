"""The speed of a training is one that its total time bears out."""

import pytest

from loupe.engine.sae.speed import WINDOW_S, Speed


def test_a_burst_of_reading_is_shared_by_the_steps_that_live_on_it() -> None:
    speed = Speed()
    assert speed.note(1000, 4.0) == 250
    assert speed.note(1000, 0.0) == 500
    assert speed.note(1000, 1.0) == 600


def test_only_the_last_window_counts() -> None:
    speed = Speed()
    for _ in range(10):
        speed.note(10, WINDOW_S / 2)
    speed.note(100_000, WINDOW_S / 2)
    assert speed.note(100_000, WINDOW_S / 2) == pytest.approx(200_000 / WINDOW_S)


def test_without_time_there_is_no_speed() -> None:
    assert Speed().note(10, 0.0) is None
