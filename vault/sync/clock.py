"""Hybrid logical time: wall clock where it can be trusted, a count where it cannot.

A time is one number: milliseconds since 1970 << 16 | counter, below 2**64. It orders changes that did not see each
other and tells people when they were made; what saw what is in the entries themselves. A device's times only rise,
also when its clock is put back; more than 65,535 in one millisecond run on into the next. A time more than a day ahead
of the local clock is not believed: the caller parks what bears it until the clock has come near.
"""

from __future__ import annotations

AHEAD_MS = 24 * 60 * 60 * 1000
_COUNTER_BITS = 16
LAST = (1 << 64) - 1
_LAST_MS = LAST >> _COUNTER_BITS  # in the year 10889


def tick(last: int, now_ms: int) -> int:
    """Return the time of a new change: after ``last``, the newest this device has given or seen, and not before now.

    Raises ``OverflowError`` where there is no later one.
    """
    if last >= LAST:
        raise OverflowError("no time is left after the last one")
    return max(last + 1, start_of(now_ms))


def observe(last: int, remote: int, now_ms: int) -> int:
    """Return the newest time seen, once a change of another device is taken in.

    Raises ``ValueError`` for one that is to be parked.
    """
    if is_ahead(remote, now_ms):
        raise ValueError("a time more than a day ahead is parked")
    return max(last, remote)


def is_ahead(time: int, now_ms: int) -> bool:
    """Tell whether a time is more than 24 hours ahead of the clock, or no time at all."""
    return not 0 <= time <= LAST or millis(time) > now_ms + AHEAD_MS


def start_of(ms: int) -> int:
    """Return the first time of a millisecond; the nearest there is for one outside the range."""
    return min(max(ms, 0), _LAST_MS) << _COUNTER_BITS


def millis(time: int) -> int:
    """Return the UNIX milliseconds of a time."""
    return time >> _COUNTER_BITS
