"""When a backup is due. Nothing here reads a clock; points in time come in with their zone and go out as UTC.

- The schedule is wall-clock time in the user's zone. A fixed time that spring skips comes at the end of the gap, one
  that autumn repeats comes at its first passing, each once; an expression whose minutes or hours begin with ``*``
  follows the hours as they really pass.
- What was missed while the machine slept is caught up once, however much it was.
- A last backup that lies in the future means that the clock moved back: the schedule counts from now, and says so.
- A change is backed up when all is quiet for a minute, at the latest ten minutes after the first one; sets for changes
  are at least ten minutes apart, an hour for a vault above 50 MB.
- Whoever waits looks at the clock at least every 60 seconds, to notice a sleep or a clock that was set.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

import msgspec

from vault.errors import UsageError

HEARTBEAT = timedelta(seconds=60)
SKEW = timedelta(minutes=5)  # so far a time server may set a clock back without a word
QUIET = timedelta(seconds=60)
LONGEST_WAIT = timedelta(minutes=10)  # from the first change, when changes never end
APART = timedelta(minutes=10)
APART_WHEN_LARGE = timedelta(hours=1)
LARGE = 50_000_000  # bytes

Preset = Literal["hourly", "daily", "weekly", "cron", "off"]

_EVENING = "21:00"
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
_CRON_FIELDS = 5
_FOLLOWS_HOURS = re.compile(r"\*|\S+ \*")
_SECOND = timedelta(seconds=1)
_LONGEST_EXPRESSION = 200
_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)
_HINT = 'give hourly, daily, weekly, off or five cron fields in quotes, such as "30 2 * * 1-5"'


class Schedule(msgspec.Struct, frozen=True):
    """When sets are made by themselves; build it with ``schedule_of``."""

    preset: Preset = "off"
    cron: str = ""  # five fields; empty: off
    at: str = ""  # HH:MM of the daily and the weekly one
    on_change: bool = False
    on_mount: bool = False


class Due(msgspec.Struct, frozen=True):
    """Whether the schedule asks for a backup now."""

    is_due: bool
    first_missed: datetime | None = None
    count_from: datetime | None = None  # to be stored as last served when the clock moved back
    clock_moved_back: bool = False


class Pending(msgspec.Struct, frozen=True):
    """Changes that no set holds yet; the empty value is none."""

    first: datetime | None = None
    last: datetime | None = None

    def changed(self, at: datetime) -> Pending:
        """Return the state after a change."""
        return Pending(min(self.first or at, at), at)

    def backed_up(self, begun_at: datetime) -> Pending:
        """Return the state after a set; what changed since that set was begun stays pending."""
        if self.first is None or self.last is None or self.last < begun_at:
            return Pending()
        return Pending(max(self.first, begun_at), self.last)


def schedule_of(word: str, at: str | None = None, *, on_change: bool = False, on_mount: bool = False) -> Schedule:
    """Return the schedule a person means by the word: a preset or a cron expression.

    Raises ``UsageError`` where the word or the time is nonsense, or the two do not go together.
    """
    preset = word.strip().lower()
    if preset in ("daily", "weekly"):
        hour, minute = _time_of(_EVENING if at is None else at)
        cron, at = f"{minute} {hour} * * {'*' if preset == 'daily' else 'SUN'}", f"{hour:02}:{minute:02}"
        return Schedule("daily" if preset == "daily" else "weekly", cron, at, on_change, on_mount)
    if at is not None:
        raise UsageError("only a daily or weekly schedule has a time of day", hint="leave --at out")
    if preset == "hourly":
        return Schedule("hourly", "0 * * * *", "", on_change, on_mount)
    if preset == "off":
        return Schedule("off", "", "", on_change, on_mount)
    return Schedule("cron", _expression(word), "", on_change, on_mount)


def described(schedule: Schedule) -> str:
    """Return the schedule in words, without a full stop."""
    changes = "after changes" if schedule.on_change else ""
    mounts = "when a known drive appears" if schedule.on_mount else ""
    also = " and ".join(filter(None, (changes, mounts)))
    if schedule.preset == "off":
        return f"only {also}" if also else "never by itself"
    return f"{_times(schedule)}, also {also}" if also else _times(schedule)


def next_due(schedule: Schedule, after: datetime, zone: tzinfo) -> datetime | None:
    """Return the first due time strictly after the given one, in UTC; None where there is none.

    The zone has to know its changes: ``ZoneInfo`` or ``LocalZone``, not the offset that ``astimezone()`` leaves.
    """
    if not schedule.cron:
        return None
    found = _first(schedule.cron, after, zone)
    if found is None or not _FOLLOWS_HOURS.match(schedule.cron):
        return found
    change = _first_change(after, found, zone)
    minute = change.astimezone(zone).minute if change is not None else 0
    if change is None or not minute:
        return found
    # cronsim goes on from the change by whole hours, at half past each, and so past the next due time.
    hour = change + timedelta(minutes=60 - minute)
    later = next_due(schedule, max(after, hour - _SECOND), zone)
    others = (_first(schedule.cron, max(after, change - _SECOND), zone), later)
    return min(found, *(one for one in others if one is not None))


def _first(cron: str, after: datetime, zone: tzinfo) -> datetime | None:
    from cronsim import CronSim

    try:
        times = CronSim(cron, after.astimezone(zone))
        found = next(times)
        while found.astimezone(UTC) <= after:  # in the repeated hour of autumn: the first passing is over
            found = next(times)
    except (StopIteration, OverflowError):  # no such day, or none before the year 10000
        return None
    return found.astimezone(UTC)


def _first_change(after: datetime, until: datetime, zone: tzinfo) -> datetime | None:
    """Return the first minute in which the zone has another offset than at the given time."""
    offset, low = after.astimezone(zone).utcoffset(), after
    while low < until:
        high = min(low + timedelta(days=1), until)
        if high.astimezone(zone).utcoffset() != offset:
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                low, high = (middle, high) if middle.astimezone(zone).utcoffset() == offset else (low, middle)
            return high.replace(second=0, microsecond=0)
        low = high
    return None


def due(schedule: Schedule, last_served: datetime | None, now: datetime, zone: tzinfo) -> Due:
    """Tell whether a due time lies after the last served one, up to and including now.

    ``last_served`` is when the last backup that succeeded was begun, also where nothing had changed; None asks for the
    first one. With ``clock_moved_back`` nothing is due: warn, and store ``count_from`` as last served.
    """
    if not schedule.cron:
        return Due(False, count_from=last_served)
    if last_served is None:
        return Due(True)
    if last_served - now > SKEW:
        return Due(False, count_from=now, clock_moved_back=True)
    first = next_due(schedule, last_served, zone)
    missed = first if first is not None and first <= now else None
    return Due(missed is not None, first_missed=missed, count_from=last_served)


def change_due(pending: Pending, last_set: datetime | None, vault_bytes: int, now: datetime) -> datetime | None:
    """Return when the pending changes want a set, perhaps a time gone by; None when nothing is pending.

    ``last_set`` is when the last set was begun, for whatever reason. Times after now come from a clock that was set
    back since: they hold nothing up. Whether the content differs at all is for the caller to compare.
    """
    if pending.first is None or pending.last is None:
        return None
    quiet = min(pending.last + QUIET, pending.first + LONGEST_WAIT) if pending.last <= now else now
    if last_set is None or last_set > now:
        return quiet
    return max(quiet, last_set + (APART_WHEN_LARGE if vault_bytes > LARGE else APART))


def nap(now: datetime, *due_times: datetime | None) -> timedelta:
    """Return how long to wait until the next look: to the nearest due time, never longer than a heartbeat."""
    waits = (max(time - now, timedelta()) for time in due_times if time is not None)
    return min((HEARTBEAT, *waits))


def jumped(wall_before: datetime, wall_now: datetime, mono_before: float, mono_now: float) -> timedelta:
    """Return how far the wall clock ran ahead of the monotonic one (seconds), negative when it fell behind.

    A sleep looks like a jump forward where the monotonic clock stands still in it, as on Linux and macOS.
    """
    return wall_now - wall_before - timedelta(seconds=mono_now - mono_before)


class LocalZone(tzinfo):
    """The zone of this machine with its changes of summer time, past and to come, without needing its name."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        """Return the offset at that wall-clock time; ``fold`` chooses in the repeated hour."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None) -> timedelta | None:
        """Return None: the system tells offsets only."""
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        """Return the system's abbreviation at that time."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime) -> datetime:
        """Return the wall-clock time of a UTC time that carries this zone."""
        offset = dt.replace(tzinfo=UTC).astimezone().utcoffset()
        wall = dt + (offset or timedelta())
        return wall if self.utcoffset(wall) == offset else wall.replace(fold=1)


def _time_of(text: str) -> tuple[int, int]:
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise UsageError("the time of day cannot be read", hint="write hours and minutes, such as --at 21:00")
    return int(found[1]), int(found[2])


def _expression(word: str) -> str:
    from cronsim import CronSim, CronSimError

    if len(word) > _LONGEST_EXPRESSION or len(word.split()) != _CRON_FIELDS:
        raise UsageError("this is no schedule", hint=_HINT)
    expression = " ".join(word.upper().split())
    try:
        next(CronSim(expression, _ANY_DAY))
    except CronSimError as error:
        raise UsageError(f"this is no schedule: {str(error).lower()}", hint=_HINT) from None
    except StopIteration:
        raise UsageError("no day fits this schedule", hint=_HINT) from None
    return expression


def _times(schedule: Schedule) -> str:
    from cronsim import CronSim

    match schedule.preset:
        case "hourly":
            return "every hour on the hour"
        case "daily":
            return f"every day at {schedule.at}"
        case "weekly":
            return f"every Sunday at {schedule.at}"
    explained: str = CronSim(schedule.cron, _ANY_DAY).explain()
    return explained[:1].lower() + explained[1:]
