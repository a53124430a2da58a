"""Points in time as RFC 3339 texts, exactly as precise as their source.

A text keeps fraction and zone as it was written, so an ISO source arrives unchanged; numbers are turned into UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TypeGuard

Instant = str

_D = "[0-9][0-9]"  # quicker than the class of all digits there are
_RFC3339 = re.compile(rf"{_D}{_D}-{_D}-{_D}[Tt]{_D}:{_D}:{_D}(?:\.[0-9]+)?(?:[Zz]|[+-]{_D}:?{_D})")
_is_of_its_form, _from_iso = _RFC3339.fullmatch, datetime.fromisoformat
_SHORT = len("2024-01-02T03:04:05.123456Z")  # what the standard library reads as it is
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # written without a zone it costs a third
LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z


def is_instant(text: object) -> TypeGuard[Instant]:
    """Tell whether the text is an RFC 3339 date-time with a zone that exists in the calendar."""
    if not isinstance(text, str) or not _is_of_its_form(text):
        return False
    try:
        read = _from_iso(text) if len(text) <= _SHORT and text[-1] != "z" else _read(text)
        if not 1 < read.year < 9999:
            to_datetime(text)  # a zone may carry it out of the calendar
    except (ValueError, OverflowError):
        return False
    return True


def from_seconds(seconds: int) -> Instant:
    """Return the instant of UNIX seconds; raises ``ValueError`` outside the years 1 to 9999."""
    return from_micros(seconds * 1_000_000)


def from_millis(millis: int) -> Instant:
    """Return the instant of UNIX milliseconds; raises ``ValueError`` outside the years 1 to 9999."""
    return from_micros(millis * 1_000)


def from_micros(micros: int) -> Instant:
    """Return the instant of UNIX microseconds, with the shortest exact fraction."""
    seconds, rest = divmod(micros, 1_000_000)
    if not -62135596800 <= seconds <= LAST_SECOND:
        raise ValueError("outside the years 1 to 9999")
    whole = (_NAIVE_EPOCH + timedelta(seconds=seconds)).isoformat()
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    if 0 < len(fraction) < 4:
        fraction = fraction.ljust(4, "0")
    return f"{whole}{fraction}Z"


def to_datetime(instant: Instant) -> datetime:
    """Return the aware UTC datetime, fractions below a microsecond cut off."""
    return _read(instant).astimezone(UTC)


def _read(instant: Instant) -> datetime:
    if len(instant) > _SHORT or instant[-1] == "z":
        instant = re.sub(r"(\.\d{6})\d+", r"\1", instant.upper())
    return datetime.fromisoformat(instant)


def to_seconds(instant: Instant) -> int:
    """Return whole UNIX seconds, rounded down."""
    return to_micros(instant) // 1_000_000


def to_millis(instant: Instant) -> int:
    """Return whole UNIX milliseconds, rounded down."""
    return to_micros(instant) // 1_000


def to_micros(instant: Instant) -> int:
    """Return whole UNIX microseconds, rounded down."""
    passed = to_datetime(instant) - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def now() -> Instant:
    """Return the present second in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
