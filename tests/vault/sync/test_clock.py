"""Hybrid time: it only rises, stays near the clock, and does not believe the far future."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.sync import clock

NOW = 1_790_000_000_000
YEAR_9999_MS = 253_402_300_799_999
clocks = st.integers(-(10**16), 10**16)
times = st.integers(0, clock.LAST)


@given(st.lists(clocks, max_size=30))
def test_a_device_gives_rising_times_whatever_its_clock_does(nows: list[int]) -> None:
    last = 0
    for now_ms in nows:
        time = clock.tick(last, now_ms)
        assert last < time <= clock.LAST
        last = time


@given(st.integers(0, clock.LAST - 1), clocks)
def test_a_new_time_is_the_clocks_unless_a_later_one_is_known(last: int, now_ms: int) -> None:
    assert clock.tick(last, now_ms) in {clock.start_of(now_ms), last + 1}
    assert clock.tick(last, now_ms) >= clock.start_of(now_ms)


@given(times, times, clocks)
def test_a_time_after_one_that_was_taken_in_is_later(last: int, remote: int, now_ms: int) -> None:
    if clock.is_ahead(remote, now_ms):
        with pytest.raises(ValueError, match="parked"):
            clock.observe(last, remote, now_ms)
    else:
        known = clock.observe(last, remote, now_ms)
        assert known == max(last, remote)
        assert known == clock.LAST or clock.tick(known, now_ms) > remote


@given(st.lists(times, max_size=10))
def test_others_push_a_clock_ahead_by_a_day_at_most(remotes: list[int]) -> None:
    last = 0
    for remote in remotes:
        if not clock.is_ahead(remote, NOW):
            last = clock.observe(last, remote, NOW)
    assert clock.millis(clock.tick(last, NOW)) <= NOW + clock.AHEAD_MS + 1


def test_a_day_ahead_is_believed_and_a_millisecond_more_is_not() -> None:
    assert not clock.is_ahead(clock.start_of(NOW + clock.AHEAD_MS), NOW)
    assert clock.is_ahead(clock.start_of(NOW + clock.AHEAD_MS + 1), NOW)


@pytest.mark.parametrize("time", [clock.start_of(YEAR_9999_MS), clock.LAST, clock.LAST + 1, -1])
def test_the_year_9999_and_what_is_no_time_are_ahead(time: int) -> None:
    assert clock.is_ahead(time, NOW)


def test_what_is_ahead_is_taken_in_once_the_clock_has_come_near() -> None:
    time = clock.start_of(NOW + 30 * 60 * 60 * 1000)
    assert clock.is_ahead(time, NOW)
    assert not clock.is_ahead(time, NOW + 6 * 60 * 60 * 1000)


def test_many_changes_in_a_millisecond_run_on_into_the_next() -> None:
    last = clock.start_of(NOW) + 0xFFFF
    assert clock.tick(last, NOW) == clock.start_of(NOW + 1)


def test_a_clock_in_the_year_9999_still_ticks() -> None:
    time = clock.tick(0, YEAR_9999_MS)
    assert clock.millis(time) == YEAR_9999_MS
    assert clock.tick(time, YEAR_9999_MS) == time + 1


def test_there_is_no_time_after_the_last() -> None:
    with pytest.raises(OverflowError):
        clock.tick(clock.LAST, NOW)


@given(clocks)
def test_a_clock_out_of_range_gives_the_nearest_time(now_ms: int) -> None:
    assert 0 <= clock.start_of(now_ms) <= clock.LAST
    if 0 <= now_ms <= YEAR_9999_MS:
        assert clock.millis(clock.start_of(now_ms)) == now_ms
