"""A link leads to the item its record names, whatever became of both; two that were exchanged are noticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate import catalog, converting
from tests.migrate import laws
from tests.migrate.household import LATER, bring, named, vault
from tests.migrate.mutations import Stored, stored
from vault.model import Item, ItemReference, find_all
from vault.store import Store

Data = dict[str, Any]


def item(title: str, *links: str, password: str = "x", own_id: str = "", ours: bool = False) -> Data:
    """Return a login as CXF has it, with links to others by their ids."""
    auth = {"type": "basic-auth", "password": {"fieldType": "concealed-string", "value": password}}
    references = [{"type": "item-reference", "reference": {"item": link}} for link in links]
    made: Data = {"id": own_id or title, "title": title, "credentials": [auth, *references]}
    return made | ({"extensions": [{"name": "dev.keyferry.item/1"}]} if ours else {})


def file(*accounts: list[Data]) -> bytes:
    listed = [
        {"id": f"account{n}", "username": "ada", "email": "", "collections": [], "items": items}
        for n, items in enumerate(accounts)
    ]
    header = {"version": {"major": 1, "minor": 0}, "exporterRpId": "x.example", "exporterDisplayName": "X"}
    return json.dumps({**header, "timestamp": 1700000000, "accounts": listed}).encode()


def kept(tmp_path: Path, data: bytes) -> Stored:
    path = tmp_path / "export.json"
    path.write_bytes(data)
    return stored(path)


def references(row: Data) -> list[Data]:
    return [one for one in row["credentials"] if one["type"] == "item-reference"]


def swapped(one: Data, other: Data) -> None:
    one["reference"], other["reference"] = other["reference"], one["reference"]


def test_the_links_of_two_items_that_were_swapped_are_noticed(tmp_path: Path) -> None:
    there = kept(tmp_path, file([item("a", "b"), item("b", "c"), item("c")]))
    assert there.findings() == set()
    first, second, _ = there.rows.values()
    swapped(references(first)[0], references(second)[0])
    found = {(f.place, f.path, f.kind) for f in there.findings()}
    assert found == {
        ("accounts/0/items/0", "a link to another item", "missing"),
        ("accounts/0/items/1", "a link to another item", "missing"),
    }


def test_two_links_of_one_item_that_were_swapped_are_noticed(tmp_path: Path) -> None:
    there = kept(tmp_path, file([item("a", "b", "c"), item("b"), item("c")]))
    first = next(iter(there.rows.values()))
    swapped(*references(first))
    assert {f.place for f in there.findings()} == {"accounts/0/items/0"}


def test_a_link_that_is_gone_is_noticed(tmp_path: Path) -> None:
    there = kept(tmp_path, file([item("a", "b"), item("b")]))
    first = next(iter(there.rows.values()))
    first["credentials"].pop()
    assert {f.place for f in there.findings()} == {"accounts/0/items/0"}


def test_a_link_of_1password_that_leads_elsewhere_is_noticed() -> None:
    there = stored(Path(__file__).parents[2] / "samples" / "onepassword_1pux" / "household.1pux")
    assert there.findings() == set()
    place, row = next((place, row) for place, row in there.rows.items() if references(row))
    references(row)[0]["reference"] = row["id"]
    assert {(f.place, f.path) for f in there.findings()} == {(place, "a link to another item")}


def titles_linked(items: list[Item], title: str) -> list[str]:
    by_id = {one.id: one.title for one in items}
    return [
        by_id.get(one.reference, "")
        for one in find_all(next(one for one in items if one.title == title), ItemReference)
    ]


def read(data: bytes) -> list[Item]:
    return converting.read(catalog.open_source(Path("x.json"), data=data, key=laws.KEY)).items


def test_a_link_leads_from_an_item_of_ours_to_one_of_another_product_and_back() -> None:
    items = read(file([item("a", "b", ours=True), item("b", "a"), item("c", "a", "b")]))
    assert titles_linked(items, "a") == ["b"]
    assert titles_linked(items, "b") == ["a"]
    assert titles_linked(items, "c") == ["a", "b"]


def test_a_link_stays_in_its_account() -> None:
    items = read(file([item("a", "x"), item("b", own_id="x")], [item("c", "x"), item("d", own_id="x")]))
    assert titles_linked(items, "a") == ["b"]
    assert titles_linked(items, "c") == ["d"]


def test_where_a_name_leads_to_two_items_or_to_none_nothing_is_claimed(tmp_path: Path) -> None:
    there = kept(tmp_path, file([item("a", "twice", "nowhere"), item("b", own_id="twice"), item("c", own_id="twice")]))
    assert there.findings() == set()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with vault(tmp_path) as made:
        yield made


def test_links_are_right_after_every_verdict(store: Store) -> None:
    """Brought again with a target that is the same, has changed, or was edited here meanwhile."""
    made = [item("a", "b", "c"), item("b", password="1"), item("c", "a", password="2")]
    bring(store, file(made), name="x.json")
    changed = [made[0], item("b", password="new"), made[2]]
    assert bring(store, file(changed), LATER, name="x.json").items == {"same": 2, "changed": 1}
    assert titles_linked(list(store.items()), "a") == ["b", "c"]
    store.put(msgspec.structs.replace(named(store, "c"), title="renamed"), now=LATER)
    again = [item("a", "c", "b", password="y"), changed[1], item("c", "b", password="3")]
    assert bring(store, file(again), LATER, name="x.json").items == {"same": 1, "changed": 1, "conflict": 1}
    assert titles_linked(list(store.items()), "a") == ["c", "b"]
    assert titles_linked(list(store.items()), "c") == ["b"]


IDS = st.sampled_from(["a", "b", "c", "d", "-", "spaced out", ""])
RECORDS = st.lists(st.tuples(IDS, st.lists(IDS, max_size=3), st.booleans()), max_size=5)


@given(RECORDS)
def test_every_link_leads_to_the_first_item_of_that_name(records: list[tuple[str, list[str], bool]]) -> None:
    made = [item(f"{n}", *links, ours=ours) | {"id": own_id} for n, (own_id, links, ours) in enumerate(records)]
    items = read(file(made))
    first = {own_id: f"{n}" for n, (own_id, _, _) in reversed(list(enumerate(records))) if own_id}
    for n, (_, links, _) in enumerate(records):
        assert titles_linked(items, f"{n}") == [first.get(link, "") for link in links]
