"""Big JSON cut into records: the same records as a plain reader sees, whatever one of them holds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.masking import views
from migrate.records import Cut, cut, damage, line_of, read_json
from vault.errors import DamagedExport

ITEMS = ("items", "*")
DEEP = ("accounts", "*", "vaults", "*", "items", "*")

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def cuts(data: bytes, pattern: tuple[str, ...] = ITEMS) -> tuple[Any, list[Cut]]:
    frame, found = cut(data, pattern, "x.json")
    return frame, list(found)


@given(st.lists(values, max_size=5), values, st.sampled_from([None, 1, 4]), st.booleans())
def test_records_are_what_a_plain_reader_sees(records: list[Any], beside: Any, indent: int | None, ascii: bool) -> None:
    data = json.dumps({"a": beside, "items": records, "z": beside}, indent=indent, ensure_ascii=ascii).encode()
    frame, found = cuts(data)
    assert frame == read_json(json.dumps({"a": beside, "items": [], "z": beside}))
    assert [one.place for one in found] == [f"items/{n}" for n in range(len(records))]
    assert [read_json(one.raw) for one in found] == [read_json(json.dumps(one)) for one in records]
    assert all(data[one.offset : one.offset + len(one.raw)] == one.raw for one in found)


def test_records_below_two_lists_are_found_at_their_places() -> None:
    accounts = [{"vaults": [{"items": [{"n": 1}, {"n": 2}]}, {"items": []}]}, {"vaults": [{"items": [{"n": 3}]}]}]
    frame, found = cuts(json.dumps({"accounts": accounts}).encode(), DEEP)
    assert [(one.place, read_json(one.raw)["n"]) for one in found] == [
        ("accounts/0/vaults/0/items/0", 1),
        ("accounts/0/vaults/0/items/1", 2),
        ("accounts/1/vaults/0/items/0", 3),
    ]
    assert frame == {"accounts": [{"vaults": [{"items": []}, {"items": []}]}, {"vaults": [{"items": []}]}]}


def test_numbers_keep_every_digit() -> None:
    _, (only,) = cuts(b'{"items": [{"n": 0.10000000000000000001, "m": 12345678901234567890123}]}')
    assert str(read_json(only.raw)["n"]) == "0.10000000000000000001"
    assert read_json(only.raw)["m"] == 12345678901234567890123


def test_what_does_not_fit_the_pattern_is_still_read() -> None:
    frame, found = cuts(b'{"items": {"0": "an object"}, "b": 1}')
    assert (frame, found) == ({"items": {"0": "an object"}, "b": 1}, [])


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": null, "items": [null, null], "b": null}',
        b'{"a": [{}], "items": [{}], "b": [{}]}',
        b'{"items": [1, 1], "a": {"items": [1]}}',
        b'{"a": "\\"items\\": [1]", "\\u0069tems": [1, "]", {"items": [1]}], "x": 1}',
        b'{"a": {"items": [{"n": 1}]}, "items": [{"n": 1}]}',
        b'{"items": [], "a": []}',
    ],
)
def test_a_record_that_also_stands_beside_the_list_is_taken_out_of_the_list(data: bytes) -> None:
    whole = json.loads(data)
    frame, found = cuts(data)
    assert [read_json(one.raw) for one in found] == whole["items"]
    assert frame == {**whole, "items": []}


def test_small_records_in_nested_lists_are_found_too() -> None:
    vaults = [{"name": "{}", "items": [{}, {}]}, {"x": [{}, []], "items": []}, {"items": [{}]}]
    data = json.dumps({"accounts": [{"a": {}, "vaults": vaults}, {"vaults": [{"items": [{}]}]}]}).encode()
    frame, found = cuts(data, DEEP)
    assert [one.place[9:] for one in found] == [
        "0/vaults/0/items/0",
        "0/vaults/0/items/1",
        "0/vaults/2/items/0",
        "1/vaults/0/items/0",
    ]
    assert frame["accounts"][0]["vaults"][1] == {"x": [{}, []], "items": []}
    assert all(data[one.offset - 1 :].lstrip(b"[ ").startswith(b"{}") for one in found)


ROTTEN = {
    "not a number": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "leading zeros": b'{"a": 007}',
    "no JSON word": b'{"a": None}',
    "bad escape": rb'{"a": "\x41"}',
    "raw control character": b'{"a": "b\x01c"}',
    "raw line break": b'{"a": "b\nc"}',
    "nesting": b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "nested objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "lone surrogate": rb'{"a": "\ud800"}',
    "5,000 digits": b'{"a": ' + b"9" * 5_000 + b"}",
    "same key twice": b'{"a": 1, "a": 2}',
    "a text": b'"text"',
    "a list": b'[{"a": 1}]',
}


@pytest.mark.parametrize("rotten", ROTTEN.values(), ids=ROTTEN)
def test_one_rotten_record_does_not_hide_the_others(rotten: bytes) -> None:
    data = b'{"x": "frame",\n "items": [{"n": "first"}, ' + rotten + b', {"n": "last \\u00e9"}], "y": ["}", "]"]}'
    frame, found = cuts(data)
    assert frame == {"x": "frame", "items": [], "y": ["}", "]"]}
    assert [one.raw for one in found] == [b'{"n": "first"}', rotten, b'{"n": "last \\u00e9"}']
    assert all(data[one.offset :].startswith(one.raw) for one in found)


@pytest.mark.parametrize("rotten", ROTTEN.values(), ids=ROTTEN)
def test_a_view_has_the_same_length(rotten: bytes) -> None:
    assert {len(view) for view in views(rotten)} == {len(rotten)}


@pytest.mark.parametrize("size", range(1, 40))
def test_a_file_cut_off_anywhere_is_told_with_its_place(size: int) -> None:
    whole = b'{"items": [{"n": 1, "m": "text"},\n [1]]}'
    with pytest.raises(DamagedExport) as caught:
        cuts(whole[:size])
    assert "ends too early at line" in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        b'{"items": [{"a": 1}, }',
        b'{"items": [{"a" 1}]}',
        b'{"items": []} trailing',
        b'{"a": 1, "a": 2, "items": []}',
        b'{"items": [], "items": [{"a": 1}]}',
        b'{"deep": ' + b"[" * 10_000 + b"]" * 10_000 + b', "items": []}',
        b'{"n": NaN, "items": []}',
        b'{"items": [1, 2}',
        b"[[[[",
        b'{"a": "',
    ],
)
def test_what_is_broken_outside_the_records_stops_the_file_in_one_sentence(data: bytes) -> None:
    with pytest.raises(DamagedExport) as caught:
        cuts(data)
    assert caught.value.message.startswith("x.json ")


def test_damage_names_line_and_column_as_an_editor_does() -> None:
    broken = damage('{"ä": "ö",\n "ключ" 1}'.encode(), "x.json")
    assert broken is not None
    assert broken.message == "x.json is no valid JSON at line 2, column 9"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.data())
def test_line_and_column_are_those_of_the_character(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    before = text[:at].split("\n")
    assert line_of(text.encode(), len(text[:at].encode())) == (len(before), len(before[-1]) + 1)
