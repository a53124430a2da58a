"""The ways in which a value may be changed on its way in, each by name and runnable again.

A rule takes the value and the object it stands in and returns the texts that must be in the item, or None where it does
not apply: then the value has to arrive as it is. The ledger names rules, the proof runs them again, adapters call them.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from vault import moment

Rule = Callable[[Any, Mapping[str, Any]], tuple[str, ...] | None]

WholeRule = Callable[[Any, Mapping[str, Any], Mapping[str, Any]], tuple[str, ...] | None]

RULES: dict[str, Rule] = {}
EACH: set[str] = set()  # rules whose every value has a place of its own, so that equal ones are counted
JOINED: set[str] = set()  # rules that make one text of several values of an object
LINKS: set[str] = set()  # rules by which a value is the id of another record, and so structure
WHOLE: dict[str, WholeRule] = {}

_MILLIS_FROM = 100_000_000_000  # a larger number of seconds would be after the year 5138


def rule(function: Rule) -> Rule:
    """Register a rule under its own name."""
    RULES[function.__name__] = function
    return function


def each(function: Rule) -> Rule:
    """Register a rule whose every value arrives in a place of its own."""
    EACH.add(function.__name__)
    return rule(function)


def joined(function: Rule) -> Rule:
    """Register a rule by which several values of an object arrive as one text."""
    JOINED.add(function.__name__)
    return rule(function)


def link(function: Any) -> Any:
    """Note that a registered rule says by () that the value is the id of another record."""
    LINKS.add(function.__name__)
    return function


def whole_rule(function: WholeRule) -> WholeRule:
    """Register a rule that also looks at the whole record, given as third argument."""
    WHOLE[function.__name__] = function
    return function


def applied(name: str, value: Any, parent: Mapping[str, Any], record: Any) -> tuple[str, ...] | None:
    """Return what a rule makes of a value in its object and record; None where it does not apply."""
    whole = WHOLE.get(name)
    return RULES[name](value, parent) if whole is None else whole(value, parent, record)


def number_of(value: Any) -> int | None:
    """Return the whole number a JSON number or a cell spells, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    return None


def instant_of(value: Any, unit: int = 1) -> str | None:
    """Return the instant of a UNIX time in 1/``unit`` seconds; numbers too large for seconds are milliseconds."""
    number = number_of(value)
    if number is None or number < 0:
        return None
    if unit == 1 and number > _MILLIS_FROM:
        unit = 1000
    try:
        return moment.from_micros(number * (1_000_000 // unit))
    except (ValueError, OverflowError):
        return None


@each
def unix_seconds(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """UNIX seconds become an RFC 3339 time."""
    instant = instant_of(value)
    return None if instant is None else (instant,)


@each
def unix_millis(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """UNIX milliseconds become an RFC 3339 time."""
    instant = instant_of(value, 1000)
    return None if instant is None else (instant,)


@each
def uuid_base64url(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A UUID, or base64url marked ``b64.``, becomes plain base64url."""
    if not isinstance(value, str):
        return None
    if value.startswith("b64.") and re.fullmatch(r"[A-Za-z0-9_-]+", value[4:]):
        return (value[4:],)
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        return None
    return (base64.urlsafe_b64encode(uuid.UUID(value).bytes).rstrip(b"=").decode(),)


def year_month(year: Any, month: Any) -> str | None:
    """Return ``YYYY-MM`` for a four- or two-digit year and a month, or None."""
    y, m = number_of(year), number_of(month)
    if y is None or m is None or not 1 <= m <= 12:
        return None
    if not (len(str(year)) in (2, 4) and 0 <= y <= 9999):
        return None
    return f"{y + 2000 if len(str(year)) == 2 else y:04d}-{m:02d}"


@joined
def expiry_month(_: Any, card: Mapping[str, Any]) -> tuple[str, ...] | None:
    """``expMonth`` and ``expYear`` become one month of a year."""
    joined = year_month(card.get("expYear"), card.get("expMonth"))
    return None if joined is None else (joined,)


@joined
def address_lines(_: Any, address: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Three address lines become one text with newlines."""
    lines = [address.get(f"address{n}") for n in (1, 2, 3)]
    if any(line is not None and not isinstance(line, str) for line in lines):
        return None
    together = "\n".join(line or "" for line in lines).rstrip("\n")
    return (together,) if together or not any(lines) else None
