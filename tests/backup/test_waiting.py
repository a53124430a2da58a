"""What failed is left alone for longer each time; a sync comes soon after a change, however many there are."""

from __future__ import annotations

from backup.waiting import Pace, Patience


def test_a_failure_waits_twice_as_long_each_time() -> None:
    patience, now, waits = Patience(), 0.0, []
    for _ in range(9):
        patience.failed("x", now)
        waits.append(patience.left(now) / 60)
        now += waits[-1] * 60
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_failure_is_told_once_until_it_is_another_or_over() -> None:
    patience = Patience()
    assert [patience.failed(text, 0.0) for text in ("x", "x", "y", "y")] == [True, False, True, False]
    assert [patience.succeeded(), patience.succeeded()] == [True, False]
    assert patience.left(0.0) == 0
    assert patience.failed("y", 0.0)


def test_a_sync_comes_ten_seconds_after_the_last_change_or_a_minute_after_the_first() -> None:
    pace = Pace(0.0)
    pace.succeeded(0.0)
    assert pace.left(0.0) == 300
    for now in range(100, 160, 5):
        pace.changed(now)
        assert now + pace.left(now) == min(now + 10, 160)
    pace.succeeded(160.0)
    assert pace.left(160.0) == 300


def test_a_sync_that_failed_waits_unless_something_new_is_at_hand() -> None:
    pace = Pace(0.0)
    assert pace.failed("offline", 0.0)
    pace.changed(1.0)
    assert pace.left(1.0) == 59
    pace.hurry(1.0)
    assert pace.left(1.0) == 0
