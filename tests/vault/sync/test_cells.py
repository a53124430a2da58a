"""A row taken apart into cells and put together again is the same row."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vault import strategies
from vault import canonical
from vault.canonical import canonical as exact
from vault.model import Collection
from vault.sync import cells
from vault.sync.cells import flatten, unflatten

names = st.sampled_from(
    [*sorted(cells.SETS), "credentials", "fields", "type", "id", "label", "tags@", "a/b", "~", "~1", "", "#2"]
)
shapes = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | strategies.decimals | st.sampled_from(["", "x", "custom-fields"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)
strange_rows = st.dictionaries(names | st.text(max_size=3), shapes, max_size=6).map(canonical.plain)
rows = st.one_of(
    strategies.items().map(canonical.plain), strategies.parts(Collection).map(canonical.plain), strange_rows
)
paths = st.lists(names | st.sampled_from(["credentials@", "fields@", "x"]), min_size=1, max_size=5).map("/".join)


@given(rows, st.randoms())
def test_a_row_comes_back_from_its_cells_in_any_order(row: dict[str, Any], chance: random.Random) -> None:
    pieces = list(flatten(row).items())
    chance.shuffle(pieces)
    sent = canonical.decode_any(exact(dict(pieces)))
    assert exact(unflatten(sent)) == exact(row)


@given(rows, st.lists(rows, min_size=1, max_size=3))
def test_a_row_laid_upon_other_cells_comes_back_too(first: dict[str, Any], others: list[dict[str, Any]]) -> None:
    found = flatten(first)
    for row in others:
        found = flatten(row, like=found)
        assert exact(unflatten(found)) == exact(row)
        assert flatten(row, like=found) == found


@given(rows)
def test_equal_rows_have_equal_cells(row: dict[str, Any]) -> None:
    shuffled = dict(reversed(list(row.items())))
    assert exact(flatten(row)) == exact(flatten(shuffled))


@given(rows)
def test_all_that_is_made_of_a_row_is_known(row: dict[str, Any]) -> None:
    assert all(cells.is_known(path) for path in flatten(row))


@given(st.dictionaries(paths, shapes, max_size=12), rows)
def test_cells_that_nobody_of_ours_wrote_harm_only_themselves(strange: dict[str, Any], row: dict[str, Any]) -> None:
    found = {**strange, **flatten(row, like=strange)}
    exact(unflatten(strange))
    exact(unflatten(found))


@given(st.lists(st.sampled_from("abcde"), max_size=8), st.lists(st.sampled_from("abcde"), max_size=8))
def test_what_stays_in_order_keeps_its_place(before: list[str], after: list[str]) -> None:
    old = flatten({"tags": before})
    new = flatten({"tags": after}, like=old)
    assert unflatten(new).get("tags", []) == after
    kept = [path for path in new if path in old]
    assert all(new[path] == old[path] for path in kept)
    if sorted(after) == after and sorted(before) == before:
        assert not [path for path in new if cells.is_place(path)] or set(after) - set(before)


def test_taking_an_element_out_touches_no_other() -> None:
    old = flatten({"tags": ["a", "b", "c"]})
    new = flatten({"tags": ["b", "c"]}, like=old)
    assert new == {path: value for path, value in old.items() if path != 'tags/"a"'}


def test_an_element_put_in_front_touches_no_other() -> None:
    old = flatten({"tags": ["b", "c"]})
    assert flatten({"tags": ["a", "b", "c"]}, like=old) == {**old, 'tags/"a"': [-1, "a"]}


def test_an_element_that_is_moved_keeps_its_cell() -> None:
    old = flatten({"tags": ["a", "b", "c"]})
    assert flatten({"tags": ["b", "c", "a"]}, like=old) == {**old, 'tags@/"a"': 3}


def test_taking_the_first_of_two_credentials_out_leaves_the_second_as_it_is() -> None:
    one, two = ({"type": "basic-auth", "username": {"value": name}} for name in ("ada", "grace"))
    old = flatten({"credentials": [one, two]})
    new = flatten({"credentials": [two]}, like=old)
    assert new == {path: value for path, value in old.items() if path.startswith("credentials/basic-auth#2")}


def test_two_devices_that_each_add_a_credential_have_both() -> None:
    old = flatten({"title": "x"})
    keys = {
        path
        for secret in ("AAAA", "BBBB")
        for path in flatten({"title": "x", "credentials": [{"type": "totp", "secret": secret}]}, like=old)
        if path.count("/") == 1
    }
    assert len(keys) == 2


def test_another_secret_is_another_code() -> None:
    old = flatten({"credentials": [{"type": "totp", "secret": "AAAA", "digits": 8}]})
    new = flatten({"credentials": [{"type": "totp", "secret": "BBBB"}]}, like=old)
    assert not set(old) & set(new)


def test_a_password_that_is_changed_stays_in_its_credential() -> None:
    old = flatten({"credentials": [{"type": "basic-auth", "password": {"value": "1"}}]})
    new = flatten({"credentials": [{"type": "basic-auth", "password": {"value": "2"}}]}, like=old)
    assert set(old) == set(new)


def test_no_path_holds_a_secret() -> None:
    row = {
        "history": [{"value": "hunter2"}],
        "credentials": [
            {"type": "basic-auth", "password": {"value": "hunter2", "fieldType": "concealed-string"}},
            {"type": "totp", "secret": "hunter2"},
            {"type": "custom-fields", "fields": [{"value": "hunter2", "fieldType": "concealed-string"}]},
        ],
    }
    assert not [path for path in (*flatten(row), *flatten(row, like={})) if "hunter2" in path]


@pytest.mark.parametrize("path", ["x/y", "tags/a/b", "credentials/a/b/c", "credentials/a/b/c/d", "tags@/a/b", "a@/b"])
def test_paths_of_a_later_version_are_told(path: str) -> None:
    assert not cells.is_known(path)
    assert unflatten({path: 1}) == {}
