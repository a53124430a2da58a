"""When a backup is due: through both nights of summer time, sleeps, clocks that were set, and floods of changes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.schedule import (
    APART,
    HEARTBEAT,
    LARGE,
    LONGEST_WAIT,
    SKEW,
    Due,
    LocalZone,
    Pending,
    Schedule,
    change_due,
    described,
    due,
    jumped,
    nap,
    next_due,
    schedule_of,
)
from vault.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
SYDNEY = ZoneInfo("Australia/Sydney")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # half an hour of summer time
SANTIAGO = ZoneInfo("America/Santiago")  # summer time begins at midnight
APIA = ZoneInfo("Pacific/Apia")  # 30 December 2011 did not exist
NIGHT = schedule_of("daily", "02:30")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def utc(text: str) -> datetime:
    """Return the point in time, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def dues(schedule: Schedule, after: str, zone: tzinfo, count: int) -> list[str]:
    """Return the next due times as they read on the wall."""
    found, at = [], utc(after)
    for _ in range(count):
        at = next_due(schedule, at, zone) or pytest.fail("nothing is due")
        assert at.utcoffset() == timedelta()
        found.append(at.astimezone(zone).strftime("%m-%d %H:%M %z"))
    return found


# What a person may say


@pytest.mark.parametrize(
    ("word", "at", "schedule", "sentence"),
    [
        ("hourly", None, Schedule("hourly", "0 * * * *"), "every hour on the hour"),
        ("daily", None, Schedule("daily", "0 21 * * *", "21:00"), "every day at 21:00"),
        (" Daily ", "7:05", Schedule("daily", "5 7 * * *", "07:05"), "every day at 07:05"),
        ("weekly", "23:59", Schedule("weekly", "59 23 * * SUN", "23:59"), "every Sunday at 23:59"),
        ("30 2 * * 1-5", None, Schedule("cron", "30 2 * * 1-5"), "at 02:30 on Monday through Friday"),
        ("0  3 *\t* sun", None, Schedule("cron", "0 3 * * SUN"), "at 03:00 on Sunday"),
        ("off", None, Schedule(), "never by itself"),
    ],
)
def test_a_schedule_is_read_and_told_again(word: str, at: str | None, schedule: Schedule, sentence: str) -> None:
    assert schedule_of(word, at) == schedule
    assert described(schedule) == sentence


def test_changes_and_drives_are_told_too() -> None:
    assert described(schedule_of("daily", on_change=True)) == "every day at 21:00, also after changes"
    assert described(schedule_of("off", on_mount=True)) == "only when a known drive appears"
    both = "every hour on the hour, also after changes and when a known drive appears"
    assert described(schedule_of("hourly", on_change=True, on_mount=True)) == both


@pytest.mark.parametrize(
    "word",
    [
        *("", " ", "fortnightly", "@daily", "daily weekly", "every day", "0 21 * *", "0 0 21 * * *", "0 21 * * * 2026"),
        *("60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 32 * *", "0 0 * 13 *", "0 0 * 0 *", "0 0 * * 8"),
        *("-1 * * * *", "*/0 * * * *", "5-1 * * * *", "1,, * * * *", "a * * * *", "1.5 * * * *", "0x1 * * * *"),
        *("0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 */2", "0 0 * * MON#6", "0 0 * * ²L", "0 0 * * L", "? ? ? ? ?"),
        *("٠ * * * *", "0 0 * * *\x00", "\x1b[31m * * * *", "9" * 5000 + " * * * *", "*," * 200 + "* * * * *"),
    ],
)
def test_nonsense_is_a_usage_error_with_a_hint(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        schedule_of(word)
    assert caught.value.hint
    assert caught.value.message.isprintable() and len(caught.value.message) < 60


def test_days_that_never_come_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no day fits"):
        schedule_of("0 0 LW * */7")  # the last working day on a Sunday


@pytest.mark.parametrize("at", ["24:00", "12:60", "12", "9.30", "12:5", "-1:00", "", "noon", "12:00:00", "1٢:0٠"])
def test_a_time_that_is_none_is_a_usage_error(at: str) -> None:
    with pytest.raises(UsageError, match="time of day") as caught:
        schedule_of("daily", at)
    assert "21:00" in caught.value.hint


@pytest.mark.parametrize("word", ["hourly", "off", "30 2 * * *"])
def test_a_time_beside_a_schedule_that_has_its_own_is_a_usage_error(word: str) -> None:
    with pytest.raises(UsageError, match="only a daily or weekly"):
        schedule_of(word, "12:00")


fields = st.text("0123456789*/,-#LWSUNMOJA²", min_size=1, max_size=5)


@settings(max_examples=500)
@given(st.lists(fields, min_size=5, max_size=5).map(" ".join) | st.text())
def test_any_text_is_a_schedule_or_a_usage_error(word: str) -> None:
    try:
        schedule = schedule_of(word)
    except UsageError:
        return
    assert described(schedule)
    assert schedule.preset == "off" or next_due(schedule, NOW, BERLIN)


def test_a_schedule_survives_being_stored() -> None:
    schedule = schedule_of("30 2 * * 1-5", on_change=True)
    assert msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule) == schedule


# The nights of summer time


def test_a_time_that_spring_skips_comes_once_at_the_end_of_the_gap() -> None:
    found = dues(NIGHT, "2026-03-28T12:00+01:00", BERLIN, 3)
    assert found == ["03-29 03:00 +0200", "03-30 02:30 +0200", "03-31 02:30 +0200"]
    assert dues(NIGHT, "2026-03-29T01:00:00+00:00", BERLIN, 1) == ["03-30 02:30 +0200"]


def test_a_time_that_autumn_repeats_comes_once_at_its_first_passing() -> None:
    found = dues(NIGHT, "2026-10-24T12:00+02:00", BERLIN, 3)
    assert found == ["10-25 02:30 +0200", "10-26 02:30 +0100", "10-27 02:30 +0100"]


@pytest.mark.parametrize("after", ["02:30:00+02:00", "02:35+02:00", "02:10+01:00", "02:29:59.9+01:00", "02:35+01:00"])
def test_within_the_repeated_hour_it_is_over(after: str) -> None:
    assert dues(NIGHT, f"2026-10-25T{after}", BERLIN, 1) == ["10-26 02:30 +0100"]


def test_every_hour_is_every_real_hour() -> None:
    hourly = schedule_of("hourly")
    assert dues(hourly, "2026-03-29T00:30+01:00", BERLIN, 3) == [
        *("03-29 01:00 +0100", "03-29 03:00 +0200", "03-29 04:00 +0200"),
    ]
    assert dues(hourly, "2026-10-25T01:30+02:00", BERLIN, 3) == [
        *("10-25 02:00 +0200", "10-25 02:00 +0100", "10-25 03:00 +0100"),
    ]


def test_the_south_changes_the_other_way_round() -> None:
    assert dues(NIGHT, "2026-10-03T12:00+10:00", SYDNEY, 2) == ["10-04 03:00 +1100", "10-05 02:30 +1100"]
    assert dues(NIGHT, "2026-04-04T12:00+11:00", SYDNEY, 2) == ["04-05 02:30 +1100", "04-06 02:30 +1000"]
    assert dues(schedule_of("hourly"), "2026-04-05T01:30+11:00", SYDNEY, 3) == [
        *("04-05 02:00 +1100", "04-05 02:00 +1000", "04-05 03:00 +1000"),
    ]


def test_a_midnight_that_spring_skips_is_not_lost() -> None:
    found = dues(schedule_of("daily", "00:00"), "2026-09-05T12:00-04:00", SANTIAGO, 2)
    assert found == ["09-06 01:00 -0300", "09-07 00:00 -0300"]


def test_off_is_never_due() -> None:
    assert next_due(schedule_of("off", on_change=True), NOW, BERLIN) is None
    assert due(schedule_of("off"), None, NOW, BERLIN) == Due(False)
    assert due(schedule_of("off"), NOW - timedelta(days=99), NOW, BERLIN).is_due is False


@pytest.mark.parametrize("zone", [UTC, BERLIN, SANTIAGO])
@pytest.mark.parametrize("word", ["hourly", "daily", "weekly", "0 0 29 2 *"])
def test_the_end_of_the_calendar_is_no_crash(word: str, zone: tzinfo) -> None:
    assert next_due(schedule_of(word), datetime(9999, 12, 31, 23, 59, tzinfo=UTC), zone) is None


def first_minute(day: date, at: str, zone: tzinfo) -> datetime:
    """Return the first minute at which the wall shows that time of that day or a later one, by looking at each."""
    wanted = datetime.fromisoformat(f"{day}T{at}")
    minute = wanted.replace(tzinfo=UTC) - 15 * HOUR
    while minute.astimezone(zone).replace(tzinfo=None) < wanted:
        minute += MINUTE
    return minute


@pytest.mark.parametrize("zone", [BERLIN, SYDNEY, LORD_HOWE, SANTIAGO], ids=str)
@pytest.mark.parametrize("at", ["00:00", "01:45", "02:00", "02:15", "02:30", "03:00"])
def test_daily_is_once_a_day_in_every_month_that_changes_its_clocks(zone: tzinfo, at: str) -> None:
    for month in (3, 4, 9, 10):
        days = [date(2026, month, n) for n in range(1, 31)]
        schedule, found = schedule_of("daily", at), first_minute(days[0], at, zone)
        for day in days[1:]:
            found = next_due(schedule, found, zone) or pytest.fail("nothing is due")
            assert found == first_minute(day, at, zone)


# Catching up


CHANGES = [  # the nights of 2026 with a change, as their first midnight
    *((BERLIN, day) for day in ("2026-03-28", "2026-10-24")),
    *((SYDNEY, day) for day in ("2026-04-04", "2026-10-03")),
    *((LORD_HOWE, day) for day in ("2026-04-04", "2026-10-03")),
    *((SANTIAGO, day) for day in ("2026-04-04", "2026-09-05")),
]


@pytest.mark.parametrize(("zone", "day"), CHANGES, ids=str)
@pytest.mark.parametrize("word", ["5 */7", "45 *", "30 */2", "0 */3", "*/10 5", "*/20 1,2", "* 1"])
def test_an_expression_with_a_star_meets_every_minute_that_fits_as_they_pass(zone: tzinfo, day: str, word: str) -> None:
    def fits(at: datetime) -> bool:
        return all(
            of in range(60)[:: int(field[2:] or 1)] if field[0] == "*" else str(of) in field.split(",")
            for field, of in zip(word.split(), (at.minute, at.hour), strict=True)
        )

    start = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC)
    passing = [start + timedelta(minutes=number) for number in range(1, 3 * 24 * 60)]
    wanted = [one for one in passing if fits(one.astimezone(zone))]
    schedule = schedule_of(f"{word} * * *")
    for one in (start, *wanted[:-1], *(one for one in passing[::77] if one < wanted[-1])):
        assert next_due(schedule, one, zone) == next(due_at for due_at in wanted if due_at > one)


def test_three_days_of_sleep_are_caught_up_once() -> None:
    evening = schedule_of("daily", "21:00")
    slept, woken = utc("2026-11-20T21:00:03+01:00"), utc("2026-11-23T22:10+01:00")
    found = due(evening, slept, woken, BERLIN)
    assert found == Due(True, first_missed=utc("2026-11-21T21:00+01:00"), count_from=slept)
    assert not due(evening, woken, woken, BERLIN).is_due
    assert not due(evening, woken, woken + HOUR, BERLIN).is_due


def test_a_due_time_is_due_at_its_second_and_served_by_a_backup_begun_at_it() -> None:
    evening = schedule_of("daily", "21:00")
    at = utc("2026-11-23T21:00+01:00")
    assert not due(evening, at - HOUR, at - timedelta(microseconds=1), BERLIN).is_due
    assert due(evening, at - HOUR, at, BERLIN).is_due
    assert due(evening, at - timedelta(microseconds=1), at, BERLIN).is_due
    assert not due(evening, at, at + HOUR, BERLIN).is_due


def test_the_first_backup_is_due_at_once() -> None:
    assert due(schedule_of("weekly"), None, NOW, BERLIN) == Due(True)


def test_a_backup_before_the_gap_is_followed_by_one_after_it() -> None:
    before = utc("2026-03-29T01:59+01:00")
    assert due(NIGHT, before, before + MINUTE, BERLIN).is_due
    assert not due(NIGHT, before + MINUTE, before + 20 * HOUR, BERLIN).is_due


def test_a_clock_that_moved_back_is_said_and_counted_from() -> None:
    hourly = schedule_of("hourly")
    found = due(hourly, NOW + timedelta(days=400), NOW, BERLIN)
    assert found == Due(False, count_from=NOW, clock_moved_back=True)
    assert due(hourly, found.count_from, NOW + HOUR, BERLIN).is_due


def test_a_clock_set_back_a_little_serves_no_due_time_twice() -> None:
    at = utc("2026-11-23T21:00+01:00")
    found = due(schedule_of("daily", "21:00"), at, at - SKEW, BERLIN)
    assert found == Due(False, count_from=at)
    assert not due(schedule_of("daily", "21:00"), at, at, BERLIN).is_due


words = st.sampled_from(["hourly", "daily", "weekly", "*/15 * * * *", "30 2 * * *", "0 2,3 * * 6,7", "5 */7 * * *"])
zones = st.sampled_from([BERLIN, SYDNEY, LORD_HOWE, SANTIAGO, UTC])
starts = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)) | st.sampled_from(
    [utc(f"2026-{at}") for at in ("03-28T23:10Z", "10-24T22:10Z", "04-04T13:50Z", "10-03T14:10Z", "09-06T02:10Z")]
)  # hours before clocks change
naps = st.lists(
    st.timedeltas(timedelta(seconds=1), MINUTE)
    | st.timedeltas(timedelta(), 3 * HOUR)
    | st.timedeltas(timedelta(), timedelta(days=9)),
    max_size=30,
)


@settings(max_examples=300)
@given(words, zones, starts, naps)
def test_sleeping_and_waking_runs_once_for_what_was_missed(
    word: str, zone: tzinfo, start: datetime, gaps: list[timedelta]
) -> None:
    schedule, served, now = schedule_of(word), start, start
    runs: list[datetime] = []
    for gap in gaps:
        at = next_due(schedule, now, zone)
        now += gap
        is_due = due(schedule, served, now, zone).is_due
        assert is_due is (at is not None and at <= now)  # for what this sleep missed, and for nothing else
        if is_due:
            runs.append(now)
            served = now
    since = [start, *runs]
    answered = [next_due(schedule, one, zone) for one in since[: len(runs)]]
    assert len(set(answered)) == len(runs)
    for before, at, run in zip(since, answered, runs, strict=False):
        assert at is not None and before < at <= run


@settings(max_examples=200)
@given(words, zones, starts)
def test_due_times_are_what_a_heartbeat_would_meet(word: str, zone: tzinfo, start: datetime) -> None:
    """Awake all day, each due time is met within a heartbeat, and none twice."""
    schedule, served, now = schedule_of(word), start, start
    expected, at = [], next_due(schedule, start, zone)
    while at is not None and at <= start + 5 * HOUR:
        expected.append(at)
        at = next_due(schedule, at, zone)
    runs = []
    while now < start + 5 * HOUR:
        now = now + nap(now, next_due(schedule, served, zone))
        if due(schedule, served, now, zone).is_due:
            runs.append(now)
            served = now
    assert [run for run in runs if run <= start + 5 * HOUR] == expected


@given(words, zones, starts, st.lists(st.timedeltas(timedelta(days=-500), timedelta(days=500)), max_size=12))
def test_a_clock_that_jumps_about_never_stops_the_schedule(
    word: str, zone: tzinfo, start: datetime, jumps: list[timedelta]
) -> None:
    schedule, served, now = schedule_of(word), start, start
    for jump in jumps:
        now += jump
        found = due(schedule, served, now, zone)
        served = now if found.is_due else found.count_from or pytest.fail("nothing to count from")
        assert served <= now + SKEW
    assert due(schedule, served, now + timedelta(days=8), zone).is_due


# Changes


def at_once(*seconds: int) -> Pending:
    """Return the state after changes that many seconds after noon."""
    pending = Pending()
    for second in seconds:
        pending = pending.changed(NOW + timedelta(seconds=second))
    return pending


def wanted(pending: Pending, *, last_set: datetime | None = None, size: int = 1000) -> float | None:
    """Return the seconds after noon at which the changes want a set."""
    found = change_due(pending, last_set, size, NOW + HOUR)
    return None if found is None else (found - NOW).total_seconds()


def test_without_a_change_nothing_is_wanted() -> None:
    assert wanted(Pending()) is None
    assert wanted(at_once(5).backed_up(NOW + MINUTE)) is None


def test_changes_wait_for_a_quiet_minute_but_not_for_ever() -> None:
    assert wanted(at_once(0)) == 60
    assert wanted(at_once(0, 50, 100)) == 160
    assert wanted(at_once(*range(0, 3000, 10))) == LONGEST_WAIT.total_seconds()


def test_sets_for_changes_are_ten_minutes_apart_and_an_hour_when_large() -> None:
    last = NOW - 5 * MINUTE
    assert wanted(at_once(0), last_set=last) == 5 * 60
    assert wanted(at_once(0), last_set=last, size=LARGE) == 5 * 60
    assert wanted(at_once(0), last_set=last, size=LARGE + 1) == 55 * 60
    assert wanted(at_once(0), last_set=NOW - HOUR, size=LARGE + 1) == 60


def test_a_change_during_the_backup_stays_pending() -> None:
    begun = NOW + 10 * MINUTE
    pending = at_once(0, 605).backed_up(begun)
    assert pending == Pending(begun, NOW + timedelta(seconds=605))
    assert wanted(pending, last_set=begun) == (10 + 10) * 60
    assert at_once(0, 600).backed_up(begun).last == begun


def test_a_clock_set_back_holds_no_change_up() -> None:
    past = NOW - timedelta(days=300)
    assert change_due(at_once(0), None, 0, past) == past
    assert change_due(at_once(0).changed(past), None, 0, past) == past + MINUTE
    assert change_due(Pending().changed(past), NOW, 0, past) == past + MINUTE
    endless = at_once(0)
    for n in range(100):
        endless = endless.changed(past + n * timedelta(seconds=10))
    assert change_due(endless, None, 0, past + HOUR) == past + LONGEST_WAIT


@given(st.lists(st.integers(0, 900), max_size=60), st.sampled_from([1000, LARGE + 1]))
def test_a_stream_of_changes_is_all_saved_in_sets_well_apart(gaps: list[int], size: int) -> None:
    """Every change is in a set, soon enough, and there are never two sets within the limit."""
    changes, at = [], 0
    for gap in gaps:
        at += gap
        changes.append(NOW + timedelta(seconds=at))
    pending, sets, saved = Pending(), [], 0
    for second in range(0, at + 2 * 3600, 20):
        now = NOW + timedelta(seconds=second)
        for change in changes[saved:]:
            if now - timedelta(seconds=20) < change <= now:
                pending = pending.changed(change)
        wish = change_due(pending, sets[-1] if sets else None, size, now)
        if wish is not None and wish <= now:
            sets.append(now)
            pending = pending.backed_up(now)
    apart = HOUR if size > LARGE else APART
    assert all(later - sooner >= apart for sooner, later in pairwise(sets))
    for change in changes:
        assert any(change <= one <= change + apart + LONGEST_WAIT for one in sets)
    assert bool(sets) is bool(changes)


# Waiting


def test_nobody_sleeps_longer_than_a_heartbeat_or_past_a_due_time() -> None:
    assert nap(NOW) == nap(NOW, None, NOW + HOUR) == HEARTBEAT
    assert nap(NOW, NOW + HOUR, NOW + timedelta(seconds=7), None) == timedelta(seconds=7)
    assert nap(NOW, NOW - HOUR) == timedelta()


def test_a_sleep_and_a_clock_that_was_set_are_noticed() -> None:
    assert jumped(NOW, NOW + HOUR, 100.0, 3700.0) == timedelta()
    assert jumped(NOW, NOW + 3 * HOUR, 100.0, 3700.0) == 2 * HOUR
    assert jumped(NOW, NOW - HOUR, 5.5, 65.5) == -HOUR - MINUTE


# The zone of this machine


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalZone]:
    if not hasattr(time, "tzset"):
        pytest.skip("this system has no zone of a process")
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield LocalZone()
    monkeypatch.delenv("TZ") if before is None else monkeypatch.setenv("TZ", before)
    time.tzset()


def test_the_local_zone_knows_its_summer_time(in_berlin: LocalZone) -> None:
    for hours in range(365 * 24):
        at = datetime(2026, 1, 1, tzinfo=UTC) + hours * HOUR
        here, there = at.astimezone(in_berlin), at.astimezone(BERLIN)
        assert (here.replace(tzinfo=None), here.fold, here.utcoffset()) == (
            *(there.replace(tzinfo=None), there.fold),
            there.utcoffset(),
        )
        assert here.astimezone(UTC) == at


def test_the_local_zone_schedules_both_nights(in_berlin: LocalZone) -> None:
    assert dues(NIGHT, "2026-03-28T12:00+01:00", in_berlin, 2) == ["03-29 03:00 +0200", "03-30 02:30 +0200"]
    assert dues(NIGHT, "2026-10-24T12:00+02:00", in_berlin, 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]
    assert datetime(2026, 7, 1, tzinfo=in_berlin).tzname() == "CEST"


def test_a_day_that_a_zone_left_out_is_caught_up_the_next_morning() -> None:
    found = dues(schedule_of("daily", "21:00"), "2011-12-29T12:00-10:00", APIA, 3)
    assert found == ["12-29 21:00 -1000", "12-31 00:00 +1400", "12-31 21:00 +1400"]
