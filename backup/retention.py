"""Which sets of one target may go. Nothing here knows a clock, a file or a store.

- Everything of the last 24 hours stays; then the newest of each day for 30 days, of each week for a year, of each
  month for ever. Days, ISO weeks and months are those of UTC; a day or week partly inside its limit counts as inside.
- Only verified sets count, fill a place or go. What could not be read back is never removed here: it may be the only
  copy of its day, it is healed from another target or removed by a person.
- A set goes only for a newer verified set *of the same device*. So neither garbage nor any number of well-signed sets
  of another device pushes a good set out, and a target may be pruned one device at a time.
- Never a count alone, and never a time out of order: when a device's counter rises and its time falls, the set that
  went back and the latest one before it stay and fill no place. So do sets dated after now. Such sets are ``untimely``.
- One pass takes at most half of a device's verified sets; more is for a person to allow.
- After the clock moved back, or more than 48 hours forward between two looks, nothing goes for 24 hours.
- An id that two different sets claim is kept: one of them may be somebody's way to remove the other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

SKEW = timedelta(minutes=5)  # clocks differ by so much without anybody's fault
LONGEST_ABSENCE = timedelta(hours=48)
DOUBT_LASTS = timedelta(hours=24)


class Held(msgspec.Struct, frozen=True):
    """One set at a target, as far as the rule needs it."""

    id: str
    device: str
    counter: int
    made_at: datetime  # as signed, with its zone
    verified: bool  # read back whole, and its signature holds


class Policy(msgspec.Struct, frozen=True):
    """How long sets stay; the newest of each month stays for ever."""

    all_hours: int = 24
    daily_days: int = 30
    weekly_days: int = 365


class Plan(msgspec.Struct, frozen=True):
    """What one pass may remove unasked, and what only a person may add to it; both oldest first."""

    remove: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Tell whether the whole would take more than half of some device's sets."""
        return bool(self.later)


class ClockWatch(msgspec.Struct, frozen=True):
    """What is remembered of the clock between two looks at it."""

    last_seen: datetime | None = None
    doubted_at: datetime | None = None

    @property
    def is_trusted(self) -> bool:
        """Tell whether sets may go by this clock."""
        return self.doubted_at is None


def prunable(sets: Iterable[Held], policy: Policy, now: datetime, *, clock_ok: bool = True) -> tuple[str, ...]:
    """Return the ids of the sets that the policy has no place for, oldest first; none while the clock is in doubt."""
    return tuple(one.id for one in _redundant(tuple(sets), policy, now)) if clock_ok else ()


def plan(sets: Iterable[Held], policy: Policy, now: datetime, *, clock_ok: bool = True) -> Plan:
    """Divide what is prunable: up to half of each device's verified sets at once, oldest first, the rest later.

    Without a person, remove ``remove`` and plan anew another day; with one, ask where it ``asks`` and take both.
    """
    if not clock_ok:
        return Plan()
    sets = tuple(sets)
    room = {device: len({one.id for one in own}) // 2 for device, own in _by_device(sets)}
    remove: list[str] = []
    later: list[str] = []
    for one in _redundant(sets, policy, now):
        (remove if room[one.device] > 0 else later).append(one.id)
        room[one.device] -= 1
    return Plan(tuple(remove), tuple(later))


def untimely(sets: Iterable[Held], now: datetime) -> frozenset[str]:
    """Return the ids of verified sets whose time cannot be trusted: they stay, and fill no place."""
    return frozenset(one.id for _, own in _by_device(sets) for one in _out_of_time(own, now))


def clock_is_trusted(now: datetime, last_seen: datetime | None) -> bool:
    """Tell whether the time since the last look is believable: not back, at most 48 hours forward.

    Five minutes back are what a time server corrects. Without an earlier look nothing speaks against the clock.
    """
    return last_seen is None or -SKEW <= now - last_seen <= LONGEST_ABSENCE


def look(watch: ClockWatch, now: datetime) -> ClockWatch:
    """Return the watch after this look at the clock, to be stored; a doubt lasts 24 hours of a clock that behaves."""
    if not clock_is_trusted(now, watch.last_seen):
        return ClockWatch(now, now)
    lasts = watch.doubted_at is not None and now - watch.doubted_at < DOUBT_LASTS
    return ClockWatch(now, watch.doubted_at if lasts else None)


def _redundant(sets: Sequence[Held], policy: Policy, now: datetime) -> list[Held]:
    going: set[Held] = set()
    for _, own in _by_device(sets):
        doubted = _out_of_time(own, now)
        going |= own - doubted - _placed(sorted(own - doubted, key=_age), policy, now)
    claims = Counter(one.id for one in set(sets))
    return sorted((one for one in going if claims[one.id] == 1), key=_age)


def _by_device(sets: Iterable[Held]) -> Iterator[tuple[str, set[Held]]]:
    devices: defaultdict[str, set[Held]] = defaultdict(set)
    for one in sets:
        if one.verified:
            devices[one.device].add(one)
    yield from devices.items()


def _out_of_time(own: set[Held], now: datetime) -> set[Held]:
    """Return the sets dated after now, those earlier than a lower counter's, and the latest one before each of these.

    That latest one is kept with them as the witness: were it removed, the next pass would trust their times.
    """
    found = {one for one in own if one.made_at > now + SKEW}
    latest: Held | None = None
    for one in sorted(own - found, key=lambda one: (one.counter, one.made_at, one.id)):
        if latest is not None and one.made_at < latest.made_at:
            found |= {one, latest}
        else:
            latest = one
    return found


def _placed(oldest_first: Sequence[Held], policy: Policy, now: datetime) -> set[Held]:
    """Return the sets that have a place: young enough, or the newest of their day, week or month."""
    days: dict[date, Held] = {}
    weeks: dict[date, Held] = {}
    months: dict[tuple[int, int], Held] = {}
    for one in oldest_first:
        day = one.made_at.astimezone(UTC).date()
        days[day] = weeks[_monday(day)] = months[day.year, day.month] = one
    first_day = _days_before(now, policy.daily_days)
    first_week = _monday(_days_before(now, policy.weekly_days))
    young = now - timedelta(hours=policy.all_hours)
    return {
        *(one for one in oldest_first if one.made_at >= young),
        *(one for day, one in days.items() if day >= first_day),
        *(one for monday, one in weeks.items() if monday >= first_week),
        *months.values(),
    }


def _monday(day: date) -> date:
    return date.fromordinal(day.toordinal() - day.weekday())


def _days_before(now: datetime, days: int) -> date:
    return now.astimezone(UTC).date() - timedelta(days=days)


def _age(one: Held) -> tuple[datetime, int, str, str]:
    return one.made_at, one.counter, one.id, one.device
