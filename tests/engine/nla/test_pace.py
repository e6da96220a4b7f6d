"""Sizes of work follow the measured rate."""

from __future__ import annotations

from loupe.engine.nla.pace import Pace


def test_slow_work_shrinks_to_fit_and_never_below_the_least():
    pace = Pace(0.1, first=64, least=8)
    pace.observe(64, 0.4)
    assert pace.size() == 12
    pace.observe(12, 10.0)
    assert pace.size() == 8


def test_fast_work_grows_fourfold_at_a_time_up_to_the_most():
    pace = Pace(0.1, first=16, most=100)
    pace.observe(16, 1e-6)
    assert pace.size() == 64
    pace.observe(64, 1e-6)
    assert pace.size() == 100


def test_a_short_last_piece_does_not_slow_the_next():
    pace = Pace(0.1, first=64, most=256)
    pace.observe(2, 0.0001)
    assert pace.size() == 256
    pace.observe(0, 1.0)
    assert pace.size() == 256
