"""What may go from a target, and what never does whoever writes there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup.retention import (
    SKEW,
    ClockWatch,
    Held,
    Policy,
    clock_is_trusted,
    look,
    plan,
    prunable,
    untimely,
)

POLICY = Policy()
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def held(
    counter: int,
    made_at: datetime | timedelta,
    *,
    device: str = "laptop",
    verified: bool = True,
    id: str = "",
) -> Held:
    """Return a set of the device; a timedelta is its age."""
    made = NOW - made_at if isinstance(made_at, timedelta) else made_at
    return Held(id or f"{device}-{counter}", device, counter, made, verified)


def in_order(times: Sequence[datetime], device: str = "laptop") -> list[Held]:
    """Return verified sets of one device with such a history."""
    return [held(n, made, device=device) for n, made in enumerate(sorted(times))]


def remaining(sets: Sequence[Held], now: datetime = NOW) -> list[Held]:
    """Return what one whole pass leaves."""
    gone = set(prunable(sets, POLICY, now))
    return [one for one in sets if one.id not in gone]


def ids(sets: Sequence[Held]) -> set[str]:
    """Return the ids of the sets."""
    return {one.id for one in sets}


def monday(day: date) -> date:
    """Return the first day of the ISO week."""
    year, week, _ = day.isocalendar()
    return date.fromisocalendar(year, week, 1)


ages = st.one_of(
    st.timedeltas(timedelta(), 2 * DAY),
    st.timedeltas(timedelta(), 40 * DAY),
    st.timedeltas(timedelta(), 1200 * DAY),
    st.integers(0, 800).map(lambda days: days * DAY),  # exactly on the limits
    st.timedeltas(-3 * DAY, timedelta()),  # dated in the future
)
histories = st.lists(ages, max_size=40).map(lambda found: in_order([NOW - age for age in found]))


@st.composite
def messy(draw: st.DrawFn, devices: Sequence[str] = ("laptop", "phone", ""), *, own_ids: bool = False) -> list[Held]:
    """Return sets as a target may hold them: several devices, wrong clocks, counters and ids used twice, damage."""
    return [
        Held(
            f"{one:x}", draw(st.sampled_from(devices)), draw(st.integers(0, 30)), NOW - draw(ages), draw(st.booleans())
        )
        for one in draw(st.lists(st.integers(0, 200), max_size=40, unique=own_ids))
    ]


# The policy, case by case


def test_everything_of_the_last_24_hours_stays() -> None:
    sets = in_order([NOW - n * timedelta(minutes=10) for n in range(24 * 6 + 1)])
    assert prunable(sets, POLICY, NOW) == ()


def test_the_newest_of_an_older_day_stays_alone() -> None:
    day = datetime(2026, 11, 20, tzinfo=UTC)
    sets = in_order([day + n * HOUR for n in range(24)])
    assert ids(remaining(sets)) == {"laptop-23"}


def test_a_day_is_one_of_utc_wherever_the_set_was_made() -> None:
    east = datetime.fromisoformat("2026-11-20T01:00:00+02:00")  # 19 November, 23:00 in UTC
    sets = [held(1, datetime(2026, 11, 19, 22, tzinfo=UTC)), held(2, east), held(3, east + 2 * HOUR)]
    assert prunable(sets, POLICY, NOW) == ("laptop-1",)


def test_daily_sets_stay_thirty_days_and_then_one_a_week() -> None:
    sets = in_order([datetime(2026, 10, 1, 12, tzinfo=UTC) + n * DAY for n in range(54)])
    days = [one.made_at.date() for one in remaining(sets)]
    assert days == [
        *(date(2026, 10, n) for n in (4, 11, 18)),  # Sundays
        *(date(2026, 10, n) for n in range(24, 32)),  # thirty days before 23 November is 24 October
        *(date(2026, 11, n) for n in range(1, 24)),
    ]


def test_weekly_sets_stay_a_year_and_then_one_a_month() -> None:
    sets = in_order([datetime(2025, 9, 7, 12, tzinfo=UTC) + n * 7 * DAY for n in range(63)])  # Sundays
    kept = [one.made_at.date() for one in remaining(sets)]
    assert kept[:3] == [date(2025, 9, 28), date(2025, 10, 26), date(2025, 11, 23)]
    assert all(later - sooner == 7 * DAY for sooner, later in pairwise(kept[2:]))


def test_a_month_keeps_its_newest_for_ever() -> None:
    sets = in_order([datetime(1999, 5, day, tzinfo=UTC) for day in (3, 31)])
    assert prunable(sets, POLICY, NOW) == ("laptop-0",)


def test_another_policy_is_followed() -> None:
    sets = in_order([NOW - n * HOUR for n in range(72)])
    assert len(remaining(sets)) == 25 + 2  # noon to noon, and the newest of the two days before
    assert len(sets) - len(prunable(sets, Policy(all_hours=71), NOW)) == 72
    assert len(sets) - len(prunable(sets, Policy(all_hours=0, daily_days=0, weekly_days=0), NOW)) == 1


# Unproven sets


def test_an_unverified_set_never_goes() -> None:
    sets = [held(n, (50 - n) * HOUR, verified=n == 49) for n in range(50)]
    assert prunable(sets, POLICY, NOW) == ()


def test_an_unverified_set_never_takes_the_place_of_a_verified_one() -> None:
    day = datetime(2026, 11, 18, tzinfo=UTC)
    sets = [held(1, day), held(2, day + HOUR), held(3, day + 2 * HOUR, verified=False)]
    assert prunable(sets, POLICY, NOW) == ("laptop-1",)
    assert prunable([sets[0], sets[2]], POLICY, NOW) == ()


def test_a_copy_of_a_set_under_another_name_lets_nothing_go() -> None:
    one = held(1, 10 * DAY)
    assert prunable([one, one, held(2, 9 * DAY)], POLICY, NOW) == ()


def test_a_borrowed_id_lets_nothing_go() -> None:
    """A foreign set that may go must not take the good one with it whose id it claims."""
    good = held(1, 10 * DAY)
    foreign = [held(1, 3 * DAY, device="thief", id=good.id), held(2, 3 * DAY - HOUR, device="thief")]
    assert prunable(foreign, POLICY, NOW) == (good.id,)
    assert prunable([good, *foreign], POLICY, NOW) == ()


def test_a_damaged_copy_of_a_set_keeps_both() -> None:
    sets = [held(1, datetime(2026, 11, 18, 1, tzinfo=UTC)), held(2, datetime(2026, 11, 18, 2, tzinfo=UTC))]
    assert prunable(sets, POLICY, NOW) == ("laptop-1",)
    assert prunable([*sets, msgspec.structs.replace(sets[0], verified=False)], POLICY, NOW) == ()


# Times that contradict the counter


def test_a_clock_that_was_ahead_for_a_set_does_not_prune_those_after_it() -> None:
    day = datetime(2026, 11, 10, tzinfo=UTC)
    wrong = held(1, day + 20 * HOUR)
    right = [held(n, day + n * HOUR) for n in range(2, 6)]
    assert untimely([wrong, *right], NOW) == {wrong.id, *ids(right)}
    assert prunable([wrong, *right], POLICY, NOW) == ()


def test_a_clock_that_was_behind_for_a_set_leaves_the_rule_to_the_others() -> None:
    day = datetime(2026, 11, 10, tzinfo=UTC)
    right = [held(n, day + n * HOUR) for n in (1, 2, 3, 5, 6)]
    wrong = held(4, datetime(1970, 1, 1, tzinfo=UTC))
    assert untimely([*right, wrong], NOW) == {"laptop-3", "laptop-4"}
    assert prunable([*right, wrong], POLICY, NOW) == ("laptop-1", "laptop-2", "laptop-5")


def test_a_set_of_the_future_stays_and_fills_no_place() -> None:
    future = held(9, NOW + 3 * HOUR)
    sets = [held(1, 5 * DAY), future]
    assert untimely(sets, NOW) == {future.id}
    assert remaining(sets) == sets
    day_of_future = [held(1, datetime(2026, 10, 5, tzinfo=UTC)), held(2, datetime(2026, 10, 8, tzinfo=UTC))]
    early = datetime(2026, 10, 7, tzinfo=UTC)
    assert prunable(day_of_future, Policy(0, 0, 0), early) == ()
    assert prunable(day_of_future, Policy(0, 0, 0), NOW) == ("laptop-1",)


def test_a_set_of_the_far_future_does_not_stop_the_rule_for_those_after_it() -> None:
    day = datetime(2026, 11, 10, tzinfo=UTC)
    wrong = held(1, datetime(2036, 1, 1, tzinfo=UTC))
    right = [held(n, day + n * HOUR) for n in (2, 3, 4)]
    assert untimely([wrong, *right], NOW) == {wrong.id}
    assert prunable([wrong, *right], POLICY, NOW) == ("laptop-2", "laptop-3")


def test_sets_of_one_second_contradict_nothing_and_the_higher_counter_is_newer() -> None:
    second = datetime(2026, 11, 10, 9, tzinfo=UTC)
    sets = [held(9, second), held(10, second)]
    assert untimely(sets, NOW) == frozenset()
    assert prunable(sets, POLICY, NOW) == ("laptop-9",)


@given(st.permutations(range(8)))
def test_a_counter_used_twice_contradicts_nothing(order: list[int]) -> None:
    """A vault file that was put back counts on from where it was; neither set is the wrong one."""
    sets = [held(7, DAY * (20 - n), id=f"set-{n}") for n in order]
    assert untimely(sets, NOW) == frozenset()


def test_a_clock_a_little_ahead_is_believed() -> None:
    assert untimely([held(1, NOW + SKEW)], NOW) == frozenset()
    assert untimely([held(1, NOW + SKEW + timedelta(seconds=1))], NOW) == {"laptop-1"}


def test_another_devices_clock_contradicts_nobody() -> None:
    sets = [held(1, 3 * DAY), held(2, 9 * DAY, device="phone"), held(3, 2 * DAY)]
    assert untimely(sets, NOW) == frozenset()


# One pass


def test_a_pass_takes_at_most_half_and_says_what_is_left_to_ask() -> None:
    day = datetime(2026, 11, 1, tzinfo=UTC)
    sets = in_order([day + n * HOUR for n in range(10)])
    found = plan(sets, POLICY, NOW)
    assert found.asks
    assert found.remove == tuple(f"laptop-{n}" for n in range(5))
    assert found.later == tuple(f"laptop-{n}" for n in range(5, 9))


def test_an_ordinary_pass_asks_nothing() -> None:
    sets = in_order([NOW - n * HOUR for n in range(30)])
    found = plan(sets, POLICY, NOW)
    assert (found.remove, found.asks) == (prunable(sets, POLICY, NOW), False)
    assert found.remove


def test_half_is_counted_by_device_and_without_garbage() -> None:
    day = datetime(2026, 11, 1, tzinfo=UTC)
    own = in_order([day + n * HOUR for n in range(10)])
    flood = [
        *(held(n, DAY, device="thief", id=f"flood-{n}") for n in range(100)),
        *(held(n, DAY, verified=False, id=f"garbage-{n}") for n in range(100)),
        *own,  # copied under other names
    ]
    assert plan([*own, *flood], POLICY, NOW) == plan(own, POLICY, NOW)


def test_two_months_of_hourly_sets_are_thinned_in_a_few_passes() -> None:
    sets = in_order([NOW - n * HOUR for n in range(24 * 61)])
    whole = remaining(sets)
    sizes = [len(sets)]
    while (found := plan(sets, POLICY, NOW)).remove:
        sets = [one for one in sets if one.id not in found.remove]
        sizes.append(len(sets))
    assert sets == whole
    assert all(2 * after >= before for before, after in pairwise(sizes))
    assert len(sizes) == 6


# Laws

many = settings(max_examples=300)


@many
@given(histories)
def test_the_newest_stays(sets: list[Held]) -> None:
    assert not sets or sets[-1].id in ids(remaining(sets))


@many
@given(messy(own_ids=True))
def test_what_goes_is_verified_and_has_a_newer_verified_set_of_its_device(sets: list[Held]) -> None:
    going = set(prunable(sets, POLICY, NOW))
    for one in (found for found in sets if found.id in going):
        own = [other for other in sets if other.device == one.device and other.verified]
        doubted = untimely(own, NOW)
        assert one.verified and one.id not in doubted
        newer = [other for other in own if (other.made_at, other.counter) >= (one.made_at, one.counter)]
        assert ids(newer) - doubted - going


@many
@given(messy())
def test_pruning_twice_changes_nothing_more(sets: list[Held]) -> None:
    left = remaining(sets)
    assert prunable(left, POLICY, NOW) == ()
    assert untimely(left, NOW) == untimely(sets, NOW)


@many
@given(messy())
def test_half_by_half_comes_to_the_same_end(sets: list[Held]) -> None:
    whole, passes = remaining(sets), 0
    while (found := plan(sets, POLICY, NOW)).remove:
        assert set(found.remove) | set(found.later) == set(prunable(sets, POLICY, NOW))
        sets, passes = [one for one in sets if one.id not in found.remove], passes + 1
    assert sets == whole
    assert passes <= 40


@many
@given(messy(), st.randoms())
def test_the_order_of_the_sets_does_not_matter(sets: list[Held], random: Random) -> None:
    shuffled = list(sets)
    random.shuffle(shuffled)
    assert prunable(shuffled, POLICY, NOW) == prunable(sets, POLICY, NOW)
    assert plan(shuffled, POLICY, NOW) == plan(sets, POLICY, NOW)


@many
@given(messy(), messy(devices=("thief", "thief's other")), st.lists(st.integers(0, 200)))
def test_flooding_lets_no_good_set_go(good: list[Held], foreign: list[Held], borrowed: list[int]) -> None:
    """Garbage under any name, and well-signed sets of other devices, even under the good sets' own ids."""
    named = [msgspec.structs.replace(one, id=f"x{one.id}") for one in foreign]
    for n, place in enumerate(borrowed[: len(named)]):
        named[n] = msgspec.structs.replace(named[n], id=f"{place:x}")
    garbage = [msgspec.structs.replace(one, id=f"g{one.id}", verified=False) for one in good]
    flooded = set(prunable([*good, *named, *garbage, *good], POLICY, NOW))
    assert flooded & ids(good) <= set(prunable(good, POLICY, NOW))
    unasked = set(plan([*good, *named, *garbage, *good], POLICY, NOW).remove)
    for device in {one.device for one in good}:
        own = {one.id for one in good if one.device == device and one.verified}
        assert 2 * len(unasked & own) <= len(own)


@many
@given(histories)
def test_each_day_week_and_month_that_had_a_set_still_has_one(sets: list[Held]) -> None:
    def days(found: list[Held]) -> set[date]:
        return {one.made_at.date() for one in found}

    before, after = days(sets), days(remaining(sets))
    today = NOW.date()
    assert {day for day in before if today - day <= 30 * DAY} <= after
    assert {monday(day) for day in before if today - day <= 365 * DAY} <= {monday(day) for day in after}
    assert {(day.year, day.month) for day in before} == {(day.year, day.month) for day in after}


@many
@given(messy())
def test_nothing_goes_while_the_clock_is_in_doubt(sets: list[Held]) -> None:
    assert prunable(sets, POLICY, NOW, clock_ok=False) == ()
    assert plan(sets, POLICY, NOW, clock_ok=False) == plan([], POLICY, NOW)


# Simulated years


def test_three_years_of_hourly_sets_pruned_after_each_keep_what_the_policy_says() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = (datetime(2029, 1, 1, tzinfo=UTC) - start) // HOUR
    sets: list[Held] = []
    for n in range(hours + 1):
        now = start + n * HOUR
        sets = remaining([*sets, held(n, now)], now)
        if n % 2001 == 0 or n == hours:
            assert {one.made_at for one in sets} == promised(start, now)
    # midnight to midnight; 2 to 30 December; Sundays from 2 January to 26 November; 35 month ends less one such Sunday
    assert len(sets) == 25 + 29 + 48 + 34


def promised(start: datetime, now: datetime) -> set[datetime]:
    """Return the times of hourly sets that the policy keeps, counted out rather than chosen."""
    newest = {day: min(datetime(day.year, day.month, day.day, 23, tzinfo=UTC), now) for day in days_until(start, now)}
    today = now.date()
    return {
        *(at for n in range(25) if (at := now - n * HOUR) >= start),
        *(at for day, at in newest.items() if day >= today - 30 * DAY),
        *(at for day, at in newest.items() if day.weekday() == 6 and day >= monday(today - 365 * DAY)),
        *(at for day, at in newest.items() if (day + DAY).day == 1),
    }


def days_until(start: datetime, now: datetime) -> list[date]:
    """Return every day from the first to that of now."""
    return [start.date() + n * DAY for n in range((now.date() - start.date()).days + 1)]


@settings(max_examples=60)
@given(st.lists(st.timedeltas(timedelta(minutes=10), 20 * DAY), max_size=80))
def test_pruning_after_each_set_ends_like_pruning_once(gaps: list[timedelta]) -> None:
    """What the rule would want today was never given away earlier."""
    sets, everything, now = [], [], NOW
    for n, gap in enumerate(gaps):
        now += gap
        everything.append(held(n, now))
        sets = remaining([*sets, held(n, now)], now)
    assert ids(sets) == ids(remaining(everything, now))


# The clock


@pytest.mark.parametrize(
    ("passed", "trusted"),
    [
        (timedelta(), True),
        (48 * HOUR, True),
        (48 * HOUR + timedelta(seconds=1), False),
        (-SKEW, True),
        (-SKEW - timedelta(seconds=1), False),
        (timedelta(days=-4000), False),
        (timedelta(days=4000), False),
    ],
)
def test_a_clock_is_trusted_within_two_days_forward_and_none_back(passed: timedelta, trusted: bool) -> None:
    assert clock_is_trusted(NOW + passed, NOW) is trusted
    assert look(ClockWatch(NOW), NOW + passed).is_trusted is trusted


def test_the_first_look_has_nothing_against_the_clock() -> None:
    assert clock_is_trusted(NOW, None)
    assert look(ClockWatch(), NOW) == ClockWatch(NOW)


def test_a_doubt_lasts_a_day_and_begins_anew_with_each_jump() -> None:
    watch = look(ClockWatch(NOW), NOW + 3 * DAY)
    verdicts = []
    for hours in (1, 23, 24, 25):
        watch = look(watch, NOW + 3 * DAY + hours * HOUR)
        verdicts.append(watch.is_trusted)
    assert verdicts == [False, False, True, True]
    back = look(watch, NOW)
    assert not back.is_trusted
    assert not look(look(back, NOW + 23 * HOUR), NOW + 23 * HOUR).is_trusted
    assert look(look(back, NOW + 24 * HOUR), NOW + 24 * HOUR).is_trusted


def test_the_watch_survives_being_stored() -> None:
    watch = look(ClockWatch(NOW), NOW + 3 * DAY)
    assert msgspec.json.decode(msgspec.json.encode(watch), type=ClockWatch) == watch
