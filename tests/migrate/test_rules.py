"""The ways in which a value may be changed on its way in: each pure and total, and the proof can run it again."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate import catalog, rules
from migrate.rules import (
    EACH,
    JOINED,
    RULES,
    WHOLE,
    address_lines,
    applied,
    expiry_month,
    instant_of,
    number_of,
    unix_millis,
    unix_seconds,
    uuid_base64url,
    year_month,
)

ODD: list[Any] = [
    None,
    True,
    "",
    "x",
    "-1",
    -1,
    0,
    10**40,
    "9" * 40,
    "1.5",
    1.5,
    [],
    {},
    ["a"],
    {"a": 1},
    "\ud800",
    " 1",
]


def all_rules() -> list[str]:
    catalog.adapters()  # loads every format, and with it its rules
    return sorted({*RULES, *WHOLE})


@pytest.mark.parametrize("name", [name for name in all_rules() if name not in WHOLE])
def test_no_rule_fails_on_any_value(name: str) -> None:
    for value in ODD:
        for parent in ({}, {"a": value}, dict.fromkeys(("url", "value", "urls", "expMonth", "expYear"), value)):
            made = applied(name, value, parent, {})
            assert made is None or (isinstance(made, tuple) and all(isinstance(text, str) for text in made)), value


def test_every_kind_of_rule_is_registered_under_its_name() -> None:
    assert all_rules()
    assert set(all_rules()) >= EACH | JOINED
    assert not EACH & JOINED
    assert all(function.__doc__ for function in (*RULES.values(), *WHOLE.values()))


@given(st.integers(0, 253402300799))
def test_seconds_become_the_instant_they_are(seconds: int) -> None:
    made = unix_seconds(seconds, {})
    moment = datetime.fromtimestamp(seconds, UTC) if seconds <= 100_000_000_000 else None
    if moment is not None:
        assert made == (moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0"),)
    assert unix_seconds(str(seconds), {}) == made


@given(st.integers(0, 4102444800000))
def test_milliseconds_keep_every_digit(millis: int) -> None:
    (made,) = unix_millis(millis, {}) or ("",)
    moment = datetime.fromisoformat(made.replace("Z", "+00:00"))
    assert round(moment.timestamp() * 1000) == millis


def test_a_number_too_large_for_seconds_is_milliseconds() -> None:
    assert instant_of(1700000000000) == instant_of(1700000000) == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("value", [-1, "soon", None, True, 1.5, 10**30, "", "1e9"])
def test_what_is_no_time_stays_as_it_is(value: Any) -> None:
    assert unix_seconds(value, {}) is None and unix_millis(value, {}) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [("7", 7), ("-7", -7), (7, 7), ("007", 7), ("", None), ("7.0", None), (True, None), ("٣", 3), ("9" * 19, None)],
)
def test_a_whole_number_is_read_from_its_digits(value: Any, number: int | None) -> None:
    assert number_of(value) == number


@given(st.uuids())
def test_a_uuid_becomes_its_bytes(own: uuid.UUID) -> None:
    (made,) = uuid_base64url(str(own), {}) or ("",)
    assert base64.urlsafe_b64decode(made + "==") == own.bytes


@pytest.mark.parametrize(("value", "made"), [("b64.AAA_-", ("AAA_-",)), ("b64.", None), ("x", None), (7, None)])
def test_a_marked_id_loses_its_mark_and_others_stay(value: Any, made: Any) -> None:
    assert uuid_base64url(value, {}) == made


@pytest.mark.parametrize(
    ("year", "month", "made"),
    [("2029", "7", "2029-07"), (2029, 12, "2029-12"), ("29", "07", "2029-07"), ("2029", "13", None),
     ("2029", "0", None), ("202", "1", None), ("", "1", None), (None, 1, None), ("2029", None, None)],
)  # fmt: skip
def test_a_month_of_a_year(year: Any, month: Any, made: str | None) -> None:
    assert year_month(year, month) == made
    assert expiry_month(None, {"expMonth": month, "expYear": year}) == (None if made is None else (made,))


def test_three_lines_become_one_text() -> None:
    assert address_lines(None, {"address1": "a", "address2": None, "address3": "c"}) == ("a\n\nc",)
    assert address_lines(None, {"address1": "a"}) == ("a",)
    assert address_lines(None, {"address1": ["a"]}) is None


def test_a_rule_of_the_whole_record_is_given_it() -> None:
    @rules.whole_rule
    def whole_for_this_test(value: Any, parent: Any, record: Any) -> tuple[str, ...] | None:
        """Say where it looks."""
        return (record["top"],)

    try:
        assert applied("whole_for_this_test", 1, {}, {"top": "seen"}) == ("seen",)
    finally:
        del WHOLE["whole_for_this_test"]
